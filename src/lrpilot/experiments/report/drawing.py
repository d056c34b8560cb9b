"""What all pictures share: panels, numbers on a log axis, lines with bands over seeds, a legend beside the panels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

PANEL = (4.2, 3.6)  # inches
LEGEND = 1.8


class PlainNumbers(LogFormatter):
    """0.01 rather than a power of ten, at the ticks that matplotlib would label."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """The label of a tick, empty where matplotlib would give none."""
        return f"{x:g}" if super().__call__(x, pos) else ""


def panels(count: int, title: str | None = None) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels, three in a row, with room for a legend at its right."""
    columns, rows = min(3, count), -(-count // 3)
    width = PANEL[0] * columns + LEGEND + (1.5 if columns == 1 else 0)
    figure = Figure(figsize=(width, PANEL[1] * rows), layout="constrained")
    figure.suptitle(title or "", fontsize=10)
    axes = list(np.atleast_1d(figure.subplots(rows, columns)).ravel())
    for unused in axes[count:]:
        unused.set_axis_off()
    for panel in axes[:count]:
        panel.grid(alpha=0.3)
    return figure, axes[:count]


def plain_numbers(axes: Axes, *, minor: tuple[float, float]) -> None:
    """A logarithmic vertical axis with plain numbers; between powers of ten for ranges within ``minor`` decades."""
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(PlainNumbers())
    axes.yaxis.set_minor_formatter(PlainNumbers(minor_thresholds=minor))


def band(axes: Axes, columns: Sequence[Mapping[str, Sequence[float]]], name: str, **style: Any) -> None:
    """The mean over runs against the step, and a band from the least to the greatest.

    Args:
        axes: where it is drawn.
        columns: of each run ``step`` and ``name``; the shortest run says where the line ends.
        name: what is drawn.
        style: of the line.
    """
    length = min(len(each["step"]) for each in columns)
    steps, values = columns[0]["step"][:length], np.asarray([each[name][:length] for each in columns], dtype=float)
    axes.plot(steps, values.mean(0), linewidth=1.1, **style)
    if len(values) > 1:
        axes.fill_between(steps, values.min(0), values.max(0), color=style["color"], alpha=0.15, linewidth=0)


def legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """At the right of the panels: every line of any panel, once."""
    handles = {label: line for panel in axes for line, label in zip(*panel.get_legend_handles_labels(), strict=True)}
    figure.legend(list(handles.values()), list(handles), loc="outside right upper", fontsize=7)
