"""What all pictures share: colours, panels, numbers on a log axis, lines with bands over seeds, a legend, a file."""

from __future__ import annotations

import io
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from lrpilot.experiments.runs.methods import LABELS

PANEL = (4.2, 3.6)  # inches
LEGEND = 1.8
COLOURS: Mapping[str, str] = tomllib.loads(Path(__file__).with_name("colours.toml").read_text("utf-8"))
SPARE = ("#1f77b4", "#ff7f0e", "#2ca02c", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf", "#aec7e8")


def colours(labels: Iterable[str]) -> dict[str, str]:
    """A colour for each label: its method's, or for any other line the next spare one that this picture lacks."""
    labels = list(dict.fromkeys(labels))
    own = {LABELS[method]: colour for method, colour in COLOURS.items()}
    taken = {own[label] for label in labels if label in own}
    spare = cycle([colour for colour in SPARE if colour not in taken])
    return {label: own.get(label) or next(spare) for label in labels}


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
    """A logarithmic vertical axis with plain numbers; between powers of ten for ranges within ``minor`` decades.

    To be called when the lines are drawn: where none of them rises above 0, the axis stays linear.
    """
    if not any((np.asarray(line.get_ydata(), dtype=float) > 0).any() for line in axes.lines):
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(PlainNumbers())
    axes.yaxis.set_minor_formatter(PlainNumbers(minor_thresholds=minor))


def band(axes: Axes, columns: Sequence[Mapping[str, Sequence[float]]], name: str, **style: Any) -> None:
    """The mean of ``name`` over runs against their ``step``, and a band from the least to the greatest.

    The shortest run says where the line ends.
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


def png(figure: Figure) -> bytes:
    """The same bytes for the same figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
