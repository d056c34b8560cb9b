"""Curves of single runs as PNG files: those of a run directory, and the demonstration's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lrpilot.core.files import replace_file
from lrpilot.core.picture import INK, PILOT, plain_numbers, plain_panel

from .drawing import COLOURS, name_ends, png, svg

Records = Sequence[Mapping[str, Any]]  # as in metrics.jsonl; those without a number are left out of its curve


def draw_run(records: Records, file: Path) -> None:
    """One run: training and test loss, test error, learning rate, against the step, as the PNG ``file``."""
    figure, (losses, error, rate) = _stack("loss", "test error, %", "learning rate")
    _curve(losses, records, "loss", label="training", color="0.6")
    _curve(losses, records, "test_loss", label="test", marker=".", color=INK)
    _curve(error, records, "test_error", marker=".", color=INK)
    _curve(rate, records, "learning_rate", color=PILOT)
    _on_log_axes(figure)
    name_ends(losses)
    replace_file(file, png(figure))


def draw_comparison(runs: Mapping[str, Records], file: Path, *, title: str, learned: Mapping[str, str]) -> None:
    """Several runs of one task by label: test error and learning rate against the step.

    As the PNG ``file`` and beside it as an SVG. Those in ``learned``, label to method, have their method's colour; the
    others are in shades of grey.
    """
    figure, (error, rate) = _stack("test error, %", "learning rate")
    shades = iter(np.linspace(0.65, 0.15, len(runs) - len(learned)))
    for label, records in runs.items():
        method = learned.get(label)
        emphasis = (
            {"color": COLOURS[method], "linewidth": 2.2, "zorder": 3} if method else {"color": f"{next(shades):.2f}"}
        )
        style: dict[str, Any] = {"label": label, **emphasis}
        _curve(error, records, "test_error", **style)
        _curve(rate, records, "learning_rate", **style)
    error.set_title(title, loc="left", fontsize=10)
    _on_log_axes(figure)
    name_ends(error)
    name_ends(rate)
    replace_file(file, png(figure))
    replace_file(file.with_suffix(".svg"), svg(figure, file.stem).encode())


def _stack(*names: str) -> tuple[Figure, list[Axes]]:
    """A panel for each of these quantities, one below the other, over the same steps."""
    figure = Figure(figsize=(8, 2.7 * len(names)), layout="constrained")
    axes = list(figure.subplots(len(names), sharex=True))
    for panel, name in zip(axes, names, strict=True):
        plain_panel(panel)
        panel.set_ylabel(name)
    axes[-1].set_xlabel("step")
    return figure, axes


def _curve(axes: Axes, records: Records, name: str, **style: Any) -> None:
    points = [(record["step"], record[name]) for record in records if record.get(name) is not None]
    axes.plot([step for step, _ in points], [value for _, value in points], **style)


def _on_log_axes(figure: Figure) -> None:
    for panel in figure.axes:
        if any((np.asarray(line.get_ydata(), dtype=float) > 0).any() for line in panel.lines):  # an error may be 0
            plain_numbers(panel)
