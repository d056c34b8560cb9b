"""The paper's tables: each method at its best setting, and the paper's number beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from pandas import DataFrame, Series

from lrpilot.experiments.runs.methods import LABELS
from lrpilot.experiments.studies.frame import chosen, has_validation
from lrpilot.experiments.tasks.catalogue import PAPERS

from .tables import Table, count_text, interval_text, mean_text, ranks, steps_text

Numbers = Mapping[str, Mapping[str, float]]  # the paper's errors in percent, by task and method


def comparison(title: str, runs: DataFrame, paper: Mapping[str, float]) -> Table:
    """One row a method: its runs at the setting chosen by test error, then those at the one chosen by validation.

    These are left out where no run has a validation set: each method then has one setting, which was chosen before.

    Args:
        title: above the table, before the runs' length.
        runs: of one task.
        paper: the paper's error by method, in percent.
    """
    by_test, by_validation = (
        chosen(runs, measure).groupby("method", sort=False) for measure in ("test_error", "validation_error")
    )
    validates = has_validation(runs)
    columns = {
        "setting, by test" if validates else "setting": ("setting", "first"),
        "error %": ("test_error", mean_text),
        "95% interval": ("test_error", interval_text),
        "runs": ("finished", count_text),
        "best in the run": ("best_test_error", mean_text),
    }
    validated = {"setting, by validation": ("setting", "first"), "error %": ("test_error", mean_text)}
    first_rank, second_rank = (
        ranks(by.test_error.mean()).astype(str).rename("rank") for by in (by_test, by_validation)
    )
    theirs = Series({method: f"{number:.2f}" for method, number in paper.items()}, first_rank.index, name="paper")
    second = [by_validation.agg(**validated), second_rank] if validates else []
    cells = [by_test.agg(**columns), first_rank, *second, theirs]
    return Table.of(f"{title}, {steps_text(runs)}", "method", pd.concat(cells, axis=1).rename(index=LABELS))


def paper_form(title: str, tasks: Mapping[str, DataFrame], methods: Sequence[str], paper: Numbers) -> Table:
    """Table 3 as the paper prints it: one row a network, one column a method; the paper's number in brackets."""
    cells = DataFrame({task.upper(): _beside_the_papers(runs, paper.get(task, {})) for task, runs in tasks.items()})
    return Table.of(title, "network", cells.reindex(list(methods)).rename(index=LABELS).T, lengths(tasks))


def overview(title: str, tasks: Mapping[str, DataFrame], paper: Numbers, unmade: Mapping[str, int]) -> Table:
    """One row a method with runs, one column a task by its heading: final test error, the paper's in brackets.

    The note says which tasks are not complete: ``unmade`` is how many runs of a task are known to be needed still.
    """
    tried = {method for runs in tasks.values() for method in runs.method}
    columns = {
        PAPERS[task].heading: _beside_the_papers(runs, paper.get(task, {}), spread=True) for task, runs in tasks.items()
    }
    cells = DataFrame(columns).reindex([method for method in LABELS if method in tried])
    note = "Mean ± standard deviation over seeds, at the setting with the least test error (the paper's way)."
    short = [f"{PAPERS[task].heading} lacks at least {unmade[task]} of its runs" for task in tasks if unmade.get(task)]
    notes = [note, lengths(tasks), *([f"Not complete: {', '.join(short)}."] if short else [])]
    return Table.of(title, "method", cells.rename(index=LABELS), " ".join(notes))


def lengths(tasks: Mapping[str, DataFrame]) -> str:
    """``Lengths: M0 7,200 steps, ...``."""
    return f"Lengths: {', '.join(f'{PAPERS[task].heading} {steps_text(runs)}' for task, runs in tasks.items())}."


def _beside_the_papers(runs: DataFrame, paper: Mapping[str, float], *, spread: bool = False) -> dict[str, str]:
    """``7.70 ± 0.11 (8.70)`` by method, at the setting chosen by test error; ``- (8.70)`` where only the paper's is."""
    errors = chosen(runs).groupby("method").test_error
    texts = errors.agg(mean_text) if spread else errors.mean().map("{:.2f}".format)
    ours = dict(zip(map(str, texts.index), texts, strict=True))
    theirs = {method: f" ({error:.2f})" for method, error in paper.items()}
    return {method: ours.get(method, "-") + theirs.get(method, "") for method in {**ours, **theirs}}
