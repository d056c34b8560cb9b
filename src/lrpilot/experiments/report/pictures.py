"""Curves of runs as PNG files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes


def draw_run(records: Sequence[Mapping[str, Any]], file: Path) -> None:
    """One run: training and test loss, test error, learning rate, against the step.

    Args:
        records: as in ``metrics.jsonl``; those without a number are left out of its curve.
        file: where the PNG goes.
    """
    figure, (losses, error, rate) = _stack(3)
    _curve(losses, records, "loss", label="training", alpha=0.7)
    _curve(losses, records, "test_loss", label="test", marker=".")
    _curve(error, records, "test_error", marker=".", color="C1")
    _curve(rate, records, "learning_rate", color="C2")
    losses.set_ylabel("loss")
    losses.legend(frameon=False)
    error.set_ylabel("test error, %")
    rate.set_ylabel("learning rate")
    rate.set_xlabel("step")
    _save(figure, file)


def draw_comparison(
    runs: Mapping[str, Sequence[Mapping[str, Any]]], file: Path, *, title: str, bold: Sequence[str]
) -> None:
    """Several runs of one task: test error and learning rate against the step.

    Args:
        runs: records by the label of the run.
        file: where the PNG goes.
        title: above the picture.
        bold: the labels of the runs that stand out; the others are in shades of grey.
    """
    figure, (error, rate) = _stack(2)
    shades = iter([str(0.75 - 0.55 * index / max(1, len(runs) - 2)) for index in range(len(runs))])
    for label, records in runs.items():
        style: dict[str, Any] = {"color": next(shades)}
        if label in bold:
            style = {"color": f"C{3 * (1 - bold.index(label))}", "linewidth": 2.2, "zorder": 3}
        _curve(error, records, "test_error", label=label, **style)
        _curve(rate, records, "learning_rate", label=label, **style)
    error.set_ylabel("test error, %")
    figure.legend(*error.get_legend_handles_labels(), loc="outside right upper", frameon=False)
    error.set_title(title, loc="left")
    rate.set_ylabel("learning rate")
    rate.set_xlabel("step")
    _save(figure, file)


class PlainNumbers(LogFormatter):
    """0.01 rather than a power of ten, at the ticks that matplotlib would label."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """The label of a tick, empty where matplotlib would give none."""
        return f"{x:g}" if super().__call__(x, pos) else ""


def _stack(rows: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(8, 2.7 * rows), layout="constrained")
    axes = list(figure.subplots(rows, sharex=True))
    for panel in axes:
        panel.set_yscale("log")
        panel.yaxis.set_major_formatter(PlainNumbers())
        panel.yaxis.set_minor_formatter(PlainNumbers(minor_thresholds=(1.2, 0.5)))
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _curve(axes: Axes, records: Sequence[Mapping[str, Any]], name: str, **style: Any) -> None:
    points = [(record["step"], record[name]) for record in records if record.get(name) is not None]
    axes.plot([step for step, _ in points], [value for _, value in points], **style)


def _save(figure: Figure, file: Path) -> None:
    unfinished = file.with_name(file.name + ".unfinished")
    FigureCanvasAgg(figure).print_png(str(unfinished))
    unfinished.replace(file)
