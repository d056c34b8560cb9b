"""From results to the paper's figures, the trajectories of the rates, and error against starting rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from textwrap import fill
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from lrpilot.core.picture import plain_numbers
from lrpilot.experiments.runs.methods import LABELS
from lrpilot.experiments.runs.trial import Result
from lrpilot.experiments.studies.frame import groups

from .drawing import (
    COMPACT,
    COMPACT_NAMES,
    NAMES,
    OTHERS,
    PANEL,
    SMALL,
    Points,
    mark_lost,
    name_ends,
    over_seeds,
    panels,
    styles,
)

GUESSING = math.log(10)  # the loss of guessing among ten classes
QUANTITIES: Mapping[str, str] = {
    "train_loss": "training loss",
    "test_loss": "test loss",
    "test_error": "test error, %",
    "accuracy": "test accuracy, %",
    "rate": "learning rate",
}
LEAST_RATE = 1e-7  # in view: schedules end at 0
ROW, SMALL_ROW = 3, 4  # panels in one
TITLE = 36  # characters above a small panel
LEVEL_NAME = 16  # characters of a row of a level's name in a compact figure
BEHIND = 30  # points of each of these, at most


class Curves(NamedTuple):
    """The runs of one label, and the style of its line."""

    finished: list[Result]
    lost: list[Result]
    style: dict[str, Any]


def learning_curves(title: str, runs: DataFrame, *, accuracy: bool = True) -> Figure:
    """Training loss, test loss and how many test examples are classified rightly, against mini-batches.

    The upper row has the form of the paper's Figures 2 and 3: means over the finished runs, on linear axes up to the
    loss of guessing, the test accuracy. The lower one has log axes, a band from the least to the greatest of these
    runs, and a cross where a run diverged. Without ``accuracy`` the last panels are left out: the form of Figures 4
    and 6. A line for each label, which says how many of its runs did not finish.
    """
    last = 3 if accuracy else 2
    figure, axes = panels(2 * last, title, row=last, names="last")
    upper, lower = axes[:last], axes[last:]
    curves = _curves(runs)
    for row, band, share in ((upper, False, "accuracy"), (lower, True, "test_error")):
        for panel, name in zip(row, ("train_loss", "test_loss", share), strict=False):
            panel.set(xlabel="mini-batches", ylabel=QUANTITIES[name])
            for finished, _, style in curves:
                over_seeds(panel, [_points(run, name) for run in finished], band=band, **style)
    for panel in upper[:2]:
        panel.set_ylim(0, 1.1 * GUESSING)
    for panel in upper[2:]:
        panel.set_ylim(_upper_part(panel))
    for panel in lower:
        plain_numbers(panel)
    for panel in lower[:2]:
        panel.set_ylim(top=min(panel.get_ylim()[1], 10 * GUESSING))
    for _, lost, style in curves:
        for run in lost:
            mark_lost(lower[0], _points(run, "train_loss"), style, top=lower[0].get_ylim()[1])
    for row, form in ((upper, "as the paper draws it"), (lower, "on log axes, with bands over seeds")):
        row[0].set_title(form, loc="left", fontsize=9)
        name_ends(row[-1])
    return figure


def errors(title: str, runs: DataFrame) -> Figure:
    """The test error against mini-batches, a panel for each label: mean and band over seeds, all others' in grey."""

    def mean(panel: Axes, curves: Curves) -> None:
        over_seeds(panel, [_points(run, "test_error") for run in curves.finished], **curves.style)

    return _small_multiples(title, runs, "test_error", mean)


def rates(title: str, runs: DataFrame) -> Figure:
    """The learning rate in use, a panel for each label and a line for each run, all others' in grey."""
    figure = _small_multiples(title, runs, "rate", _every_rate)
    low, high = figure.axes[0].get_ylim()
    figure.axes[0].set_ylim(max(low, min(LEAST_RATE, high / 10)), high)
    return figure


def learned_rate(title: str, runs: DataFrame) -> Figure:
    """Figure 5: the mean rate over the finished runs on linear axes, and beside it every run on a log axis."""
    figure, (mean, each) = panels(2, title)
    for curves in _curves(runs):
        over_seeds(mean, [_points(run, "rate") for run in curves.finished], band=False, **curves.style)
        _every_rate(each, curves)
    plain_numbers(each)
    for panel, form in ((mean, "mean over seeds, linear axes"), (each, "every run, log axis")):
        panel.set(xlabel="mini-batches", ylabel=QUANTITIES["rate"])
        panel.set_title(form, loc="left", fontsize=9)
        name_ends(panel)
    return figure


def against_start(tasks: Mapping[str, DataFrame], *, title: str = "", compact: bool = False) -> Figure:
    """Final test error against starting rate, a panel for each title: every run a point, lines through the means.

    A run that diverged is a cross. A method that is given no rate is a dashed level; the pilot's line stands out. A
    ``compact`` figure is for a page that is read at a glance: of these levels only the lowest is drawn.
    """
    size, room, share = (COMPACT, COMPACT_NAMES, 0.6) if compact else (PANEL, NAMES, 0.75)  # of the height for the axes
    figure, axes = panels(len(tasks), title, row=ROW, size=size, room=room)
    for place, (panel, (heading, runs)) in enumerate(zip(axes, tasks.items(), strict=True)):
        _from_each_start(panel, runs, compact=compact)
        panel.set_title(heading, fontsize=9, loc="left")
        plain_numbers(panel, "x")
        plain_numbers(panel)
        if place + ROW >= len(tasks) or not compact:
            panel.set_xlabel("learning rate given")
        if place % ROW == 0 or not compact:
            panel.set_ylabel(QUANTITIES["test_error"])
        name_ends(panel, height=share * size[1])
    return figure


def _from_each_start(panel: Axes, runs: DataFrame, *, compact: bool) -> None:
    style = styles(runs)
    levels = runs[runs.setting_lr.isna()].groupby("label", sort=False).test_error.mean()
    drawn = levels.nsmallest(1) if compact else levels
    for label, own in groups(runs).items():
        like = {"color": style[label]["color"], "gid": style[label]["gid"]}
        if label in levels.index:
            if label in drawn.index:
                name = fill(f"best rate-free: {label}", LEVEL_NAME) if compact else label
                panel.axhline(levels[label], linestyle="--", linewidth=1, label=name, zorder=4, **like)
            continue
        means = own.groupby("setting_lr").test_error.mean()
        (line,) = panel.plot(means.index, means, **style[label], label=label)
        if label == LABELS["pilot"]:
            line.set(linewidth=2.6, zorder=3)
        for ended, mark, size in ((own.finished, ".", 4), (~own.finished, "x", 6)):
            panel.plot(own[ended].setting_lr, own[ended].test_error, mark, markersize=size, **like)


def _small_multiples(title: str, runs: DataFrame, name: str, draw: Callable[[Axes, Curves], None]) -> Figure:
    """A panel for each label with what ``draw`` puts there, over the quantity ``name`` of every run in grey."""
    curves = _curves(runs)
    figure, axes = panels(len(curves), title, row=SMALL_ROW, size=SMALL, names="none", sharex=True, sharey=True)
    for panel, own in zip(axes, curves, strict=True):
        for steps, values in (_points(run, name) for run in runs.run):
            thinned = slice(None, None, 1 + len(steps) // BEHIND)
            panel.plot(steps[thinned], values[thinned], **OTHERS)
        draw(panel, own)
        heading, like = fill(own.style["label"], TITLE), {"color": own.style["color"], "gid": own.style["gid"]}
        panel.set_title(heading, loc="left", fontsize=8, **like)
    plain_numbers(axes[0])
    for panel in axes[-SMALL_ROW:]:
        panel.set_xlabel("mini-batches")
        panel.tick_params(labelbottom=True)
    for panel in axes[::SMALL_ROW]:
        panel.set_ylabel(QUANTITIES[name])
    return figure


def _every_rate(panel: Axes, curves: Curves) -> None:
    """A line for each run, of which the first is labelled, and a cross where one diverged."""
    style: dict[str, Any] = curves.style
    for run in (*curves.finished, *curves.lost):
        steps, rates = _points(run, "rate")
        panel.plot(steps, rates, linewidth=1.1, **style)
        style = {**style, "label": None}
    for run in curves.lost:
        mark_lost(panel, _points(run, "rate"), style)


def _curves(runs: DataFrame) -> list[Curves]:
    """By label the runs that finished and those that did not, and a style whose label says how many these are."""
    found, style = list[Curves](), styles(runs)
    for label, own in groups(runs).items():
        finished, lost = ([run for run in own.run if (run.status == "finished") is ended] for ended in (True, False))
        counted = f"{label} ({len(lost)} of {len(own)} diverged)" if lost else label
        found.append(Curves(finished, lost, {**style[label], "label": counted}))
    return found


def _points(run: Result, name: str) -> Points:
    """One of :data:`QUANTITIES` over a run."""
    if name == "accuracy":
        return run.evaluations["step"], [100 - error for error in run.evaluations["test_error"]]
    columns = run.evaluations if name.startswith("test") else run.curve
    return columns["step"], columns[name]


def _upper_part(axes: Axes) -> tuple[float, float]:
    """Limits that show where the better half of the methods ends, not where they start, and a margin."""
    ends = [float(np.asarray(line.get_ydata())[-1]) for line in axes.lines if len(np.asarray(line.get_ydata()))]
    if not ends:
        return 0.0, 100.0
    low, high = float(np.median(ends)), max(ends)
    margin = max(2.0, 2.5 * (high - low))
    return max(0.0, low - margin), min(100.0, high + 0.2 * margin)
