"""Functional networks over stacked parameters: every tensor has a leading run dimension.

Batched by hand (`torch.baddbmm`) rather than by `torch.func.vmap`: the same result, 1.4 times as fast for the
smallest. A network is its parameters' shapes, a pure function of them and the inputs, and the same thing as a
plain `torch.nn` module of one run (see `plain`), against which tests and benchmark hold it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import nn

from lrpilot.learning.population import plain

from .data import INPUTS

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "silu": F.silu,
    "sigmoid": torch.sigmoid,
}
SIDE = math.isqrt(INPUTS)

Drop = Callable[["Tensor"], "Tensor"]


@runtime_checkable
class Forward(Protocol):
    """A pure function of parameters and inputs."""

    def __call__(self, values: list[Tensor], x: Tensor, drop: Drop = ...) -> Tensor: ...  # noqa: D102


def _kept(hidden: Tensor) -> Tensor:
    return hidden


@dataclass(frozen=True)
class Parameter:
    """One parameter of one run: its shape, and the fan-in that scales its random start (0: starts at one)."""

    shape: tuple[int, ...]
    fan_in: int

    @property
    def size(self) -> int:
        """The number of its entries."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Network:
    """Parameters in order, and forward([run, *shape] each, [run, example, 64], drop) -> [run, example, out].

    ``drop`` is what hidden units go through before the next layer: dropout in training, nothing otherwise.
    """

    name: str
    parameters: tuple[Parameter, ...]
    forward: Forward
    plain: Callable[[], nn.Module]


def linear(inputs: int, outputs: int) -> tuple[Parameter, Parameter]:
    """Weight and bias of a linear layer."""
    return Parameter((inputs, outputs), inputs), Parameter((1, outputs), inputs)


def apply_linear(
    weight: Float[Tensor, "run input output"], bias: Float[Tensor, "run 1 output"], x: Float[Tensor, "run row input"]
) -> Float[Tensor, "run row output"]:
    """X W + b for each run."""
    return torch.baddbmm(bias, x, weight)


def mlp(
    widths: tuple[int, ...],
    activation: str,
    outputs: int,
    *,
    normalised: bool = False,
    inputs: int = INPUTS,
) -> Network:
    """Fully connected; no widths: a linear model. ``normalised``: batch norm before each activation."""
    sizes = (inputs, *widths, outputs)
    parameters = [p for i in range(len(sizes) - 1) for p in linear(sizes[i], sizes[i + 1])]
    if normalised:
        parameters += [Parameter((1, width), 0) for width in widths]
    act = ACTIVATIONS[activation]

    def forward(values: list[Tensor], x: Tensor, drop: Drop = _kept) -> Tensor:
        for layer in range(len(sizes) - 1):
            x = apply_linear(values[2 * layer], values[2 * layer + 1], x)
            if layer < len(widths):
                if normalised:
                    centred = x - x.mean(1, keepdim=True)
                    x = centred * (centred.square().mean(1, keepdim=True) + 1e-5).rsqrt()
                    x = x * values[2 * len(sizes) - 2 + layer]
                x = drop(act(x))
        return x

    name = "-".join(map(str, sizes)) + f" {activation}" * bool(widths) + " batch norm" * normalised
    return Network(name, tuple(parameters), forward, lambda: plain.mlp(sizes, activation, normalised=normalised))


def cnn(channels: tuple[int, int], hidden: int, activation: str, outputs: int) -> Network:
    """Conv 3x3, pool, conv 3x3, pool, hidden layer: convolutions as unfolding and a batched product."""
    first, second = channels
    parameters = (
        *linear(9, first),
        *linear(9 * first, second),
        *linear(second * 4, hidden),
        *linear(hidden, outputs),
    )
    act = ACTIVATIONS[activation]

    def convolve(x: Tensor, weight: Tensor, bias: Tensor, runs: int) -> Tensor:
        """[run * example, side, side, channel] -> other channels, pooled to half the side."""
        side = x.shape[1]
        padded = F.pad(x, (0, 0, 1, 1, 1, 1))
        # Channels last, so that the patches are nine contiguous copies: 3 times as fast as F.unfold.
        shifted = [padded[:, i : i + side, j : j + side] for i in range(3) for j in range(3)]
        rows = torch.cat(shifted, -1).view(runs, -1, 9 * x.shape[-1])
        y = apply_linear(weight, bias, rows).view(x.shape[0], side // 2, 2, side // 2, 2, -1)
        columns = torch.maximum(y[:, :, 0], y[:, :, 1])
        # Pooled before the activation, which then costs a quarter.
        return act(torch.maximum(columns[:, :, :, 0], columns[:, :, :, 1]))

    def forward(values: list[Tensor], x: Tensor, drop: Drop = _kept) -> Tensor:
        runs, examples, _ = x.shape
        y = convolve(x.reshape(-1, SIDE, SIDE, 1), values[0], values[1], runs)
        y = convolve(y, values[2], values[3], runs)
        y = act(apply_linear(values[4], values[5], y.reshape(runs, examples, -1)))
        return apply_linear(values[6], values[7], drop(y))

    name = f"cnn {first}-{second}-{hidden} {activation}"
    return Network(name, parameters, forward, lambda: plain.cnn(channels, hidden, activation, outputs))


def attention(width: int, outputs: int, *, normalised: bool) -> Network:
    """One block of self-attention over the picture's eight rows, a residual hidden layer, mean, read-out."""
    position = Parameter((SIDE, width), SIDE)
    parameters = (
        *linear(SIDE, width),
        position,
        *linear(width, 3 * width),
        *linear(width, width),
        *linear(width, 2 * width),
        *linear(2 * width, width),
        *linear(width, outputs),
    )

    def norm(x: Tensor) -> Tensor:
        return F.layer_norm(x, (width,)) if normalised else x

    def forward(values: list[Tensor], x: Tensor, drop: Drop = _kept) -> Tensor:
        runs, examples, _ = x.shape
        tokens = apply_linear(values[0], values[1], x.reshape(runs, examples * SIDE, SIDE))
        tokens = (tokens.view(runs, examples, SIDE, width) + values[2].unsqueeze(1)).flatten(1, 2)
        queries, keys, contents = apply_linear(values[3], values[4], norm(tokens)).chunk(3, -1)
        queries, keys, contents = (part.reshape(runs * examples, SIDE, width) for part in (queries, keys, contents))
        weights = (queries @ keys.transpose(1, 2) / width**0.5).softmax(-1)
        mixed = (weights @ contents).view(runs, examples * SIDE, width)
        tokens = tokens + apply_linear(values[5], values[6], mixed)
        hidden = torch.relu(apply_linear(values[7], values[8], norm(tokens)))
        tokens = norm(tokens + apply_linear(values[9], values[10], hidden))
        return apply_linear(values[11], values[12], drop(tokens.view(runs, examples, SIDE, width).mean(2)))

    name = f"attention {width}" + " layer norm" * normalised
    return Network(name, parameters, forward, lambda: plain.Attention(width, outputs, normalised=normalised))


def recurrent(width: int, outputs: int) -> Network:
    """A tanh recurrence over the picture's eight rows, read out at the last."""
    parameters = (*linear(SIDE, width), *linear(width, width), *linear(width, outputs))

    def forward(values: list[Tensor], x: Tensor, drop: Drop = _kept) -> Tensor:
        runs, examples, _ = x.shape
        rows = apply_linear(values[0], values[1], x.reshape(runs, examples * SIDE, SIDE))
        rows = rows.view(runs, examples, SIDE, width)
        state = torch.tanh(rows[:, :, 0] + values[3])
        for row in range(1, SIDE):
            state = torch.tanh(rows[:, :, row] + apply_linear(values[2], values[3], state))
        return apply_linear(values[4], values[5], drop(state))

    return Network(f"recurrent {width}", parameters, forward, lambda: plain.Recurrent(width, outputs))
