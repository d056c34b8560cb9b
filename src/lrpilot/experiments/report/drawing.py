"""What all pictures share: colours, panels, numbers on a log axis, lines with bands over seeds, a legend, a file."""

from __future__ import annotations

import io
import math
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from pandas import DataFrame

from lrpilot.experiments.studies.frame import groups

PANEL = (4.2, 3.6)  # inches
LEGEND = 1.8
COLOURS: Mapping[str, str] = tomllib.loads(Path(__file__).with_name("colours.toml").read_text("utf-8"))
TICKS: Mapping[float, Sequence[float]] = {
    0.5: (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9),
    1.0: (1, 1.5, 2, 3, 4, 5, 7),
    3.0: (1, 2, 5),
    math.inf: (1,),
}
"""Of a logarithmic axis, in each power of ten, by how many of these are in view at most."""
DASHES = ("-", "--", ":", "-.")


def styles(runs: DataFrame) -> dict[str, dict[str, Any]]:
    """By label the style of its line: its method's colour; further labels of the same method are dashed."""
    found: dict[str, dict[str, Any]] = {}
    for method, own in groups(runs, "method").items():
        for number, label in enumerate(own.label.unique()):
            found[label] = {"color": COLOURS[method], "linestyle": DASHES[number % len(DASHES)]}
    return found


class PlainTicks(LogLocator):
    """1, 2, 5 and the like in each power of ten: the more, the fewer powers are in view."""

    def tick_values(self, vmin: float, vmax: float) -> Any:
        """Where there are ticks between two values."""
        decades = math.log10(vmax / vmin) if 0 < vmin < vmax else math.inf
        self.set_params(subs=next(subs for most, subs in TICKS.items() if decades <= most))
        return super().tick_values(vmin, vmax)


def panels(count: int, title: str | None = None, *, row: int = 3) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels, at most ``row`` of them in one, with room for a legend at its right."""
    columns, rows = min(row, count), -(-count // row)
    width = PANEL[0] * columns + LEGEND + (1.5 if columns == 1 else 0)
    figure = Figure(figsize=(width, PANEL[1] * rows), layout="constrained")
    figure.suptitle(title or "", fontsize=10, x=0.01, ha="left")
    axes = list(np.atleast_1d(figure.subplots(rows, columns)).ravel())
    for unused in axes[count:]:
        unused.set_axis_off()
    for panel in axes[:count]:
        panel.grid(alpha=0.3)
    return figure, axes[:count]


def plain_numbers(axes: Axes, which: Literal["x", "y"] = "y") -> None:
    """A logarithmic axis with 0.05 rather than a power of ten."""
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(PlainTicks())
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(NullFormatter())


def over_seeds(
    axes: Axes, columns: Sequence[Mapping[str, Sequence[float]]], name: str, *, band: bool = True, **style: Any
) -> None:
    """The mean of ``name`` over runs against their ``step``, and a ``band`` from the least to the greatest.

    The shortest run says where the line ends. Without any run there is only its place in the legend.
    """
    if not columns:
        axes.plot([], [], **style)
        return
    length = min(len(each["step"]) for each in columns)
    steps, values = columns[0]["step"][:length], np.asarray([each[name][:length] for each in columns], dtype=float)
    axes.plot(steps, values.mean(0), linewidth=1.3, **style)
    if band and len(values) > 1:
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
