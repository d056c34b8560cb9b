"""What every picture of lrpilot has in common: plain panels, plain numbers on log axes, and how a notebook shows it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

PILOT = "#c8102e"
"""The pilot's colour, which no other line of any picture has."""
INK = "#333333"
"""Of what belongs to no method."""
TICKS: Mapping[float, Sequence[float]] = {
    0.5: (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9),
    1.0: (1, 1.5, 2, 3, 4, 5, 7),
    3.0: (1, 2, 5),
    math.inf: (1,),
}
"""Of a logarithmic axis, in each power of ten, by how many of these are in view at most."""
NARROW = 0.2
"""With less than this share of a power of ten in view, a log axis has the ticks of a linear one."""


class Picture(Figure):
    """A matplotlib figure that is displayed as the picture it is, whatever backend is active."""

    def _repr_png_(self) -> bytes:
        file = BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()


class PlainTicks(LogLocator):
    """1, 2, 5 and the like in each power of ten: the more, the fewer powers are in view."""

    def tick_values(self, vmin: float, vmax: float) -> Any:
        """Where there are ticks between two values."""
        low, high = sorted((vmin, vmax))
        decades = math.log10(high / low) if low > 0 else math.inf
        if decades < NARROW:
            return MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(vmin, vmax)
        self.set_params(subs=next(subs for most, subs in TICKS.items() if decades <= most))
        return super().tick_values(vmin, vmax)


def plain_numbers(axes: Axes, which: Literal["x", "y"] = "y") -> None:
    """A logarithmic axis with 0.05 rather than a power of ten."""
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(PlainTicks())
    axis.set_major_formatter(lambda value, _: f"{value:g}".replace("e-0", "e-"))
    axis.set_minor_formatter(NullFormatter())


def plain_panel(axes: Axes) -> None:
    """Two axes, a faint grid, and nothing else around the curves."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.tick_params(which="minor", length=0)
