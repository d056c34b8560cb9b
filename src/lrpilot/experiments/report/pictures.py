"""Curves of single runs as PNG files: those of a run directory, and the demonstration's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lrpilot.core.files import replace_file

from .drawing import plain_numbers, png

Records = Sequence[Mapping[str, Any]]  # as in metrics.jsonl; those without a number are left out of its curve


def draw_run(records: Records, file: Path) -> None:
    """One run: training and test loss, test error, learning rate, against the step, as the PNG ``file``."""
    figure, (losses, error, rate) = _stack("loss", "test error, %", "learning rate")
    _curve(losses, records, "loss", label="training", alpha=0.7)
    _curve(losses, records, "test_loss", label="test", marker=".")
    _curve(error, records, "test_error", marker=".", color="C1")
    _curve(rate, records, "learning_rate", color="C2")
    losses.legend(frameon=False)
    _write(figure, file)


def draw_comparison(runs: Mapping[str, Records], file: Path, *, title: str, bold: Sequence[str]) -> None:
    """Several runs of one task by label: test error and learning rate against the step, as the PNG ``file``.

    Those labelled in ``bold`` stand out, the others are in shades of grey.
    """
    figure, (error, rate) = _stack("test error, %", "learning rate")
    shades = iter([str(0.75 - 0.55 * index / max(1, len(runs) - 2)) for index in range(len(runs))])
    for label, records in runs.items():
        style: dict[str, Any] = {"color": next(shades)}
        if label in bold:
            style = {"color": f"C{3 * (1 - bold.index(label))}", "linewidth": 2.2, "zorder": 3}
        _curve(error, records, "test_error", label=label, **style)
        _curve(rate, records, "learning_rate", **style)
    error.set_title(title, loc="left")
    figure.legend(loc="outside right upper", frameon=False)
    _write(figure, file)


def _stack(*names: str) -> tuple[Figure, list[Axes]]:
    """A panel for each of these quantities, one below the other, over the same steps."""
    figure = Figure(figsize=(8, 2.7 * len(names)), layout="constrained")
    axes = list(figure.subplots(len(names), sharex=True))
    for panel, name in zip(axes, names, strict=True):
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
        panel.set_ylabel(name)
    axes[-1].set_xlabel("step")
    return figure, axes


def _curve(axes: Axes, records: Records, name: str, **style: Any) -> None:
    points = [(record["step"], record[name]) for record in records if record.get(name) is not None]
    axes.plot([step for step, _ in points], [value for _, value in points], **style)


def _write(figure: Figure, file: Path) -> None:
    for panel in figure.axes:
        if any((np.asarray(line.get_ydata(), dtype=float) > 0).any() for line in panel.lines):  # an error may be 0
            plain_numbers(panel)
    replace_file(file, png(figure))
