"""The population's networks as ordinary `torch.nn` modules of one run: oracle and yardstick."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from .data import INPUTS

if TYPE_CHECKING:
    from torch import Tensor

SIDE = math.isqrt(INPUTS)
MODULES: dict[str, type[nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
}


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation by the batch's own statistics, with a gain and no bias."""

    def __init__(self, width: int) -> None:
        super().__init__(width, track_running_stats=False)
        self.bias = None


def mlp(sizes: tuple[int, ...], activation: str, *, normalised: bool) -> nn.Module:
    """Linear layers of these sizes with activations between them."""
    layers: list[nn.Module] = []
    for index in range(len(sizes) - 1):
        layers.append(nn.Linear(sizes[index], sizes[index + 1]))
        if index < len(sizes) - 2:
            layers += [BatchNorm(sizes[index + 1])] if normalised else []
            layers.append(MODULES[activation]())
    return nn.Sequential(*layers)


def cnn(channels: tuple[int, int], hidden: int, activation: str, outputs: int) -> nn.Module:
    """Conv 3x3, pool, conv 3x3, pool, hidden layer, read-out."""
    first, second = channels
    act = MODULES[activation]
    return nn.Sequential(
        nn.Unflatten(1, (1, SIDE, SIDE)),
        nn.Conv2d(1, first, 3, padding=1),
        nn.MaxPool2d(2),
        act(),
        nn.Conv2d(first, second, 3, padding=1),
        nn.MaxPool2d(2),
        act(),
        nn.Flatten(),
        nn.Linear(4 * second, hidden),
        act(),
        nn.Linear(hidden, outputs),
    )


class Attention(nn.Module):
    """One block of self-attention over eight rows."""

    def __init__(self, width: int, outputs: int, *, normalised: bool) -> None:
        super().__init__()
        self.embed = nn.Linear(SIDE, width)
        self.position = nn.Parameter(torch.randn(SIDE, width) / SIDE**0.5)
        self.project = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.hidden = nn.Linear(width, 2 * width)
        self.back = nn.Linear(2 * width, width)
        self.read = nn.Linear(width, outputs)
        self.norm = nn.LayerNorm(width, elementwise_affine=False) if normalised else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[example, 64] -> [example, out]."""
        tokens = self.embed(x.view(-1, SIDE, SIDE)) + self.position
        queries, keys, contents = self.project(self.norm(tokens)).chunk(3, -1)
        tokens = tokens + self.mix(F.scaled_dot_product_attention(queries, keys, contents))
        tokens = tokens + self.back(torch.relu(self.hidden(self.norm(tokens))))
        return self.read(self.norm(tokens).mean(1))


class Recurrent(nn.Module):
    """A tanh recurrence over eight rows."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.recurrence = nn.RNN(SIDE, width, batch_first=True)
        self.read = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[example, 64] -> [example, out]."""
        states, _ = self.recurrence(x.view(-1, SIDE, SIDE))
        return self.read(states[:, -1])


class Point(nn.Module):
    """The noisy quadratic's parameters as outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.point = nn.Parameter(2 * torch.rand(1, INPUTS) - 1)

    def forward(self, x: Tensor) -> Tensor:
        """[example, 64] -> the parameters for each example."""
        return self.point.expand_as(x)
