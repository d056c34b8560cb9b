"""The tables that the paper's reviewers asked for: wall-clock, early stopping, sensitivity, the critic's
slope.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from lrpilot.experiments.runs.trial import Result

from .tables import Summary, Table, by_method, by_setting, choose_setting


def seconds_to_error(result: Result, target: float) -> float | None:
    """Training time, evaluations left out, at the first look at the test set that found ``target`` percent or
    less.
    """
    looks = zip(result.evaluations["seconds"], result.evaluations["test_error"], strict=True)
    return next((seconds for seconds, error in looks if error <= target), None)


def wall_clock(title: str, results: Iterable[Result], labels: Mapping[str, str], target: float) -> Table:
    """Each method's time to a given test error, at its setting by validation, and what a step costs.

    Args:
        title: above the table.
        results: of one task; plain SGD's among them, whose step is the unit.
        labels: what to call each method.
        target: test error in percent.
    """
    methods = by_method(results)
    costs = {name: _seconds_per_step(methods[name]) for name in labels if name in methods}
    rows = []
    for name, cost in costs.items():
        choice = choose_setting(methods[name], "validation_error")
        times = [seconds_to_error(result, target) for result in choice.results]
        reached = [seconds for seconds in times if seconds is not None]
        rows.append(
            [
                labels[name],
                choice.setting,
                f"{statistics.median(reached):.1f}" if reached else "never",
                f"{len(reached)} of {len(times)}",
                f"{1000 * cost:.2f}",
                f"{cost / costs['sgd']:.2f}" if "sgd" in costs else "-",
            ]
        )
    header = [
        "method",
        "setting, by validation",
        f"seconds to {target:g}%",
        "reached",
        "ms a step",
        "of SGD's",
    ]
    note = (
        "Median processor time of training alone, in one thread: the wall-clock of a core of its own. What the "
        "search for the setting cost is not in it."
    )
    return Table(title, header, rows, note)


def early_stopping(title: str, results: Iterable[Result], labels: Mapping[str, str]) -> Table:
    """Test error and loss at the end, and where the validation loss was least: does a method still need
    stopping?
    """
    methods = by_method(results)
    rows = []
    for name in labels:
        if name not in methods:
            continue
        choice = choose_setting(methods[name], "validation_error")
        finished = [result for result in choice.results if result.status == "finished"]
        if not finished:
            continue
        stops = [_least(result.evaluations["validation_loss"]) for result in finished]
        steps = [result.evaluations["step"][stop] for result, stop in zip(finished, stops, strict=True)]
        row = [labels[name], choice.setting, f"{statistics.median(steps):.0f}"]
        for measure, digits in (("test_loss", 3), ("test_error", 2)):
            at_stop = [r.evaluations[measure][stop] for r, stop in zip(finished, stops, strict=True)]
            row += [
                Summary.of([result.final(measure) for result in finished]).text(digits),
                Summary.of(at_stop).text(digits),
            ]
        rows.append(row)
    header = ["method", "setting", "stopped at step", "test loss", "stopped", "test error %", "stopped"]
    return Table(title, header, rows, "Stopped where the validation loss was least, by run; the step is the median.")


def offline(title: str, results: Iterable[Result], labels: Mapping[str, str], *, accuracy: bool) -> Table:
    """The appendix: test error (or accuracy) of the training runs in turn, and of the whole run that followed."""
    rows = []
    for name, runs in by_method(results).items():
        ends = [result.final("test_error") for result in runs]
        earlier = [result.earlier["test_error"] for result in runs if result.earlier]
        in_turn = [statistics.fmean(errors) for errors in zip(*earlier, strict=True)]
        rows.append(
            [
                labels[name],
                runs[0].trial.setting_name,
                " ".join(f"{100 - error if accuracy else error:.2f}" for error in in_turn) or "-",
                Summary.of([100 - error if accuracy else error for error in ends]).text(),
                str(len(ends)) + _unfinished(runs),
            ]
        )
    unit = "test accuracy %" if accuracy else "test error %"
    header = ["method", "setting", f"training runs, {unit}, means", f"the run after them, {unit}", "studies"]
    note = "The first training run is an untrained actor's. Training runs may be shorter: run_steps."
    return Table(title, header, rows, note)


def sensitivity(title: str, results: Iterable[Result], labels: Mapping[str, str], setting: str) -> Table:
    """Mean final test error of each method at each value of one setting.

    Args:
        title: above the table.
        results: of one task, with the setting varied and the rest of each method fixed.
        labels: what to call each method.
        setting: the name of the one that is varied, such as ``lr``.
    """
    methods = by_method(results)
    values = sorted(
        {float(r.trial.setting[setting]) for runs in methods.values() for r in runs if setting in r.trial.setting}
    )
    rows = []
    for name in labels:
        runs = [result for result in methods.get(name, []) if setting in result.trial.setting]
        if not runs:
            continue
        cells = []
        for value in values:
            errors = [r.final("test_error") for r in runs if float(r.trial.setting[setting]) == value]
            unfinished = sum(r.status != "finished" for r in runs if float(r.trial.setting[setting]) == value)
            cells.append(
                "-" if not errors else Summary.of(errors).text() + (f" ({unfinished} diverged)" if unfinished else "")
            )
        rows.append([labels[name], *cells])
    return Table(title, ["method", *(f"{setting} {value:g}" for value in values)], rows, "Test error in percent.")


def critic_slope(title: str, results: Iterable[Result], labels: Mapping[str, str]) -> Table:
    """How dQ/da, which alone moves the actor, behaved in each run: its size, its sign, how often that
    changed.
    """
    rows = []
    for name, runs in by_method(results).items():
        for setting, seeds in by_setting(runs).items():
            for result in seeds:
                slopes = [s for s in result.curve.get("dq_da", []) if math.isfinite(s)]
                rates = [rate for rate in result.curve.get("rate", []) if math.isfinite(rate)]
                if name not in labels or not slopes or not rates:
                    continue
                changes = sum(a * b < 0 for a, b in pairwise(slopes))
                rows.append(
                    [
                        labels[name],
                        setting,
                        str(result.trial.seed),
                        f"{statistics.fmean(slopes):.3g}",
                        f"{100 * sum(s > 0 for s in slopes) / len(slopes):.0f}",
                        str(changes),
                        f"{min(rates):.3g} to {max(rates):.3g}",
                        f"{result.final('test_error'):.2f}",
                    ]
                )
    header = [
        "method",
        "setting",
        "seed",
        "mean dQ/da",
        "positive %",
        "sign changes",
        "rates",
        "test error %",
    ]
    return Table(title, header, rows, "dQ/da and rate as means over each interval of the logged curve.")


def _seconds_per_step(results: Sequence[Result]) -> float:
    """The median over runs that made a good part of their steps."""
    costs = [r.seconds / r.steps for r in results if r.steps >= r.trial.steps // 2 > 0]
    return statistics.median(costs) if costs else math.nan


def _unfinished(results: Sequence[Result]) -> str:
    count = sum(result.status != "finished" for result in results)
    return f" ({count} diverged)" if count else ""


def _least(values: Sequence[float]) -> int:
    return min(range(len(values)), key=lambda i: values[i] if math.isfinite(values[i]) else math.inf)
