"""Plain numbers on log axes, plain panels, and what a notebook shows."""

from __future__ import annotations

from typing import Literal

import pytest
from matplotlib.figure import Figure

from lrpilot.core.picture import Picture, plain_numbers, plain_panel

HALF, WHOLE, THREE = ("1 1.2 1.4 1.6 1.8 2 2.5 3 3.5 4 5 6 7 8 9", "1 1.5 2 3 4 5 7", "1 2 5")
"""Of each power of ten by how many of these are in view at most: half a one, one, three. Beyond that, only 1."""


@pytest.mark.parametrize("which", ["x", "y"])
@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (0.95, 2.1, "1 1.2 1.4 1.6 1.8 2"),
        (0.19, 0.51, "0.2 0.25 0.3 0.35 0.4 0.5"),
        (49, 110, "50 60 70 80 90 100"),
        (1, 10**0.48, "1 1.2 1.4 1.6 1.8 2 2.5 3"),
        (1, 10**0.52, "1 1.5 2 3"),
        (0.9, 8.0, "1 1.5 2 3 4 5 7"),
        (1, 10, "1 1.5 2 3 4 5 7 10"),
        (1, 10**1.05, "1 2 5 10"),
        (0.009, 0.6, "0.01 0.02 0.05 0.1 0.2 0.5"),
        (0.01, 10, "0.01 0.02 0.05 0.1 0.2 0.5 1 2 5 10"),
        (0.009, 10, "0.01 0.1 1 10"),
        (0.0009, 20.0, "0.001 0.01 0.1 1 10"),
        (0.00009, 20.0, "0.0001 0.001 0.01 0.1 1 10"),
        (0.64, 0.71, "0.64 0.66 0.68 0.7"),
        (3, 3 * 10**0.19, "3 3.5 4 4.5"),  # less than a fifth of a power: as on a linear axis
        (3, 3 * 10**0.21, "3 3.5 4"),
        (3, 4, "3 3.5 4"),
        (10, 13, "10 11 12 13"),
        (1e-6, 2e-5, "1e-6 2e-6 5e-6 1e-5 2e-5"),
    ],
)
def test_a_log_axis_has_enough_plain_numbers(which: Literal["x", "y"], low: float, high: float, shown: str) -> None:
    axes = Figure().subplots()
    plain_numbers(axes, which)
    axes.set(**{f"{which}lim": (low, high)})
    axis = axes.xaxis if which == "x" else axes.yaxis
    ticks = zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True)
    assert [label.get_text() for tick, label in ticks if low <= tick <= high] == shown.split()
    assert not any(label.get_text() for label in axis.get_minorticklabels())
    axes.set(**{f"{which}lim": (high, low)})  # turned round
    ticks = zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True)
    assert sorted(label.get_text() for tick, label in ticks if low <= tick <= high) == sorted(shown.split())


@pytest.mark.parametrize("low", [0, -0.5])
def test_limits_that_no_log_axis_has(low: float) -> None:
    """Given before the axis was one: ticks where there are numbers."""
    axes = Figure().subplots()
    axes.plot([0.02, 0.9])
    axes.set_ylim(low, 1)
    plain_numbers(axes)
    assert {0.1, 1.0} <= set(axes.get_yticks())


def test_a_panel_has_two_axes_and_a_grid() -> None:
    axes = Figure().subplots()
    plain_numbers(axes)
    plain_panel(axes)
    assert [side for side, spine in axes.spines.items() if spine.get_visible()] == ["left", "bottom"]
    assert all(line.get_visible() for line in axes.get_xgridlines())
    assert {tick.tick1line.get_markersize() for tick in axes.yaxis.get_minor_ticks()} == {0}


def test_a_notebook_shows_the_picture() -> None:
    assert Picture()._repr_png_().startswith(b"\x89PNG")
