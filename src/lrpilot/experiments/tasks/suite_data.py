"""The data of the suite: what any machine has, and nothing that the pilot's policy learned from.

Each function gives the same :class:`TensorData` at every call, with a validation set of its own. Text and pictures
depend on the versions of Python and scikit-learn that they come with.
"""

from __future__ import annotations

import math
from functools import lru_cache
from importlib import import_module

import torch
from torch import Tensor

from .tensors import Examples, TensorData

VALIDATION, TEST = 1000, 2000  # examples held out, unless said otherwise
PICTURE, PATCH = 20, 14  # pixels across
VOCABULARY = 96  # printable ASCII, and one token for everything else
LENGTH = 32  # characters of a window
SYMBOLS = 8
MISTAKEN = 0.1  # share of targets drawn at random, where the truth is a rule


def shapes(rows: int, *, flat: bool) -> TensorData:
    """Grey pictures of ten shapes, moved, turned, unevenly lit and noisy: [row, 400], or [row, 1, 20, 20]."""
    generator = torch.Generator().manual_seed(1)
    count = rows + VALIDATION + TEST
    targets = torch.arange(count) % 10
    inputs = torch.cat([_draw(part, generator) for part in targets.split(1000)])
    return _split("shapes", inputs.flatten(1) if flat else inputs, targets, classes=10)


def _draw(classes: Tensor, generator: torch.Generator) -> Tensor:
    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(len(classes), 1, 1, generator=generator)

    line = torch.linspace(-1, 1, PICTURE)
    y, x = torch.meshgrid(line, line, indexing="ij")
    x, y = x - uniform(-0.15, 0.15), y - uniform(-0.15, 0.15)
    turn, size = uniform(-0.3, 0.3), uniform(0.55, 0.85)
    u, v = (x * turn.cos() + y * turn.sin()) / size, (y * turn.cos() - x * turn.sin()) / size
    radius, edge = (u * u + v * v).sqrt(), torch.maximum(u.abs(), v.abs())
    upright = torch.minimum(0.28 - u.abs(), 0.95 - v.abs())
    across = torch.minimum(0.28 - v.abs(), 0.95 - u.abs())
    inside = torch.stack(
        [
            0.9 - radius,  # disc
            0.2 - (radius - 0.75).abs(),  # ring
            0.8 - edge,  # square
            0.2 - (edge - 0.7).abs(),  # frame
            0.5 - torch.stack([-v, 0.87 * u + 0.5 * v, 0.5 * v - 0.87 * u]).amax(0),  # triangle
            torch.maximum(upright, across),  # cross
            upright,  # bar
            torch.minimum(0.9 - radius, u),  # half a disc
            torch.minimum(0.8 - edge, 0.3 - torch.minimum(u + 0.8, v + 0.8)),  # angle
            0.35 - ((u.abs() - 0.6).square() + v * v).sqrt(),  # two dots
        ]
    )
    shape = (8 * inside[classes, torch.arange(len(classes))]).sigmoid()
    lit = uniform(0.5, 1) * shape + 0.3 * (uniform(-1, 1) * x + uniform(-1, 1) * y)
    return (lit + 0.25 * torch.randn(lit.shape, generator=generator)).unsqueeze(1)


def prose(rows: int) -> TensorData:
    """Windows of Python's own documentation, and each window's next characters, [row, 32] of 96 tokens."""
    tokens, generator = _characters(), torch.Generator().manual_seed(2)
    ends = [int(share * len(tokens)) for share in (0.0, 0.85, 0.92, 1.0)]
    parts: list[Examples] = []
    for begin, end, count in zip(ends, ends[1:], (rows, 300, 600), strict=False):
        starts = torch.randint(begin, end - LENGTH - 1, (count, 1), generator=generator)
        windows = tokens[starts + torch.arange(LENGTH + 1)]
        parts.append(Examples(windows[:, :-1], windows[:, 1:]))
    return TensorData("prose", parts[0], parts[2], VOCABULARY, parts[1])


@lru_cache(maxsize=1)
def _characters() -> Tensor:
    topics: dict[str, str] = import_module("pydoc_data.topics").topics
    text = "\n".join(topics[name] for name in sorted(topics))
    codes = torch.tensor(list(text.encode("ascii", "replace"))) - 31
    return torch.where((codes < 1) | (codes >= VOCABULARY), 0, codes)  # line ends are the token 0


def patches(rows: int) -> TensorData:
    """Grey patches of scikit-learn's two photographs, [row, 196] in [0, 1], to be reproduced; held out by place."""
    from sklearn.datasets import load_sample_images

    generator = torch.Generator().manual_seed(3)
    photographs = torch.stack([torch.tensor(picture).float().mean(-1) / 255 for picture in load_sample_images().images])
    windows = photographs.unfold(1, PATCH, 1).unfold(2, PATCH, 1)  # [picture, row, column, 14, 14]
    columns = windows.shape[2]
    parts: list[Examples] = []
    for begin, end, count in ((0.0, 0.7, rows), (0.73, 0.83, VALIDATION), (0.86, 1.0, TEST)):
        which = torch.randint(2, (count,), generator=generator)
        row = torch.randint(windows.shape[1], (count,), generator=generator)
        column = torch.randint(int(begin * columns), int(end * columns), (count,), generator=generator)
        inputs = windows[which, row, column].flatten(1)
        parts.append(Examples(inputs, inputs))
    return TensorData("patches", parts[0], parts[2], 0, parts[1])


def marked(rows: int) -> TensorData:
    """Twenty-four symbols of which an early one bears a mark, and that symbol: the loss rests before it falls."""
    generator = torch.Generator().manual_seed(4)
    count = rows + VALIDATION + TEST
    symbols = torch.randint(SYMBOLS, (count, 24), generator=generator)
    place = torch.randint(12, (count, 1), generator=generator)
    targets = _mistaken(symbols.gather(1, place).squeeze(1), SYMBOLS, generator)
    return _split("marked symbols", symbols.scatter_add(1, place, torch.full_like(place, SYMBOLS)), targets, SYMBOLS)


def running_parity(rows: int) -> TensorData:
    """Sixteen bits, and after each whether their number so far is odd: the loss rests before it falls."""
    generator = torch.Generator().manual_seed(5)
    bits = torch.randint(2, (rows + VALIDATION + TEST, 16), generator=generator)
    return _split("running parity", bits, _mistaken(bits.cumsum(1) % 2, 2, generator), 2)


def friedman(rows: int) -> TensorData:
    """Friedman's first regression: a mean of 14 with a deviation of 5 and noise of 1; [row, 10] and [row, 1]."""
    generator = torch.Generator().manual_seed(6)
    x = torch.rand(rows + VALIDATION + TEST, 10, generator=generator)
    y = 10 * (math.pi * x[:, 0] * x[:, 1]).sin() + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    return _split("Friedman", x, (y + torch.randn(len(y), generator=generator)).unsqueeze(1), 0)


def moons(rows: int) -> TensorData:
    """Two interleaved half circles in the plane, with noise of 0.2."""
    generator = torch.Generator().manual_seed(7)
    count = rows + VALIDATION + TEST
    targets, turn = torch.arange(count) % 2, math.pi * torch.rand(count, generator=generator)
    outer = torch.stack([turn.cos(), turn.sin()], 1)
    points = torch.where(targets.unsqueeze(1) == 0, outer, torch.tensor([1.0, 0.5]) - outer)
    return _split("two moons", points + 0.2 * torch.randn(count, 2, generator=generator), targets, 2)


def _mistaken(targets: Tensor, classes: int, generator: torch.Generator) -> Tensor:
    """A tenth of the targets drawn anew, so that no loss comes near 0, where how near is luck."""
    drawn = torch.randint(classes, targets.shape, generator=generator)
    return torch.where(torch.rand(targets.shape, generator=generator) < MISTAKEN, drawn, targets)


def _split(label: str, inputs: Tensor, targets: Tensor, classes: int) -> TensorData:
    whole = Examples(inputs, targets)
    held_out = whole[-VALIDATION - TEST :]
    return TensorData(label, whole[: -VALIDATION - TEST], held_out[VALIDATION:], classes, held_out[:VALIDATION])
