"""The paper's tables: each method at its best setting, and the paper's number beside it."""

from __future__ import annotations

from collections.abc import Mapping

from pandas import DataFrame

from lrpilot.experiments.runs.methods import LABELS
from lrpilot.experiments.studies.frame import chosen

from .tables import Table, diverged_text, interval_text, mean_text, percent

Numbers = Mapping[str, Mapping[str, float]]  # the paper's errors in percent, by task and method


def comparison(
    title: str, runs: DataFrame, *, paper: Mapping[str, float] | None = None, accuracy: bool = False
) -> Table:
    """One row a method: its runs at the setting chosen by test error, then those at the one chosen by validation.

    Args:
        title: above the table.
        runs: of one task.
        paper: the paper's number by method, in the table's own unit.
        accuracy: whether to print accuracies, as the paper's Table 2 does, instead of errors (percent both).
    """
    by_test = chosen(runs).groupby("method", sort=False)
    by_validation = chosen(runs, "validation_error").groupby("method", sort=False)
    ranks, other_ranks = (ranked(groups.test_error.mean().to_dict()) for groups in (by_test, by_validation))
    rows = []
    for (method, own), (_, other) in zip(by_test, by_validation, strict=True):
        rows.append(
            [
                LABELS[method],
                own.setting.iloc[0],
                mean_text(percent(own.test_error, accuracy=accuracy)),
                interval_text(percent(own.test_error, accuracy=accuracy)),
                f"{len(own)}{diverged_text(own)}",
                mean_text(percent(own.best_test_error, accuracy=accuracy)),
                str(ranks[method]),
                other.setting.iloc[0],
                mean_text(percent(other.test_error, accuracy=accuracy)),
                str(other_ranks[method]),
                f"{paper[method]:.2f}" if paper and method in paper else "-",
            ]
        )
    unit = "accuracy %" if accuracy else "error %"
    header = ["method", "setting, by test", unit, "95% interval", "runs", "best in the run", "rank"]
    return Table(title, [*header, "setting, by validation", unit, "rank", "paper"], rows)


def ranked(values: Mapping[str, float]) -> dict[str, int]:
    """1 for the least; equal values share the better rank."""
    return {name: 1 + sum(other < value for other in values.values()) for name, value in values.items()}


def paper_form(title: str, tasks: Mapping[str, DataFrame], methods: tuple[str, ...], paper: Numbers) -> Table:
    """Table 3 as the paper prints it: one row a network, one column a method; the paper's number in brackets."""
    cells = {task: _beside_the_papers(runs, paper.get(task, {}), spread=False) for task, runs in tasks.items()}
    rows = [[task.upper(), *(cells[task].get(method, "-") for method in methods)] for task in tasks]
    return Table(title, ["network", *(LABELS[method] for method in methods)], rows)


def overview(title: str, tasks: Mapping[str, DataFrame], paper: Numbers, headings: Mapping[str, str]) -> Table:
    """One row a method, one column a task: final test error in percent, the paper's in brackets.

    Args:
        title: above the table.
        tasks: the runs by task; methods without any are left out.
        paper: the paper's errors, by task and method.
        headings: what to call each task.
    """
    cells = {task: _beside_the_papers(runs, paper.get(task, {}), spread=True) for task, runs in tasks.items()}
    tried = {method for runs in tasks.values() for method in runs.method}
    rows = [[LABELS[method], *(cells[task].get(method, "-") for task in tasks)] for method in LABELS if method in tried]
    note = "Mean ± standard deviation over seeds, at the setting with the least test error (the paper's way)."
    return Table(title, ["method", *(headings[task] for task in tasks)], rows, note)


def _beside_the_papers(runs: DataFrame, paper: Mapping[str, float], *, spread: bool) -> dict[str, str]:
    """``7.70 ± 0.11 (8.70)`` by method, at the setting chosen by test error; ``- (8.70)`` where only the paper's is."""
    ours = {
        method: mean_text(own.test_error) if spread else f"{own.test_error.mean():.2f}"
        for method, own in chosen(runs).groupby("method")
    }
    theirs = {method: f" ({error:.2f})" for method, error in paper.items()}
    return {method: ours.get(method, "-") + theirs.get(method, "") for method in {**ours, **theirs}}
