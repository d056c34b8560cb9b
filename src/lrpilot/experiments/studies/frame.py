"""Results as one table: a row a run. Every choice of a setting, table, claim and picture is a grouping of it."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import pandas as pd
from pandas import DataFrame

from lrpilot.experiments.runs.methods import LABELS
from lrpilot.experiments.runs.trial import Result

log = logging.getLogger(__name__)

DATA, KINDS = ("test", "validation"), ("error", "loss")
COLUMNS = (
    *("experiment", "task", "method", "label", "setting", "seed", "planned_steps"),
    *("status", "finished", "steps", "seconds", "evaluation_seconds"),
    *(f"{data}_{kind}" for data in DATA for kind in KINDS),
    *("best_test_error", "best_test_loss", "run", "setting_lr", "setting_optimizer", "setting_policy"),
)


def frame(results: Iterable[Result]) -> DataFrame:
    """A row a run, in the order of the methods, those of a method as given.

    ``label`` is what tables call the method, ``setting`` the method's setting on one line and ``setting_NAME`` one
    entry of it (missing where the method has none). ``planned_steps`` were to be made, ``steps`` were. Errors
    (percent) and losses are those at the end, and those of guessing and infinity where the run did not finish; ``best``
    ones are the least of the run. ``run`` is the :class:`Result` itself, for its curves.
    """
    order = {method: place for place, method in enumerate(LABELS)}
    known: list[Result] = []
    for result in results:
        if result.trial.method in order:
            known.append(result)
        else:
            log.warning("%s is of a method that this version does not know, skipped", result.trial.name)
    rows = [_row(result) for result in sorted(known, key=lambda result: order[result.trial.method])]
    return DataFrame(rows, columns=list(dict.fromkeys([*COLUMNS, *(name for row in rows for name in row)])))


def _row(result: Result) -> dict[str, object]:
    trial = result.trial
    return {
        "experiment": trial.experiment,
        "task": trial.task,
        "method": trial.method,
        "label": LABELS[trial.method],
        "setting": trial.setting_name,
        "seed": trial.seed,
        "planned_steps": trial.steps,
        "status": result.status,
        "finished": result.status == "finished",
        "steps": result.steps,
        "seconds": result.seconds,
        "evaluation_seconds": result.evaluation_seconds,
        **{f"{data}_{kind}": result.final(f"{data}_{kind}") for data in DATA for kind in KINDS},
        **{f"best_test_{kind}": result.best(f"test_{kind}") for kind in KINDS},
        **{f"setting_{name}": value for name, value in trial.setting.items()},
        "run": result,
    }


def groups(runs: DataFrame, column: str = "label") -> dict[str, DataFrame]:
    """The runs by what stands in a column of text, in the order in which it first appears."""
    return {str(name): own for name, own in runs.groupby(column, sort=False)}


def choose(runs: DataFrame, measure: str) -> DataFrame:
    """The runs of one method on one task at the setting with the least mean ``measure``, in the order of the seeds.

    Where all settings were tried with one seed and the best went on with more, they are compared by the seeds
    that all of them have.

    Args:
        runs: at least one.
        measure: ``test_error``, as the paper chose, or ``validation_error``.
    """
    runs = runs.sort_values("seed", kind="stable")
    tried = runs.groupby("seed")["setting"].transform("nunique")
    shared = runs[tried == runs.setting.nunique()]
    means = (runs if shared.empty else shared).groupby("setting", sort=False)[measure].mean()
    return runs[runs.setting == means.idxmin()]


def chosen(runs: DataFrame, measure: str = "test_error") -> DataFrame:
    """Of each method, on one task, the runs at the setting that :func:`choose` takes."""
    return pd.concat([choose(own, measure) for own in groups(runs, "method").values()] or [runs])
