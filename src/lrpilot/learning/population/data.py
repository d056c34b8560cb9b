"""The data that the population trains on: 8x8 pictures and synthetic teachers, as one pool of rows.

scikit-learn's handwritten digits and the synthetic sources need no download. MNIST reduced to 8x8 joins them
if asked for; it is never used at its own size.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from lrpilot.errors import InvalidArgument

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

INPUTS, CLASSES, TARGETS = 64, 10, 4


@dataclass(frozen=True)
class Source:
    """One data set: rows for training first, then the held-out rows.

    Attributes:
        name: for the logs.
        inputs: [row, 64], roughly within [-3, 3].
        labels: [row], 0 to 9.
        targets: [row, 4], for regression, of variance 1 before noise.
        training: the number of rows for training; the rest is held out.
    """

    name: str
    inputs: Float[Tensor, "row 64"]
    labels: Int[Tensor, " row"]
    targets: Float[Tensor, "row 4"]
    training: int


def load_sources(seed: int, *, mnist: bool, synthetic: int = 12) -> list[Source]:
    """The population's data sets, a function of the seed alone.

    Args:
        seed: draws the teachers.
        mnist: whether MNIST at 8x8 is among them; its files are sought under the variable LRPILOT_DATA.
        synthetic: the number of synthetic sources.
    """
    generator = torch.Generator().manual_seed(seed)
    sources = [_digits(generator)]
    if mnist:
        sources.append(_small_mnist(generator))
    return sources + [_synthetic(f"teacher {i}", generator) for i in range(synthetic)]


def _teacher(inputs: Tensor, outputs: int, generator: torch.Generator) -> Tensor:
    """A random two-layer network of random sharpness, its outputs brought to mean 0 and variance 1."""
    width = int(torch.randint(8, 64, (), generator=generator))
    sharpness = 0.2 + 1.3 * torch.rand((), generator=generator)
    standardised = (inputs - inputs.mean(0)) / (inputs.std() + 0.1)
    hidden = standardised @ torch.randn(INPUTS, width, generator=generator) / INPUTS**0.5
    raw = (sharpness * hidden).tanh() @ torch.randn(width, outputs, generator=generator)
    return (raw - raw.mean(0)) / raw.std(0)


def _digits(generator: torch.Generator) -> Source:
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    inputs = torch.as_tensor(digits.data, dtype=torch.float32) / 16
    labels = torch.as_tensor(digits.target)
    order = torch.randperm(len(inputs), generator=generator)
    inputs, labels = inputs[order], labels[order]
    return Source("digits", inputs, labels, _teacher(inputs, TARGETS, generator), 1285)


def _small_mnist(generator: torch.Generator) -> Source:
    """Training pictures of MNIST, averaged over squares of 4x4 after padding to 32x32."""
    from torchvision.datasets import MNIST

    root = os.environ.get("LRPILOT_DATA")
    if root is None or not Path(root).is_dir():
        raise InvalidArgument("LRPILOT_DATA", "the folder that holds MNIST (or pretrain without it)", root)
    data = MNIST(root, train=True)
    pictures = F.pad(data.data[:46000].float() / 255, (2, 2, 2, 2)).unsqueeze(1)
    inputs = F.avg_pool2d(pictures, 4).flatten(1)
    return Source("mnist 8x8", inputs, data.targets[:46000], _teacher(inputs, TARGETS, generator), 40000)


def _synthetic(name: str, generator: torch.Generator, rows: int = 16384) -> Source:
    """Gaussian clusters, two to thirty, of a random spectrum and distance; some overlap, some do not.

    Each cluster belongs to one of two to ten classes; a third of the sources take a teacher's labels instead.
    """
    uniform = torch.rand(4, generator=generator)
    spectrum = torch.arange(1, INPUTS + 1) ** (-uniform[0])
    spectrum = spectrum / spectrum.square().mean().sqrt()
    rotation = torch.linalg.qr(torch.randn(INPUTS, INPUTS, generator=generator)).Q
    classes = int(2 + (CLASSES - 1) * uniform[1])
    count = classes * int(torch.randint(1, 4, (), generator=generator))
    clusters = torch.randint(count, (rows,), generator=generator)
    centres = (0.3 + 1.2 * uniform[2]) * torch.randn(count, INPUTS, generator=generator)
    inputs = ((torch.randn(rows, INPUTS, generator=generator) + centres[clusters]) * spectrum) @ rotation
    labels = clusters % classes
    if uniform[3] < 1 / 3:
        labels = _teacher(inputs, classes, generator).argmax(1)
    return Source(name, inputs / inputs.std(), labels, _teacher(inputs, TARGETS, generator), rows - 1024)
