"""What the pictures of results share: colours, panels, lines with bands over seeds, names at their ends, and files."""

from __future__ import annotations

import io
import json
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame
from sklearn.isotonic import isotonic_regression

from lrpilot.core.picture import plain_panel
from lrpilot.experiments.studies.frame import groups

Points = tuple[Sequence[float], Sequence[float]]  # the steps of a run, and a quantity at each
COLOURS: Mapping[str, str] = tomllib.loads(Path(__file__).with_name("colours.toml").read_text("utf-8"))
OTHERS: Mapping[str, Any] = {"color": "0.82", "linewidth": 0.6, "zorder": 1}  # behind the panel's own
DASHES = ("-", "--", ":", "-.")
PANEL, COMPACT, SMALL = (3.4, 2.8), (2.05, 2.1), (2.5, 1.9)  # inches, the names of lines left out
DPI = 130
NAMES = 1.5  # inches for these at the right of a panel
COMPACT_NAMES = 1.05  # the same of a compact one
NAME_SIZE = 7.5  # points
NAME_LINE = 1.3 * NAME_SIZE / 72  # inches that a line of a name takes
OUTSIDE = 0.02  # panel heights beyond the edge at which a line is out of sight
THICK = 2.0  # points: the name of a line that is thicker than this is bold
GID = "of:"
"""Before the name of a curve: by it a page finds what belongs to the curve (:func:`svg`)."""


def styles(runs: DataFrame) -> dict[str, dict[str, Any]]:
    """By label the style of its line: its method's colour; further labels of the same method are dashed."""
    found: dict[str, dict[str, Any]] = {}
    for method, own in groups(runs, "method").items():
        for number, label in enumerate(own.label.unique()):
            found[label] = {"color": COLOURS[method], "linestyle": DASHES[number % len(DASHES)], "gid": GID + label}
    return found


def panels(
    count: int,
    title: str = "",
    *,
    row: int = 3,
    size: tuple[float, float] = PANEL,
    names: Literal["each", "last", "none"] = "each",
    room: float = NAMES,
    **grid: Any,
) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels, at most ``row`` of them in one.

    There is ``room``, in inches, for names at the right of ``each`` panel, of the ``last`` of a row, or of none.
    ``grid`` is matplotlib's ``sharex`` and ``sharey``.
    """
    columns, rows = min(row, count), -(-count // row)
    width, height = size
    named = {"each": columns, "last": 1, "none": 0}[names]
    title_height = 0.2 * (1 + title.count("\n"))
    figure = Figure(figsize=(width * columns + room * named, height * rows + title_height), layout="constrained")
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    axes = list(np.atleast_1d(figure.subplots(rows, columns, **grid)).ravel())
    for unused in axes[count:]:
        unused.set_axis_off()
    for panel in axes[:count]:
        plain_panel(panel)
    return figure, axes[:count]


def over_seeds(axes: Axes, curves: Sequence[Points], *, band: bool = True, **style: Any) -> None:
    """The mean over runs, and a ``band`` from the least to the greatest.

    The shortest run says where the line ends. Without any run there is only its name.
    """
    if not curves:
        axes.plot([], [], **style)
        return
    length = min(len(steps) for steps, _ in curves)
    steps, values = curves[0][0][:length], np.asarray([values[:length] for _, values in curves], dtype=float)
    axes.plot(steps, values.mean(0), linewidth=1.3, **style)
    if band and len(values) > 1:
        shade: dict[str, Any] = {"color": style["color"], "gid": style.get("gid")}
        axes.fill_between(steps, values.min(0), values.max(0), alpha=0.15, linewidth=0, **shade)


def mark_lost(axes: Axes, curve: Points, style: Mapping[str, Any], *, top: float = math.inf) -> None:
    """A cross where a run ended that diverged: at its last number that is at most ``top``."""
    seen = [(step, value) for step, value in zip(*curve, strict=True) if math.isfinite(value) and value <= top]
    if seen:
        axes.plot(*seen[-1], "x", color=style["color"], markersize=6, markeredgewidth=1.8, gid=style["gid"], zorder=4)


def name_ends(axes: Axes, *, height: float = 0.75 * PANEL[1]) -> None:
    """Each labelled line's name at the right of the panel, at the height where it ends, none above another.

    Where a line ends outside of the panel its name has an arrow and the last number. Call it when the axes have their
    limits. ``height`` is that of the axes, in inches; a name may have several rows.
    """
    lines = [line for line in axes.lines if not str(line.get_label()).startswith("_")]
    if not lines:
        return
    real = np.array([_height(axes, np.asarray(line.get_ydata(), dtype=float)) for line in lines])
    ends = real.clip(0, 1)
    order = np.argsort(ends, kind="stable")
    rows = np.array([1 + str(lines[place].get_label()).count("\n") for place in order])
    gap = min(NAME_LINE / height, 1.1 / rows.sum())
    steps = gap * (np.cumsum(rows) - (rows + rows[0]) / 2)  # from the middle of the lowest name to each one's
    heights = np.empty(len(ends))
    heights[order] = isotonic_regression(ends[order] - steps, y_max=max(0.0, 1.0 - steps[-1]), y_min=0.0) + steps
    for line, truly, end, middle in zip(lines, real, ends, heights, strict=True):
        colour, last = line.get_color(), np.asarray(line.get_ydata(), dtype=float)[-1:]
        outside = f" {'↓' if truly < 0 else '↑'} {last[0]:.3g}" if abs(truly - end) > OUTSIDE else ""
        axes.annotate(
            f"{line.get_label()}{outside}",
            (1.0, end),
            (1.06, middle),
            xycoords="axes fraction",
            fontsize=NAME_SIZE,
            fontweight="bold" if line.get_linewidth() > THICK else "normal",
            color=colour,
            va="center",
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.5, "relpos": (0, 0.5), "shrinkA": 1},
            annotation_clip=False,
            gid=line.get_gid(),
        )


def _height(axes: Axes, values: np.ndarray) -> float:
    """Where a line ends, in panel heights from the bottom; at the top where it has no number."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return 1.0
    return float(axes.transAxes.inverted().transform(axes.transData.transform((0, finite[-1])))[1])


def _lay_out(figure: Figure) -> None:
    """Once and for all: what comes later, in whatever format, has its panels in the same places.

    At the resolution of the file, for the width of letters is rounded to whole pixels.
    """
    if figure.get_layout_engine() is not None:
        figure.set_dpi(DPI)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")


def png(figure: Figure) -> bytes:
    """The same bytes for the same figure."""
    _lay_out(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def svg(figure: Figure, name: str) -> str:
    """The same text for the same figure, fit to stand in a page beside others of other names.

    What belongs to a curve has the class ``curve`` and its name as ``data-of``; ``data-panels`` says of each panel
    where it is, in the picture's units, and what its axes go from and to.
    """
    _lay_out(figure)
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    width, height = 72 * figure.get_size_inches()
    places = [
        {
            "box": [round(v, 1) for v in (width * at.x0, height * (1 - at.y1), width * at.x1, height * (1 - at.y0))],
            "x": [*map(float, axes.get_xlim()), axes.get_xscale()],
            "y": [*map(float, axes.get_ylim()), axes.get_yscale()],
        }
        for axes in figure.axes
        if axes.axison
        for at in [axes.get_position()]
    ]
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(rf'id="{GID}([^"]*)"', r'class="curve" data-of="\1"', text)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    return text.replace("<svg ", f"<svg data-panels='{json.dumps(places)}' ", 1)
