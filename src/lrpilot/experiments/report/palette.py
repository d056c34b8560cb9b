"""The colour of each method, the same in every picture."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, cycle

from matplotlib import colormaps
from matplotlib.colors import to_hex

from lrpilot.experiments.runs.methods import LABELS

OWN = {"pilot": "#d62728", "online-stable": "#111111", "online-paper": "#7f2ca0"}
"""lrpilot's own methods, which stand out: a red that no other line has, black, and a strong purple."""


def _others() -> list[str]:
    """Strong colours, then pale ones, then muted ones."""
    strong, pale = (colormaps["tab20"].colors[start::2] for start in (0, 1))  # type: ignore[attr-defined]
    colours = [to_hex(colour) for colour in chain(strong, pale, colormaps["tab20b"].colors)]  # type: ignore[attr-defined]
    return [colour for colour in colours if colour not in OWN.values()]


METHODS = {
    LABELS[method]: colour
    for method, colour in {**dict(zip((m for m in LABELS if m not in OWN), cycle(_others()))), **OWN}.items()
}
"""By label: a method gets its colour from its place in the table of methods."""


def colours(labels: Iterable[str]) -> dict[str, str]:
    """A colour for each label: a method's own, or for another line the next that is free in this picture."""
    labels = list(dict.fromkeys(labels))
    taken = {METHODS[label] for label in labels if label in METHODS}
    free = (colour for colour in cycle(_others()) if colour not in taken)
    return {label: METHODS.get(label) or next(free) for label in labels}
