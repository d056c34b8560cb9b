"""From results to the paper's figures, the trajectories of the rates, and error against starting rate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from lrpilot.experiments.runs.methods import LABELS
from lrpilot.experiments.runs.trial import Result
from lrpilot.experiments.studies.frame import groups

from .drawing import legend, over_seeds, panels, plain_numbers, styles

GUESSING = math.log(10)  # the loss of guessing among ten classes


def learning_curves(title: str, runs: DataFrame, *, accuracy: bool = True) -> Figure:
    """Training loss, test loss and how many test examples are classified rightly, against mini-batches.

    The upper row has the form of the paper's Figures 2 and 3: means over the finished runs, on linear axes up to the
    loss of guessing, the test accuracy. The lower one is to be read: on log axes with plain numbers, a band from the
    least to the greatest of these runs, the test error. Without ``accuracy`` the last panels are left out: the form of
    Figures 4 and 6. A line for each label, which says how many of its runs did not finish.
    """
    last = 3 if accuracy else 2
    figure, axes = panels(2 * last, title, row=last)
    upper, lower = axes[:last], axes[last:]
    for finished, style in _finished(runs):
        for row, band in ((upper, False), (lower, True)):
            over_seeds(row[0], [run.curve for run in finished], "train_loss", band=band, **style)
            over_seeds(row[1], [run.evaluations for run in finished], "test_loss", band=band, **style)
        if accuracy:
            looks = [{**run.evaluations, "accuracy": _accuracies(run)} for run in finished]
            over_seeds(upper[2], looks, "accuracy", band=False, **style)
            over_seeds(lower[2], looks, "test_error", **style)
    for row, share in ((upper, "test accuracy, %"), (lower, "test error, %")):
        for panel, name in zip(row, ("training loss", "test loss", share), strict=False):
            panel.set(xlabel="mini-batches", ylabel=name)
    for panel in upper[:2]:
        panel.set_ylim(0, 1.1 * GUESSING)
    if accuracy:
        upper[2].set_ylim(_upper_part(upper[2]))
    for panel in lower:
        plain_numbers(panel)
    for panel in lower[:2]:
        panel.set_ylim(top=min(panel.get_ylim()[1], 10 * GUESSING))
    upper[0].set_title("in the paper's form", loc="left", fontsize=9)
    lower[0].set_title("to be read: log axes, bands over seeds", loc="left", fontsize=9)
    legend(figure, axes)
    return figure


def learned_rate(title: str, runs: DataFrame) -> Figure:
    """Figure 5: the mean rate over the finished runs on linear axes, and beside it every run on a log axis."""
    figure, (mean, each) = panels(2, title)
    for finished, style in _finished(runs):
        over_seeds(mean, [run.curve for run in finished], "rate", band=False, **style)
    _rates(each, runs)
    mean.set(xlabel="mini-batches", ylabel="learning rate")
    mean.set_title("the mean over seeds, linear axes", loc="left", fontsize=9)
    each.set_title("every run, log axis", loc="left", fontsize=9)
    legend(figure, [mean])
    return figure


def rates(title: str, runs: DataFrame) -> Figure:
    """The learning rate in use, a line for each run, diverged ones included, and a colour for each method."""
    figure, (axes,) = panels(1, title)
    _rates(axes, runs)
    legend(figure, [axes])
    return figure


def against_start(tasks: Mapping[str, DataFrame]) -> Figure:
    """Final test error against starting rate, a panel for each title: every run a point, lines through the means.

    A method that is given no rate is a dashed level; the pilot's line stands out.
    """
    figure, axes = panels(len(tasks))
    for panel, (title, runs) in zip(axes, tasks.items(), strict=True):
        style = styles(runs)
        for label, own in groups(runs).items():
            colour = style[label]["color"]
            if own.setting_lr.isna().all():
                panel.axhline(own.test_error.mean(), linestyle="--", linewidth=1, color=colour, label=label)
                continue
            means = own.groupby("setting_lr").test_error.mean()
            (line,) = panel.plot(means.index, means, **style[label], label=label)
            if label == LABELS["pilot"]:
                line.set(linewidth=2.6, zorder=3)
            panel.plot(own.setting_lr, own.test_error, ".", markersize=4, color=colour)
        panel.set(xlabel="starting rate", ylabel="test error, %")
        panel.set_title(title, fontsize=9)
        plain_numbers(panel, "x")
        plain_numbers(panel)
    legend(figure, axes)
    return figure


def _finished(runs: DataFrame) -> Iterator[tuple[list[Result], dict[str, Any]]]:
    """By label the runs that finished, and the style of their line, whose label says how many did not."""
    style = styles(runs)
    for label, own in groups(runs).items():
        finished = [run for run in own.run if run.status == "finished"]
        lost = len(own) - len(finished)
        counted = f"{label} ({lost} of {len(own)} diverged)" if lost else label
        yield finished, {**style[label], "label": counted}


def _rates(axes: Axes, runs: DataFrame) -> None:
    style = styles(runs)
    for label, run in zip(runs.label, runs.run, strict=True):
        axes.plot(run.curve["step"], run.curve["rate"], **style[label], linewidth=0.9, label=label)
    axes.set(xlabel="mini-batches", ylabel="learning rate")
    plain_numbers(axes)


def _accuracies(run: Result) -> list[float]:
    return [100 - error for error in run.evaluations["test_error"]]


def _upper_part(axes: Axes) -> tuple[float, float]:
    """Limits that show where the better half of the methods ends, not where they start, and a margin."""
    ends = [float(np.asarray(line.get_ydata())[-1]) for line in axes.lines if len(np.asarray(line.get_ydata()))]
    if not ends:
        return 0.0, 100.0
    low, high = float(np.median(ends)), max(ends)
    margin = max(2.0, 2.5 * (high - low))
    return max(0.0, low - margin), min(100.0, high + 0.2 * margin)
