"""The tables that the paper's reviewers asked for: wall-clock, early stopping, sensitivity, the critic's slope, and
under which reading of Algorithm 1 it works.
"""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

import numpy as np

from lrpilot.experiments.runs.methods import LABELS
from lrpilot.experiments.runs.trial import setting_name
from lrpilot.experiments.studies import readings
from lrpilot.experiments.studies.frame import choose, chosen

from .tables import Table, diverged_text, mean_text, percent

if TYPE_CHECKING:
    from pandas import DataFrame

    from lrpilot.experiments.runs.trial import Result

SOUND = 1.1
"""Sound on a task: no run diverges, and the mean error is at most this multiple of the best constant rate's."""


def seconds_to_error(run: Result, target: float) -> float:
    """Training time, evaluations left out, at the first look at the test set that found ``target`` percent or less.

    Infinite where none did.
    """
    looks = zip(run.evaluations["seconds"], run.evaluations["test_error"], strict=True)
    return next((seconds for seconds, error in looks if error <= target), math.inf)


def wall_clock(title: str, runs: DataFrame, target: float) -> Table:
    """Each method's time to a given test error, at its setting by validation, and what a step costs.

    Args:
        title: above the table.
        runs: of one task; plain SGD's among them, whose step is the unit.
        target: test error in percent.
    """
    half = runs[(runs.steps >= runs.planned_steps // 2) & (runs.planned_steps > 1)]  # a good part of their steps
    costs = (half.seconds / half.steps).groupby(half.method).median()
    rows = []
    for method, own in chosen(runs, "validation_error").groupby("method", sort=False):
        times = own.run.map(lambda run: seconds_to_error(run, target))
        reached, cost = times[times < math.inf], costs.get(method, math.nan)
        rows.append(
            [
                LABELS[method],
                own.setting.iloc[0],
                f"{reached.median():.1f}" if len(reached) else "never",
                f"{len(reached)} of {len(times)}",
                f"{1000 * cost:.2f}",
                f"{cost / costs.get('sgd', math.nan):.2f}" if "sgd" in set(runs.method) else "-",
            ]
        )
    header = ["method", "setting, by validation", f"seconds to {target:g}%", "reached", "ms a step", "of SGD's"]
    note = (
        "Median processor time of training alone, in one thread: the wall-clock of a core of its own. What the "
        "search for the setting cost is not in it."
    )
    return Table(title, header, rows, note)


def early_stopping(title: str, runs: DataFrame) -> Table:
    """Test error and loss at the end, and where the validation loss was least: does a method still need stopping?"""
    rows = []
    best = chosen(runs, "validation_error")
    for method, own in best[best.finished].groupby("method", sort=False):
        looks = [run.evaluations for run in own.run]
        stops = [_least(look["validation_loss"]) for look in looks]
        row = [LABELS[method], own.setting.iloc[0]]
        row.append(f"{statistics.median(look['step'][stop] for look, stop in zip(looks, stops, strict=True)):.0f}")
        for measure, digits in (("test_loss", 3), ("test_error", 2)):
            stopped = [look[measure][stop] for look, stop in zip(looks, stops, strict=True)]
            row += [mean_text(own[measure], digits), mean_text(stopped, digits)]
        rows.append(row)
    header = ["method", "setting", "stopped at step", "test loss", "stopped", "test error %", "stopped"]
    return Table(title, header, rows, "Stopped where the validation loss was least, by run; the step is the median.")


def offline(title: str, runs: DataFrame, *, accuracy: bool) -> Table:
    """The appendix: test error (or accuracy) of the training runs in turn, and of the whole run that followed."""
    rows = []
    for method, own in runs.groupby("method", sort=False):
        earlier = [run.earlier["test_error"] for run in own.run if run.earlier]
        in_turn = [statistics.fmean(errors) for errors in zip(*earlier, strict=True)]
        rows.append(
            [
                LABELS[method],
                own.setting.iloc[0],
                " ".join(f"{number:.2f}" for number in percent(in_turn, accuracy=accuracy)) or "-",
                mean_text(percent(own.test_error, accuracy=accuracy)),
                f"{len(own)}{diverged_text(own)}",
            ]
        )
    unit = "test accuracy %" if accuracy else "test error %"
    header = ["method", "setting", f"training runs, {unit}, means", f"the run after them, {unit}", "studies"]
    note = "The first training run is an untrained actor's. Training runs may be shorter: run_steps."
    return Table(title, header, rows, note)


def sensitivity(title: str, runs: DataFrame, setting: str) -> Table:
    """Mean final test error of each method at each value of one setting, such as ``lr``.

    Args:
        title: above the table.
        runs: of one task, with the setting varied and the rest of each method fixed.
        setting: the name of the one that is varied.
    """
    runs = runs.assign(value=runs[f"setting_{setting}"].astype(float)).dropna(subset="value")
    values = sorted(runs.value.unique())
    rows = []
    for method, label in LABELS.items():
        cells = {value: _errors(own) for value, own in runs[runs.method == method].groupby("value")}
        if cells:
            rows.append([label, *(cells.get(value, "-") for value in values)])
    return Table(title, ["method", *(f"{setting} {value:g}" for value in values)], rows, "Test error in percent.")


def critic_slope(title: str, runs: DataFrame) -> Table:
    """How dQ/da, which alone moves the actor, behaved in each run: its size, its sign, how often that changed."""
    rows = []
    logged = runs[runs.run.map(lambda run: "dq_da" in run.curve)]
    for _, own in logged.groupby(["method", "setting"], sort=False):
        for _, row in own.sort_values("seed", kind="stable").iterrows():
            slopes, rates = _finite(row.run.curve["dq_da"]), _finite(row.run.curve["rate"])
            if len(slopes) and len(rates):
                rows.append(
                    [
                        row.label,
                        row.setting,
                        str(row.seed),
                        f"{slopes.mean():.3g}",
                        f"{100 * (slopes > 0).sum() / len(slopes):.0f}",
                        str((slopes[:-1] * slopes[1:] < 0).sum()),
                        f"{rates.min():.3g} to {rates.max():.3g}",
                        f"{row.test_error:.2f}",
                    ]
                )
    header = ["method", "setting", "seed", "mean dQ/da", "positive %", "sign changes", "rates", "test error %"]
    return Table(title, header, rows, "dQ/da and rate as means over each interval of the logged curve.")


def readings_table(runs: DataFrame) -> Table:
    """One row a reading of Algorithm 1: the test error on each task, the rates at the end, and where it is sound.

    Args:
        runs: of any readings, and of plain SGD over the grid, which they are held against.
    """
    constant = {task: runs[(runs.task == task) & (runs.method == "sgd")] for task in readings.TASKS}
    best = {task: choose(tried, "test_error").test_error.mean() for task, tried in constant.items() if len(tried)}
    read = runs[runs.method == readings.METHOD]
    rows = []
    for reading, setting in readings.READINGS.items():
        by_task = dict(list(read[read.setting == setting_name(setting)].groupby("task")))
        if by_task:
            made = [by_task.get(task, runs.iloc[:0]) for task in readings.TASKS]
            cells = [cell for own in made for cell in (_errors(own), _last_rates(own))]
            sound = [
                task.upper()
                for task, own in zip(readings.TASKS, made, strict=True)
                if task in best and len(own) and own.finished.all() and own.test_error.mean() <= SOUND * best[task]
            ]
            rows.append([reading, *cells, ", ".join(sound) or "nowhere"])
    columns = (f"{task.upper()}, {what}" for task in readings.TASKS for what in ("error %", "rate at the end"))
    limits = ", ".join(f"{task.upper()} {SOUND * error:.2f}" for task, error in best.items())
    note = f"Sound: no run diverges, and the mean error is at most {SOUND:g}x the best constant rate's ({limits})."
    return Table("Readings of Algorithm 1", ["reading", *columns, "sound on"], rows, note)


def _errors(runs: DataFrame) -> str:
    """``49.50 ± 57.28 (1 diverged)``, or a dash."""
    return mean_text(runs.test_error) + diverged_text(runs) if len(runs) else "-"


def _last_rates(runs: DataFrame) -> str:
    """The smallest and the largest last rate of the finished runs."""
    last = [run.curve["rate"][-1] for run in runs[runs.finished.astype(bool)].run]
    return f"{min(last):.2g} to {max(last):.2g}" if last else "-"


def _finite(values: list[float]) -> np.ndarray:
    numbers = np.asarray(values, dtype=float)
    return numbers[np.isfinite(numbers)]


def _least(values: list[float]) -> int:
    return int(np.argmin(np.nan_to_num(values, nan=math.inf)))
