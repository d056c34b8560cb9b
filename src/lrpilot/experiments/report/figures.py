"""From results to the paper's figures, and the trajectories of the rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .pictures import PlainNumbers
from .tables import Choice

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Series = tuple["np.ndarray", "np.ndarray"]  # steps; (run, step) values
PANEL = (4.2, 3.6)  # inches
LEGEND = 1.8
BOLD = (0.84, 0.15, 0.16)  # a red that no other line has


def learning_curves(title: str, choices: Mapping[str, Choice], *, accuracy: bool = True) -> Figure:
    """Training loss, test loss and test accuracy against mini-batches: the form of Figures 2 and 3.

    Without ``accuracy`` the third panel is left out: the form of Figures 4 and 6. Lines are means over runs,
        bands
    reach from the least to the greatest.

    Args:
        title: above the panels.
        choices: by label, the runs to draw.
        accuracy: whether to draw the third panel.
    """
    figure, panels = _figure(title, 3 if accuracy else 2)
    for axes in panels:
        axes.set_prop_cycle(color=_colours(len(choices)))
    for label, choice in choices.items():
        finished = [result for result in choice.results if result.status == "finished"]
        if not finished:
            for axes in panels:
                axes.plot([], [], label=f"{label} (diverged)")
            continue
        evaluations = [result.evaluations for result in finished]
        _draw(panels[0], label, _series([result.curve for result in finished], "train_loss"))
        _draw(panels[1], label, _series(evaluations, "test_loss"))
        if accuracy:
            steps, errors = _series(evaluations, "test_error")
            _draw(panels[2], label, (steps, 100 - errors))
    panels[0].set(ylabel="training loss", yscale="log")
    panels[1].set(ylabel="test loss", yscale="log")
    if accuracy:
        panels[2].set(ylabel="test accuracy, %", ylim=_upper_part(panels[2]))
    for axes in panels:
        axes.set_xlabel("mini-batches")
        axes.grid(alpha=0.3)
    _legend(figure, panels[0])
    return figure


def rates(title: str, choices: Mapping[str, Choice], *, epoch: float | None = None) -> Figure:
    """The learning rate in use, by run, on a log axis.

    Args:
        title: above the panel.
        choices: by label, the runs to draw, diverged ones included.
        epoch: steps in an epoch: the horizontal axis is then epochs on a log scale, the form of Figure 5.
    """
    figure, (axes,) = _figure(title, 1)
    colours = _colours(len(choices))
    for index, (label, choice) in enumerate(choices.items()):
        for run, result in enumerate(choice.results):
            steps = np.asarray(result.curve["step"], dtype=float) / (epoch or 1.0)
            axes.plot(
                steps,
                np.asarray(result.curve["rate"], dtype=float),
                color=colours[index],
                linewidth=0.9,
                label=label if run == 0 else None,
            )
    axes.set(ylabel="learning rate", yscale="log", xlabel="epochs" if epoch else "mini-batches")
    if epoch and any(result.steps for choice in choices.values() for result in choice.results):
        axes.set_xscale("log")  # which needs a point
    axes.grid(alpha=0.3)
    _legend(figure, axes)
    return figure


def sensitivity(title: str, lines: Mapping[str, Mapping[float, Sequence[float]]], setting: str) -> Figure:
    """Final test error against one setting: every run a point, a line through the means.

    Args:
        title: above the panel.
        lines: by label and by the setting's value, the errors in percent.
        setting: what the horizontal axis, logarithmic, is.
    """
    figure, (axes,) = _figure(title, 1)
    colours = _colours(len(lines))
    for index, (label, by_value) in enumerate(lines.items()):
        values = sorted(by_value)
        axes.plot(values, [np.mean(by_value[value]) for value in values], color=colours[index], label=label)
        for value in values:
            axes.plot([value] * len(by_value[value]), by_value[value], ".", color=colours[index], markersize=4)
    axes.set(xscale="log", yscale="log", xlabel=setting, ylabel="test error, %")
    axes.grid(alpha=0.3, which="both")
    _legend(figure, axes)
    return figure


@dataclass(frozen=True)
class Panel:
    """One task in :func:`against_start`.

    Attributes:
        title: above the panel.
        lines: by label and by starting rate, the final test errors in percent.
        levels: by label, those of methods that are given no rate.
    """

    title: str
    lines: Mapping[str, Mapping[float, Sequence[float]]]
    levels: Mapping[str, Sequence[float]]


def against_start(panels: Sequence[Panel], *, bold: str) -> Figure:
    """Final test error against starting rate: every run a point, lines through the means, levels dashed.

    Args:
        panels: at least one; three in a row.
        bold: the label of the line that stands out. A label has the same colour in all panels.
    """
    from matplotlib.figure import Figure

    columns, rows = min(3, len(panels)), -(-len(panels) // 3)
    size = (PANEL[0] * columns + LEGEND + (1.5 if columns == 1 else 0), PANEL[1] * rows)
    figure = Figure(figsize=size, layout="constrained")
    all_axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    labels = dict.fromkeys(label for panel in panels for label in (*panel.lines, *panel.levels) if label != bold)
    others = [colour for colour in _colours(len(labels) + 1) if not np.allclose(colour, BOLD, atol=0.01)]
    colours = dict(zip(labels, others, strict=False))
    drawn: dict[str, Artist] = {}
    for axes, panel in zip(all_axes, panels, strict=False):
        for label, line in panel.lines.items():
            style = {"color": BOLD, "linewidth": 2.6, "zorder": 3} if label == bold else {"color": colours[label]}
            rates = sorted(line)
            (drawn[label],) = axes.plot(rates, [np.mean(line[rate]) for rate in rates], label=label, **style)
            for rate in rates:
                axes.plot([rate] * len(line[rate]), line[rate], ".", markersize=4, color=style["color"])
        for label, errors in panel.levels.items():
            drawn[label] = axes.axhline(np.mean(errors), linestyle="--", linewidth=1, color=colours[label], label=label)
        axes.set(xscale="log", yscale="log", xlabel="starting rate", ylabel="test error, %")
        axes.set_title(panel.title, fontsize=9)
        axes.yaxis.set_major_formatter(PlainNumbers())
        axes.yaxis.set_minor_formatter(PlainNumbers(minor_thresholds=(3, 0.6)))
        axes.xaxis.set_major_formatter(PlainNumbers())
        axes.grid(alpha=0.3)
    for axes in all_axes[len(panels) :]:
        axes.set_axis_off()
    figure.legend(list(drawn.values()), list(drawn), loc="outside right upper", fontsize=7)
    return figure


def _colours(count: int) -> Sequence[tuple[float, ...]]:
    """As many colours; up to twenty can be told apart."""
    from matplotlib import colormaps

    colours = colormaps["tab10" if count <= 10 else "tab20"].colors  # type: ignore[attr-defined] - both are lists
    return colours * (1 + count // len(colours))


def _legend(figure: Figure, axes: Axes) -> None:
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", fontsize=7)


def _figure(title: str, panels: int) -> tuple[Figure, Sequence[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(PANEL[0] * panels + LEGEND + (1.5 if panels == 1 else 0), PANEL[1]), layout="constrained")
    figure.suptitle(title, fontsize=10)
    return figure, list(np.atleast_1d(figure.subplots(1, panels)))


def _series(columns: Sequence[Mapping[str, Sequence[float]]], name: str) -> Series:
    length = min(len(column["step"]) for column in columns)
    return (
        np.asarray(columns[0]["step"][:length]),
        np.asarray([column[name][:length] for column in columns], dtype=float),
    )


def _draw(axes: Axes, label: str, series: Series) -> None:
    steps, values = series
    (line,) = axes.plot(steps, values.mean(0), label=label, linewidth=1.1)
    if len(values) > 1:
        axes.fill_between(steps, values.min(0), values.max(0), color=line.get_color(), alpha=0.15, linewidth=0)


def _upper_part(axes: Axes) -> tuple[float, float]:
    """Limits that show where methods end, not where they start: down to the worst end, and a margin."""
    ends = [float(np.asarray(line.get_ydata())[-1]) for line in axes.lines if len(np.asarray(line.get_ydata()))]
    if not ends:
        return 0.0, 100.0
    low, high = min(ends), max(ends)
    margin = max(2.0, 1.5 * (high - low))
    return max(0.0, low - margin), min(100.0, high + 0.2 * margin)
