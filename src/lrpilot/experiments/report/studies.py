"""The tables beside the paper's own: what its reviewers asked for, and its future work.

That is wall-clock, early stopping, sensitivity, the critic's slope, under which reading of Algorithm 1 it works; then
more to decide on than one rate, and other optimizers than SGD.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from pandas import DataFrame, Series

from lrpilot.experiments.runs.methods import EXTENSIONS, LABELS
from lrpilot.experiments.runs.trial import Result, setting_name
from lrpilot.experiments.studies.catalogue import READ, READ_ON, READINGS
from lrpilot.experiments.studies.frame import choose, chosen, groups
from lrpilot.experiments.studies.plans import VALUES, mean_values

from .tables import Table, count_text, diverged_text, interval, mean_text, steps_text

SOUND = 1.1
"""Sound on a task: no run diverges, and the mean error is at most this multiple of that of the best constant rate."""


def seconds_to_error(run: Result, target: float) -> float:
    """Training time, evaluations left out, at the first look at the test set that found ``target`` percent or less.

    Infinite where none did.
    """
    looks = zip(run.evaluations["seconds"], run.evaluations["test_error"], strict=True)
    return next((seconds for seconds, error in looks if error <= target), math.inf)


def wall_clock(title: str, runs: DataFrame, target: float) -> Table:
    """Each method's time to a test error of ``target`` percent, at its setting by validation, and what a step costs.

    The runs are of one task, plain SGD's among them, whose step is the unit.
    """

    def median_text(times: Series) -> str:
        return f"{times[times < math.inf].median():.1f}" if times.min() < math.inf else "never"

    half = runs[(runs.steps >= runs.planned_steps // 2) & (runs.planned_steps > 1)]  # a good part of their steps
    costs = (half.seconds / half.steps).groupby(half.label).median()
    best = chosen(runs, "validation_error")
    best["time"] = [seconds_to_error(run, target) for run in best.run]
    columns = {
        "setting, by validation": ("setting", "first"),
        f"seconds to {target:g}%": ("time", median_text),
        "reached": ("time", lambda times: f"{(times < math.inf).sum()} of {len(times)}"),
    }
    cells = best.groupby("label", sort=False).agg(**columns)
    costs = costs.reindex(cells.index)
    cells["ms a step"] = (1000 * costs).map("{:.2f}".format, na_action="ignore")
    cells["of SGD's"] = (costs / costs.get(LABELS["sgd"], math.nan)).map("{:.2f}".format, na_action="ignore")
    note = (
        "Median processor time of training alone, in one thread: the wall-clock of a core of its own. What the "
        "search for the setting cost is not in it."
    )
    return Table.of(f"{title}, runs of {steps_text(runs)}", "method", cells, note)


def early_stopping(title: str, runs: DataFrame) -> Table:
    """Test error and loss at the end, and where the validation loss was least: does a method still need stopping?"""
    best = chosen(runs, "validation_error")
    best = best[best.finished]
    looks = [DataFrame(run.evaluations).fillna({"validation_loss": math.inf}) for run in best.run]
    stops = [look.loc[look.validation_loss.argmin()] for look in looks]
    stops = DataFrame(stops, columns=["step", "test_loss", "test_error"]).set_index(best.index).add_suffix("_stopped")
    by_label = best.join(stops).groupby("label", sort=False)
    three = partial(mean_text, digits=3)
    cells = by_label.agg(
        setting=("setting", "first"),
        step=("step_stopped", lambda steps: f"{steps.median():.0f}"),
        test_loss=("test_loss", three),
        test_loss_stopped=("test_loss_stopped", three),
        test_error=("test_error", mean_text),
        test_error_stopped=("test_error_stopped", mean_text),
    )
    cells.columns = ["setting", "stopped at step", "test loss", "stopped", "test error %", "stopped"]
    note = "Stopped where the validation loss was least, by run; the step is the median."
    return Table.of(f"{title}, {steps_text(runs)}", "method", cells, note)


def offline(title: str, runs: DataFrame) -> Table:
    """The appendix: test error of the training runs in turn, and of the whole run that followed."""

    def in_turn(runs: Series) -> str:
        means = DataFrame([run.earlier["test_error"] for run in runs if run.earlier]).mean()
        return " ".join(means.map("{:.2f}".format)) or "-"

    columns = {
        "setting": ("setting", "first"),
        "training runs, test error %, means": ("run", in_turn),
        f"the run of {steps_text(runs)} after them, test error %": ("test_error", mean_text),
        "studies": ("finished", count_text),
    }
    note = "The first training run is an untrained actor's. Training runs may be shorter: run_steps."
    return Table.of(title, "method", runs.groupby("label", sort=False).agg(**columns), note)


def sensitivity(title: str, runs: DataFrame, setting: str) -> Table:
    """Mean final test error on one task of each method at each value of one ``setting``, such as ``lr``."""
    runs = runs.assign(value=runs[f"setting_{setting}"].astype(float)).dropna(subset="value")
    cells = _errors(runs, "label", "value").unstack().reindex(runs.label.unique())
    columns = cells.rename(columns=lambda value: f"{setting} {value:g}")
    return Table.of(f"{title}, {steps_text(runs)}", "method", columns, "Test error in percent.")


def critic_slope(title: str, runs: DataFrame) -> Table:
    """How dQ/da, which alone moves the actor, behaved in each run: its size, its sign, how often that changed."""
    rows = []
    ordered = (row for by in groups(runs).values() for _, row in by.sort_values(["setting", "seed"]).iterrows())
    for row in ordered:
        slopes, rates = (_finite(row.run.curve.get(name, [])) for name in ("dq_da", "rate"))
        if len(slopes) and len(rates):
            positive, changes = 100 * (slopes > 0).sum() / len(slopes), (slopes[:-1] * slopes[1:] < 0).sum()
            cells = [f"{slopes.mean():.3g}", f"{positive:.0f}", str(changes)]
            cells += [f"{rates.min():.3g} to {rates.max():.3g}", f"{row.test_error:.2f}"]
            rows.append([row.label, row.setting, str(row.seed), *cells])
    header = ["method", "setting", "seed", "mean dQ/da", "positive %", "sign changes", "rates", "test error %"]
    note = "dQ/da and rate as means over each interval of the logged curve."
    return Table(f"{title}, {steps_text(runs)}", header, rows, note, raw=True)


def readings(runs: DataFrame) -> Table:
    """One row a reading of Algorithm 1: the test error on each task, the rates at the end, and where it is sound.

    The runs are of any readings, and of plain SGD over the grid, which they are held against.
    """
    constant = groups(runs[runs.method == "sgd"], "task")
    limits = {task: SOUND * choose(own, "test_error").test_error.mean() for task, own in constant.items()}
    names = {setting_name(setting): reading for reading, setting in READINGS.items()}
    read = runs[runs.method == READ]
    read = read.assign(reading=read.setting.map(names))
    cells = DataFrame(index=[reading for reading in READINGS if reading in set(read.reading)])
    sound = DataFrame(index=cells.index)
    for task in READ_ON:
        own = read[read.task == task].groupby("reading")
        cells[f"{task.upper()}, error %"] = _errors(read[read.task == task], "reading")
        cells[f"{task.upper()}, rate at the end"] = own.run.agg(_last_rates)
        held = own.finished.all() & (own.test_error.mean() <= limits.get(task, -math.inf))
        sound[task.upper()] = held.reindex(cells.index, fill_value=False)
    cells["sound on"] = [", ".join(row.index[row]) or "nowhere" for _, row in sound.iterrows()]
    shown = ", ".join(f"{task.upper()} {limits[task]:.2f}" for task in READ_ON if task in limits)
    least = f"{SOUND:g}x the best constant rate's, which makes {shown}"
    note = f"Sound: no run diverges, and the mean error is at most {least}."
    return Table.of(f"Readings of Algorithm 1, {steps_text(runs)}", "reading", cells, note)


def beside_the_rate(heading: str, name: str, runs: DataFrame) -> Table:
    """An extension on one task beside the one rate, its untrained actor and constants at its mean values."""
    extended, *_, constant = methods = (f"online-{name}", "online-stable", f"frozen-{name}", f"mean-{name}")
    _, start = EXTENSIONS[name]
    runs = runs[runs.method.isin(methods) & ((runs.setting == setting_name(start)) | (runs.method == constant))]
    own = runs[runs.method == extended].set_index("seed").test_error
    more = (runs.test_error - runs.seed.map(own)).where(runs.method != extended)
    by_method = runs.assign(more=more).groupby("method")
    columns = {
        "error %": ("test_error", mean_text),
        "runs": ("finished", count_text),
        "more than the extension, 95% interval": ("more", _between),
        "values, means": ("run", _values),
    }
    cells = by_method.agg(**columns).reindex([method for method in methods if method in set(runs.method)])
    if constant in cells.index:
        cells.loc[constant, "values, means"] = by_method.setting.first()[constant]
    note = "Differences are paired by seed; an interval above 0 speaks for the extension."
    return Table.of(f"{heading}: {name}", "method", cells.rename(index=LABELS), note)


def on_optimizers(heading: str, runs: DataFrame) -> Table:
    """The actor-critic on each optimizer beside the optimizer's best constant rate, chosen by test error."""
    cells = {}
    for optimizer, own in groups(runs, "setting_optimizer").items():
        best = chosen(own).set_index("seed")
        learned, constant = (best[best.method == method] for method in ("online-stable", "constant"))
        cells[optimizer] = {
            "actor-critic, error %": mean_text(learned.test_error) if len(learned) else "-",
            "runs": count_text(learned.finished),
            "best constant rate": f"{constant.setting_lr.iloc[0]:g}" if len(constant) else "-",
            "its error %": mean_text(constant.test_error) if len(constant) else "-",
            "actor-critic's is more by, 95% interval": _between(learned.test_error - constant.test_error),
        }
    return Table.of(f"{heading}: other optimizers", "optimizer", DataFrame(cells).T)


def _errors(runs: DataFrame, *by: str) -> Series:
    """``49.50 ± 57.28 (1 diverged)`` by what stands in some columns."""
    grouped = runs.groupby([*by])
    return grouped.test_error.agg(mean_text) + grouped.finished.agg(diverged_text)


def _between(differences: Series) -> str:
    """``[-0.12, +0.30]``: a 95 % Student interval of the mean of paired differences in percent; or a dash."""
    ends = interval(list(differences.dropna()))
    return f"[{ends[0]:+.2f}, {ends[1]:+.2f}]" if ends else "-"


def _values(runs: Series) -> str:
    """``rate 0.1, momentum 0.6``; of a rate for each tensor all of them."""
    means = mean_values(runs)
    by_knob = {knob: [f"{v:g}" for name, v in means.items() if name.split("/")[0] == knob] for knob in VALUES}
    return ", ".join(f"{knob} {' '.join(values)}" for knob, values in by_knob.items() if values)


def _last_rates(runs: Series) -> str:
    """The smallest and the largest last rate of the finished runs."""
    last = [run.curve["rate"][-1] for run in runs if run.status == "finished"]
    return f"{min(last):.2g} to {max(last):.2g}" if last else "-"


def _finite(values: list[float]) -> np.ndarray:
    numbers = np.asarray(values, dtype=float)
    return numbers[np.isfinite(numbers)]
