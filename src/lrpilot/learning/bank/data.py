"""The data that the bank trains on: what any machine with Python, matplotlib and scikit-learn has.

Each function returns :class:`Dataset`: inputs, targets and the number of rows to train on; the rows after these are
held out. Everything is a function of its arguments (and, for text, of the Python version's standard library).
"""

from __future__ import annotations

import math
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from PIL import Image, ImageFont

CHARACTERS = "0123456789ABDEFGHIJKLMNPQRTUVWXYabdefghjnqrtvwyz"
"""Told apart by their shape; digits come first."""
PICTURES = 12_000
VOCABULARY = 96
"""Printable ASCII, and one token for everything else."""
MODULES = (
    "argparse", "ast", "calendar", "datetime", "difflib", "doctest", "inspect", "locale", "optparse",
    "pdb", "pickle", "random", "socket", "statistics", "subprocess", "tarfile", "threading",
    "typing", "zipfile",
)  # fmt: skip
"""Standard-library modules whose sources are the text."""


@dataclass(frozen=True)
class Dataset:
    """Rows of inputs and targets. Targets are class numbers, or real numbers of the output's shape."""

    inputs: Tensor
    targets: Tensor
    training: int
    classes: int
    """Of a classification; 0 for regression."""


def glyphs(*, classes: int, rows: int, noise: float, standardised: bool, flat: bool, seed: int) -> Dataset:
    """Characters drawn from fonts: 28x28 grey pictures in [0, 1], or of mean 0 and variance 1.

    Args:
        classes: how many of `CHARACTERS`.
        rows: to train on; 2,000 more are held out.
        noise: share of the training rows with a wrong label.
        standardised: whether the pixels' mean is subtracted and their deviation divided out.
        flat: [row, 784] in place of [row, 1, 28, 28].
        seed: of the choice of rows and of the wrong labels.
    """
    generator = torch.Generator().manual_seed(seed)
    pictures, labels = _all_glyphs()
    of_classes = (labels < classes).nonzero().squeeze(1)
    chosen = of_classes[torch.randperm(len(of_classes), generator=generator)]
    training = min(rows, len(chosen) - min(2000, len(chosen) // 5))
    chosen = torch.cat([chosen[:training], chosen[-2000:][: len(chosen) - training]])
    inputs, targets = pictures[chosen].float() / 255, labels[chosen].clone()
    if standardised:
        inputs = (inputs - inputs.mean()) / inputs.std()
    targets[:training] = _mislabelled(targets[:training], classes, noise, generator)
    return Dataset(inputs.flatten(1) if flat else inputs.unsqueeze(1), targets, training, classes)


def reconstruction(*, rows: int, seed: int) -> Dataset:
    """Glyphs as inputs and as targets, 784 numbers in [0, 1]."""
    whole = glyphs(classes=len(CHARACTERS), rows=rows, noise=0.0, standardised=False, flat=True, seed=seed)
    return Dataset(whole.inputs, whole.inputs, whole.training, 0)


def text(*, length: int, rows: int, seed: int) -> Dataset:
    """Windows of the standard library's sources, and each window's next characters."""
    generator = torch.Generator().manual_seed(seed)
    tokens = _tokens()
    cut = int(0.9 * len(tokens))
    begin = torch.randint(cut - length - 1, (rows,), generator=generator)
    held = cut + torch.randint(len(tokens) - cut - length - 1, (400,), generator=generator)
    index = torch.cat([begin, held]).unsqueeze(1) + torch.arange(length + 1)
    windows = tokens[index]
    return Dataset(windows[:, :-1], windows[:, 1:], rows, VOCABULARY)


def recall(*, length: int, symbols: int, rows: int, seed: int) -> Dataset:
    """Sequences of symbols of which the first must be named at the end: the loss rests before it falls."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randint(symbols, (rows + 1000, length), generator=generator)
    return Dataset(inputs, inputs[:, 0].clone(), rows, symbols)


def parity(*, inputs: int, bits: int, rows: int, seed: int) -> Dataset:
    """Signs of which the product of the first few is the class: the loss rests before it falls."""
    generator = torch.Generator().manual_seed(seed)
    signs = 2.0 * torch.randint(2, (rows + 1000, inputs), generator=generator) - 1
    return Dataset(signs, (signs[:, :bits].prod(1) > 0).long(), rows, 2)


def regression(
    *, inputs: int, outputs: int, rows: int, offset: float, scale: float, noise: float, seed: int
) -> Dataset:
    """A random network's outputs, of deviation ``scale``, shifted by ``offset`` deviations, with noise."""
    generator = torch.Generator().manual_seed(seed)
    rows_in_all = rows + 1000
    shape = torch.randn(inputs, inputs, generator=generator) / math.sqrt(inputs)
    x = torch.randn(rows_in_all, inputs, generator=generator) @ (0.7 * shape + 0.5 * torch.eye(inputs))
    hidden = torch.tanh(1.5 * x @ torch.randn(inputs, 24, generator=generator) / math.sqrt(inputs))
    y = hidden @ torch.randn(24, outputs, generator=generator)
    y = (y - y.mean(0)) / y.std(0) + noise * torch.randn(y.shape, generator=generator)
    return Dataset(x, scale * (y + offset), rows, 0)


def teacher(*, inputs: int, classes: int, rows: int, noise: float, seed: int) -> Dataset:
    """The classes that a random network gives to Gaussian inputs."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows + 1000, inputs, generator=generator)
    hidden = torch.tanh(2 * x @ torch.randn(inputs, 24, generator=generator) / math.sqrt(inputs))
    scores = hidden @ torch.randn(24, classes, generator=generator)
    labels = (scores - scores.mean(0)).argmax(1)
    labels[:rows] = _mislabelled(labels[:rows], classes, noise, generator)
    return Dataset(x, labels, rows, classes)


def table(*, name: str, seed: int) -> Dataset:
    """A small set of scikit-learn's, columns standardised, shuffled; a fifth is held out."""
    from sklearn import datasets

    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    inputs = torch.tensor(x, dtype=torch.float32)
    inputs = (inputs - inputs.mean(0)) / inputs.std(0)
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(seed))
    if name == "diabetes":
        values = torch.tensor(y, dtype=torch.float32).unsqueeze(1)
        targets, classes = (values - values.mean()) / values.std(), 0
    else:
        targets = torch.tensor(y, dtype=torch.long)
        classes = int(targets.max()) + 1
    return Dataset(inputs[order], targets[order], int(0.8 * len(order)), classes)


def plane(*, shape: str, rows: int, noise: float, seed: int) -> Dataset:
    """Points of the plane in two or three classes: circles, a chequerboard or spirals."""
    generator = torch.Generator().manual_seed(seed)
    count = rows + 500
    if shape == "chequers":
        points = 2 * torch.rand(count, 2, generator=generator) - 1
        labels = ((points > 0).sum(1) % 2).long()
    else:
        labels = torch.randint(3 if shape == "spirals" else 2, (count,), generator=generator)
        turn = 2 * math.pi * torch.rand(count, generator=generator)
        radius = 0.4 + 0.6 * labels
        if shape == "spirals":
            radius = turn / (2 * math.pi)
            turn = turn + labels * 2 * math.pi / 3
        points = torch.stack([radius * turn.cos(), radius * turn.sin()], 1)
    return Dataset(points + noise * torch.randn(count, 2, generator=generator), labels, rows, int(labels.max()) + 1)


SOURCES: dict[str, Callable[..., Dataset]] = {
    function.__name__: function
    for function in (glyphs, reconstruction, text, recall, parity, regression, teacher, table, plane)
}


def load(name: str, options: dict[str, Any]) -> Dataset:
    """The examples that a task names."""
    return SOURCES[name](**options)


def _mislabelled(labels: Tensor, classes: int, share: float, generator: torch.Generator) -> Tensor:
    wrong = torch.rand(len(labels), generator=generator) < share
    return torch.where(wrong, torch.randint(classes, (len(labels),), generator=generator), labels)


@lru_cache(maxsize=1)
def _tokens() -> Tensor:
    library = Path(sysconfig.get_paths()["stdlib"])
    source = "\n".join((library / f"{name}.py").read_text(errors="replace") for name in MODULES)
    codes = torch.tensor(list(source.encode("ascii", "replace")), dtype=torch.long) - 31
    return torch.where((codes < 1) | (codes >= VOCABULARY), 0, codes)  # line ends are the token 0


@lru_cache(maxsize=1)
def _all_glyphs() -> tuple[Tensor, Tensor]:
    """[picture, 28, 28] bytes and class numbers: every character in many fonts, sizes, angles and shears."""
    import numpy as np

    generator = torch.Generator().manual_seed(7)
    fonts = _fonts()
    pictures, labels = [], []
    for index in range(PICTURES):
        label = index % len(CHARACTERS)
        font = fonts[int(torch.randint(len(fonts), (), generator=generator))]
        pictures.append(torch.from_numpy(np.array(_draw(CHARACTERS[label], font, generator))))
        labels.append(label)
    whole = torch.stack(pictures).float()
    whole = whole * (0.6 + 0.4 * torch.rand(len(whole), 1, 1, generator=generator))
    whole = whole + 12 * torch.randn(whole.shape, generator=generator)
    return whole.clamp(0, 255).to(torch.uint8), torch.tensor(labels)


def _fonts() -> list[ImageFont.FreeTypeFont]:
    """The text fonts that come with matplotlib: the same on every machine."""
    import matplotlib
    from PIL import ImageFont

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    names = [path for path in sorted(folder.glob("*.ttf")) if path.name.startswith(("DejaVu", "STIXGeneral"))]
    return [ImageFont.truetype(str(path), 22) for path in names if "Display" not in path.name]


def _draw(character: str, font: ImageFont.FreeTypeFont, generator: torch.Generator) -> Image.Image:
    from PIL import Image, ImageDraw

    canvas = Image.new("L", (44, 44))
    ImageDraw.Draw(canvas).text((22, 22), character, font=font, fill=255, anchor="mm")
    angle, shear, size, left, top = (2 * torch.rand(5, generator=generator) - 1).tolist()
    angle, size = 0.25 * angle, 1 + 0.2 * size
    cosine, sine = math.cos(angle) * size, math.sin(angle) * size
    across, down = cosine + 0.25 * shear * sine, -sine + 0.25 * shear * cosine
    middle = 14 + 2 * left, 14 + 2 * top
    matrix = (across, down, 22 - across * middle[0] - down * middle[1])
    matrix += (sine, cosine, 22 - sine * middle[0] - cosine * middle[1])
    return canvas.transform((28, 28), Image.Transform.AFFINE, matrix, resample=Image.Resampling.BILINEAR)
