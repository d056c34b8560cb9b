"""The networks of the suite, as people write them. Those that answer at every place give [row, class, place]."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from .networks import dense
from .suite_data import LENGTH, PATCH, PICTURE, SYMBOLS, VOCABULARY


def convolutional(*channels: int, norm: bool) -> nn.Module:
    """3x3 convolutions with ReLU and pooling over [row, 1, 20, 20], and a layer that reads them out."""
    layers: list[nn.Module] = []
    for fan_in, width in pairwise((1, *channels)):
        layers += [nn.Conv2d(fan_in, width, 3, padding=1, bias=not norm), *([nn.BatchNorm2d(width)] if norm else [])]
        layers += [nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels[-1] * (PICTURE // 2 ** len(channels)) ** 2, 10))


class Residual(nn.Module):
    """Two 3x3 convolutions with batch normalisation beside a shortcut, which halves the picture where it widens."""

    def __init__(self, fan_in: int, width: int) -> None:
        super().__init__()
        stride = 1 if fan_in == width else 2
        self.body = nn.Sequential(
            nn.Conv2d(fan_in, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.shortcut = nn.Identity() if stride == 1 else nn.Conv2d(fan_in, width, 1, stride)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return (self.body(x) + self.shortcut(x)).relu()


def residual(width: int) -> nn.Module:
    """A strided stem and three residual blocks over [row, 1, 20, 20]."""
    stem = nn.Sequential(nn.Conv2d(1, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
    blocks = Residual(width, width), Residual(width, 2 * width), Residual(2 * width, 2 * width)
    return nn.Sequential(stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, 10))


class CausalTransformer(nn.Module):
    """Blocks with the norm before attention, over windows of characters."""

    def __init__(self, *, width: int, blocks: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, width)
        self.places = nn.Parameter(0.02 * torch.randn(LENGTH, width))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, 4, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(blocks)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, VOCABULARY)
        mask = torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(1)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, windows: Tensor) -> Tensor:  # noqa: D102
        hidden = self.tokens(windows) + self.places
        for block in self.blocks:
            hidden = block(hidden, src_mask=self.mask, is_causal=True)
        return self.head(self.norm(hidden)).transpose(1, 2)


class Reader(nn.Module):
    """An LSTM or a GRU over tokens, read out at every place or at the last one."""

    def __init__(self, memory: type[nn.LSTM | nn.GRU], *, tokens: int, width: int, classes: int, last: bool) -> None:
        super().__init__()
        self.tokens = nn.Embedding(tokens, 16)
        self.memory = memory(16, width, batch_first=True)
        self.head = nn.Linear(width, classes)
        self.last = last

    def forward(self, sequences: Tensor) -> Tensor:  # noqa: D102
        states, _ = self.memory(self.tokens(sequences))
        return self.head(states[:, -1]) if self.last else self.head(states).transpose(1, 2)


def autoencoder() -> nn.Module:
    """Patches through a narrow code and back, with GELU."""
    encoder = nn.Sequential(nn.Linear(PATCH**2, 128), nn.GELU(), nn.Linear(128, 16))
    return nn.Sequential(encoder, nn.Linear(16, 128), nn.GELU(), nn.Linear(128, PATCH**2))


mlp_batchnorm = partial(dense, 400, 200, 200, 10, activation=nn.ReLU, norm=nn.BatchNorm1d)
mlp_dropout = partial(dense, 400, 256, 256, 10, activation=nn.GELU, norm=nn.LayerNorm, dropout=0.2)
mlp_tanh = partial(dense, 400, 100, 10, activation=nn.Tanh)
mlp_relu = partial(dense, 400, 128, 10, activation=nn.ReLU)
deep_sigmoid = partial(dense, 400, 64, 64, 64, 10, activation=nn.Sigmoid)
regression = partial(dense, 10, 64, 64, 1, activation=nn.ReLU)
plane = partial(dense, 2, 16, 2, activation=nn.ReLU)
cnn_batchnorm = partial(convolutional, 8, 16, norm=True)
cnn = partial(convolutional, 8, 16, norm=False)
resnet = partial(residual, 8)
transformer = partial(CausalTransformer, width=32, blocks=2)
wide_transformer = partial(CausalTransformer, width=48, blocks=1)
lstm = partial(Reader, nn.LSTM, tokens=VOCABULARY, width=64, classes=VOCABULARY, last=False)
recall = partial(Reader, nn.GRU, tokens=2 * SYMBOLS, width=48, classes=SYMBOLS, last=True)
parity = partial(Reader, nn.GRU, tokens=2, width=48, classes=2, last=False)
