"""The bank's networks, as people write them: plain torch modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
}


def mlp(
    *, inputs: int, widths: list[int], outputs: int, activation: str, norm: str = "", dropout: float = 0.0
) -> nn.Module:
    """Fully connected layers; ``norm`` is "", "batch" or "layer"."""
    layers: list[nn.Module] = []
    for fan_in, width in zip([inputs, *widths], widths, strict=False):
        layers.append(nn.Linear(fan_in, width))
        if norm:
            layers.append(nn.BatchNorm1d(width) if norm == "batch" else nn.LayerNorm(width))
        layers.append(ACTIVATIONS[activation]())
        if dropout:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers, nn.Linear([inputs, *widths][-1], outputs))


def cnn(
    *, channels: list[int], kernel: int, dense: int, outputs: int, activation: str, norm: bool, dropout: float
) -> nn.Module:
    """Convolutions, each with pooling, on 28x28 pictures; a dense layer of ``dense`` units, or none for 0."""
    layers: list[nn.Module] = []
    size, fan_in = 28, 1
    for width in channels:
        layers.append(nn.Conv2d(fan_in, width, kernel, padding=kernel // 2, bias=not norm))
        if norm:
            layers.append(nn.BatchNorm2d(width))
        layers += [ACTIVATIONS[activation](), nn.MaxPool2d(2)]
        size, fan_in = size // 2, width
    layers.append(nn.Flatten())
    fan_in *= size * size
    if dense:
        layers += [nn.Linear(fan_in, dense), ACTIVATIONS[activation]()]
        fan_in = dense
    if dropout:
        layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers, nn.Linear(fan_in, outputs))


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, fan_in: int, width: int, stride: int, *, norm: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(fan_in, width, 3, stride, 1, bias=not norm)
        self.second = nn.Conv2d(width, width, 3, 1, 1, bias=not norm)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) if norm else nn.Identity() for _ in range(2))
        plain = stride == 1 and fan_in == width
        self.shortcut = nn.Identity() if plain else nn.Conv2d(fan_in, width, 1, stride)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        hidden = self.norms[1](self.second(self.norms[0](self.first(x)).relu()))
        return (hidden + self.shortcut(x)).relu()


def resnet(*, width: int, blocks: int, outputs: int, norm: bool) -> nn.Module:
    """A small residual network on 28x28 pictures: strided stem, blocks, mean over places."""
    layers: list[nn.Module] = [nn.Conv2d(1, width, 3, 2, 1), nn.ReLU()]
    fan_in = width
    for index in range(blocks):
        out = width * 2 if index else width
        layers.append(Block(fan_in, out, 2 if index == 1 else 1, norm=norm))
        fan_in = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(fan_in, outputs))


def autoencoder(*, width: int, code: int, activation: str) -> nn.Module:
    """784 - width - code - width - 784, with sigmoid outputs left to the loss."""
    kind = ACTIVATIONS[activation]
    encoder = [nn.Linear(784, width), kind(), nn.Linear(width, code)]
    return nn.Sequential(*encoder, nn.Linear(code, width), kind(), nn.Linear(width, 784))


class Transformer(nn.Module):
    """A causal transformer over tokens with learned positions."""

    def __init__(self, *, tokens: int, length: int, width: int, layers: int, heads: int, before: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, width)
        self.positions = nn.Parameter(0.02 * torch.randn(length, width))
        make = nn.TransformerEncoderLayer
        self.layers = nn.ModuleList(
            make(width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=before)
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width) if before else nn.Identity()
        self.head = nn.Linear(width, tokens)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(length))

    def forward(self, tokens: Tensor) -> Tensor:  # noqa: D102
        hidden = self.embedding(tokens) + self.positions
        for layer in self.layers:
            hidden = layer(hidden, src_mask=self.mask, is_causal=True)
        return self.head(self.norm(hidden))


class RecurrentNetwork(nn.Module):
    """An LSTM or GRU over tokens, read at each place or at the last one."""

    def __init__(self, *, tokens: int, width: int, layers: int, cell: str, last: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, min(width, 32))
        self.memory = getattr(nn, cell)(min(width, 32), width, layers, batch_first=True)
        self.head = nn.Linear(width, tokens)
        self.last = last

    def forward(self, tokens: Tensor) -> Tensor:  # noqa: D102
        hidden, _ = self.memory(self.embedding(tokens))
        return self.head(hidden[:, -1] if self.last else hidden)


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "mlp": mlp,
    "cnn": cnn,
    "resnet": resnet,
    "autoencoder": autoencoder,
    "transformer": Transformer,
    "recurrent": RecurrentNetwork,
}


def build(name: str, options: dict[str, Any], *, initial: str, seed: int) -> nn.Module:
    """A fresh network; ``initial`` is one of "torch", "truncated", "kaiming" and "xavier"."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = NETWORKS[name](**options)
        if initial != "torch":
            network.apply(lambda module: _initialise(module, initial))
    return network


@torch.no_grad()
def _initialise(module: nn.Module, initial: str) -> None:
    if not isinstance(module, nn.Linear | nn.Conv2d):
        return
    if initial == "truncated":
        nn.init.trunc_normal_(module.weight, std=0.1, a=-0.2, b=0.2)
    elif initial == "kaiming":
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    else:
        nn.init.xavier_uniform_(module.weight)
    if module.bias is not None:
        nn.init.constant_(module.bias, 0.1 if initial == "truncated" else 0.0)
