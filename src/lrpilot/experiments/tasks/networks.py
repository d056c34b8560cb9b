"""The networks of the experiments, and their initial weights.

The paper's code ran on TensorFlow, whose tutorials of that time gave the MNIST and CIFAR-10 networks their initial
weights. Networks of kinds that the paper has not (batch normalisation, recurrence, attention) have PyTorch's. All are
drawn from the generator given. Convolutions keep their weights with the channels last: the same numbers, a forward pass
on a CPU up to 2.5 times as fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

Layers = list[nn.Linear | nn.Conv2d]
MakeNetwork = Callable[[torch.Generator], nn.Module]


def dense(
    *sizes: int, activation: type[nn.Module], norm: type[nn.Module] | None = None, dropout: float = 0.0
) -> nn.Sequential:
    """Fully connected layers of these sizes, after each but the last a norm, an activation and dropout."""
    layers: list[nn.Module] = []
    for fan_in, width in pairwise(sizes[:-1]):
        layers += [nn.Linear(fan_in, width), *([norm(width)] if norm else []), activation()]
        layers += [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))


def drawn(make: Callable[[], nn.Module]) -> MakeNetwork:
    """What ``make`` makes, with PyTorch's own initial weights, of a seed that the generator gives."""

    def network(generator: torch.Generator) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
            return make()

    return network


def _perceptron(*sizes: int, activation: type[nn.Module]) -> MakeNetwork:
    """Fully connected layers with the tutorial's MNIST weights. Input ``[batch, sizes[0]]``."""
    return lambda generator: _initialised(dense(*sizes, activation=activation), _mnist_weights, generator)


digits_mlp = _perceptron(64, 64, 10, activation=nn.ReLU)
"""4,810 parameters: small enough to train in seconds."""
m0 = _perceptron(784, 10, activation=nn.Tanh)
"""Softmax regression, 7,850 parameters (section 4.4)."""
m1 = _perceptron(784, 120, 10, activation=nn.Tanh)
"""95,410 parameters (section 4.4)."""
m2 = _perceptron(784, 500, 300, 10, activation=nn.Tanh)
"""545,810 parameters (section 4.4)."""


def mnist_cnn(generator: torch.Generator) -> nn.Module:
    """The convolutional network of section 4.2: 512 units with dropout 0.5. Input ``[batch, 1, 28, 28]``."""
    head = (nn.Linear(7 * 7 * 64, 512), nn.ReLU(), nn.Dropout(0.5), nn.Linear(512, 10))
    return _initialised(nn.Sequential(*_convolutions(1, 32, 64), *head), _mnist_weights, generator)


def cifar10_cnn(generator: torch.Generator, *, classes: int = 10, size: int = 32) -> nn.Module:
    """The convolutional network of section 4.3: 384 and 192 units.

    Input ``[batch, 3, size, size]``, ``size`` a multiple of 4.
    """
    hidden = (nn.Linear((size // 4) ** 2 * 64, 384), nn.ReLU(), nn.Linear(384, 192), nn.ReLU())
    network = nn.Sequential(*_convolutions(3, 64, 64), *hidden, nn.Linear(192, classes))
    return _initialised(network, _cifar10_weights, generator)


def _convolutions(*channels: int) -> Iterator[nn.Module]:
    """5x5 convolutions that keep the size of the image, each followed by a pooling that halves it."""
    for pair in pairwise(channels):
        yield from (nn.Conv2d(*pair, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2))
    yield nn.Flatten()


class RowReader(nn.Module):
    """An LSTM of 64 units over a picture's 28 rows of 28 pixels; the last state is read out."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = nn.LSTM(28, 64, batch_first=True)
        self.head = nn.Linear(64, 10)

    def forward(self, pictures: Tensor) -> Tensor:
        """[batch, 1, 28, 28] -> logits [batch, 10]."""
        states, _ = self.memory(pictures.squeeze(1))
        return self.head(states[:, -1])


class RowAttention(nn.Module):
    """A transformer block (layer norm before attention) over a picture's rows; the rows' mean is read out."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(28, 32)
        self.position = nn.Parameter(torch.randn(28, 32) / 32**0.5)
        self.block = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True, norm_first=True)
        self.norm = nn.LayerNorm(32)
        self.head = nn.Linear(32, 10)

    def forward(self, pictures: Tensor) -> Tensor:
        """[batch, 1, 28, 28] -> logits [batch, 10]."""
        rows = self.embed(pictures.squeeze(1)) + self.position
        return self.head(self.norm(self.block(rows)).mean(1))


mnist_batchnorm = drawn(partial(dense, 784, 256, 256, 10, activation=nn.ReLU, norm=nn.BatchNorm1d))
"""Batch normalisation and ReLU, 270,346 parameters. Input ``[batch, 784]``."""
mnist_lstm = drawn(RowReader)
"""24,714 parameters. Input ``[batch, 1, 28, 28]``."""
mnist_attention = drawn(RowAttention)
"""10,762 parameters. Input ``[batch, 1, 28, 28]``."""


def _initialised(
    network: nn.Sequential, draw: Callable[[Layers, torch.Generator], None], generator: torch.Generator
) -> nn.Module:
    network.to(memory_format=torch.channels_last)
    draw([layer for layer in network if isinstance(layer, nn.Linear | nn.Conv2d)], generator)
    return network


def _mnist_weights(layers: Layers, generator: torch.Generator) -> None:
    """Truncated normal 0.1; the biases of a first convolution 0, all others 0.1."""
    for index, layer in enumerate(layers):
        _truncated_normal(layer, 0.1, generator)
        nn.init.constant_(layer.get_parameter("bias"), 0.0 if index == 0 and isinstance(layer, nn.Conv2d) else 0.1)


def _cifar10_weights(layers: Layers, generator: torch.Generator) -> None:
    """Convolutions N(0, 0.05), biases 0, 0.1; hidden truncated normal 0.04, biases 0.1; last 1/192, 0."""
    for layer in layers[:2]:
        nn.init.normal_(layer.weight, std=0.05, generator=generator)
    for layer, std in zip(layers[2:], (0.04, 0.04, 1 / 192), strict=True):
        _truncated_normal(layer, std, generator)
    for layer, bias in zip(layers, (0.0, 0.1, 0.1, 0.1, 0.0), strict=True):
        nn.init.constant_(layer.get_parameter("bias"), bias)


def _truncated_normal(layer: nn.Linear | nn.Conv2d, std: float, generator: torch.Generator) -> None:
    """TensorFlow's: normal, drawn again beyond two standard deviations."""
    nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std, generator=generator)
