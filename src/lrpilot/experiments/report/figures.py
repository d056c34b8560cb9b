"""From results to the paper's figures, the trajectories of the rates, and error against starting rate."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from lrpilot.experiments.runs.methods import LABELS
from lrpilot.experiments.studies.frame import groups

from .drawing import PlainNumbers, band, colours, legend, panels, plain_numbers


def learning_curves(title: str, runs: DataFrame, *, accuracy: bool = True) -> Figure:
    """Training loss, test loss and test accuracy against mini-batches: the form of Figures 2 and 3.

    Without ``accuracy`` the third panel is left out: the form of Figures 4 and 6. A line for each label is the mean
    over its finished runs, a band reaches from the least to the greatest.
    """
    figure, axes = panels(3 if accuracy else 2, title)
    palette = colours(runs.label)
    for label, own in groups(runs).items():
        finished = own[own.finished].run
        if finished.empty:
            axes[0].plot([], [], color=palette[label], label=f"{label} (diverged)")
            continue
        style = {"color": palette[label], "label": label}
        band(axes[0], [run.curve for run in finished], "train_loss", **style)
        band(axes[1], [run.evaluations for run in finished], "test_loss", **style)
        if accuracy:
            accuracies = [[100 - error for error in run.evaluations["test_error"]] for run in finished]
            looks = [{**run.evaluations, "accuracy": shares} for run, shares in zip(finished, accuracies, strict=True)]
            band(axes[2], looks, "accuracy", **style)
    axes[0].set(ylabel="training loss", yscale="log")
    axes[1].set(ylabel="test loss", yscale="log")
    if accuracy:
        axes[2].set(ylabel="test accuracy, %", ylim=_upper_part(axes[2]))
    for panel in axes:
        panel.set_xlabel("mini-batches")
    legend(figure, axes)
    return figure


def rates(title: str, runs: DataFrame, *, epoch: float | None = None) -> Figure:
    """The learning rate in use, a line for each run, diverged ones included, and a colour for each label.

    With the steps of an ``epoch`` the horizontal axis is epochs on a log scale, the form of Figure 5.
    """
    figure, (axes,) = panels(1, title)
    palette = colours(runs.label)
    for label, run in zip(runs.label, runs.run, strict=True):
        steps = np.asarray(run.curve["step"], dtype=float) / (epoch or 1.0)
        axes.plot(steps, run.curve["rate"], color=palette[label], linewidth=0.9, label=label)
    axes.set(ylabel="learning rate", yscale="log", xlabel="epochs" if epoch else "mini-batches")
    if epoch and runs.steps.any():
        axes.set_xscale("log")  # which needs a point
    legend(figure, [axes])
    return figure


def against_start(tasks: Mapping[str, DataFrame]) -> Figure:
    """Final test error against starting rate, a panel for each title: every run a point, lines through the means.

    A method that is given no rate is a dashed level; the pilot's line stands out.
    """
    figure, axes = panels(len(tasks))
    palette = colours(label for runs in tasks.values() for label in runs.label)
    for panel, (title, runs) in zip(axes, tasks.items(), strict=True):
        for label, own in groups(runs).items():
            colour = palette[label]
            if own.setting_lr.isna().all():
                panel.axhline(own.test_error.mean(), linestyle="--", linewidth=1, color=colour, label=label)
                continue
            means = own.groupby("setting_lr").test_error.mean()
            (line,) = panel.plot(means.index, means, color=colour, label=label)
            if label == LABELS["pilot"]:
                line.set(linewidth=2.6, zorder=3)
            panel.plot(own.setting_lr, own.test_error, ".", markersize=4, color=colour)
        panel.set(xscale="log", xlabel="starting rate", ylabel="test error, %")
        panel.set_title(title, fontsize=9)
        plain_numbers(panel, minor=(3, 0.6))
        panel.xaxis.set_major_formatter(PlainNumbers())
    legend(figure, axes)
    return figure


def _upper_part(axes: Axes) -> tuple[float, float]:
    """Limits that show where methods end, not where they start: down to the worst end, and a margin."""
    ends = [float(np.asarray(line.get_ydata())[-1]) for line in axes.lines if len(np.asarray(line.get_ydata()))]
    if not ends:
        return 0.0, 100.0
    low, high = min(ends), max(ends)
    margin = max(2.0, 1.5 * (high - low))
    return max(0.0, low - margin), min(100.0, high + 0.2 * margin)
