"""Results as one table: a row a run. Every choice of a setting, table, claim and picture is a grouping of it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from lrpilot.experiments.runs.methods import LABELS
from lrpilot.experiments.runs.trial import MEASURES, Result

if TYPE_CHECKING:
    from pandas import DataFrame

log = logging.getLogger(__name__)

COLUMNS = (
    *("experiment", "task", "method", "label", "setting", "seed", "planned_steps"),
    *("status", "finished", "steps", "seconds", "evaluation_seconds", *MEASURES),
    *("best_test_error", "best_test_loss", "run", "setting_lr", "setting_optimizer", "setting_policy"),
)


def frame(results: Iterable[Result]) -> DataFrame:
    """A row a run, in the order of the methods, those of a method as given.

    ``label`` is what tables call the method, ``setting`` the method's setting on one line and ``setting_NAME`` one
    entry of it (missing where the method has none). ``planned_steps`` were to be made, ``steps`` were. Errors
    (percent) and losses are those at the end, and those of guessing and infinity where the run did not finish; ``best``
    ones are the least of the run. ``run`` is the :class:`Result` itself, for its curves.
    """
    from pandas import DataFrame  # here, since the command's help imports this module and need not wait for pandas

    rows = []
    for result in results:
        if result.trial.method in LABELS:
            rows.append(_row(result))
        else:
            log.warning("%s is of a method that this version does not know, skipped", result.trial.name)
    order = {method: place for place, method in enumerate(LABELS)}
    rows.sort(key=lambda row: order[row["method"]])
    return DataFrame(rows, columns=list(dict.fromkeys([*COLUMNS, *(name for row in rows for name in row)])))


def _row(result: Result) -> dict[str, object]:
    trial, of_the_result = result.trial, ("status", "steps", "seconds", "evaluation_seconds")
    return {
        **{name: getattr(trial, name) for name in ("experiment", "task", "method", "seed")},
        **{name: getattr(result, name) for name in of_the_result},
        "label": LABELS[trial.method],
        "setting": trial.setting_name,
        "planned_steps": trial.steps,
        "finished": result.status == "finished",
        **{measure: result.final(measure) for measure in MEASURES},
        **{f"best_{measure}": result.best(measure) for measure in ("test_error", "test_loss")},
        **{f"setting_{name}": value for name, value in trial.setting.items()},
        "run": result,
    }


def groups(runs: DataFrame, column: str = "label") -> dict[str, DataFrame]:
    """The runs by what stands in a column of text, in the order in which it first appears."""
    return {str(name): own for name, own in runs.groupby(column, sort=False)}


def choose(runs: DataFrame, measure: str) -> DataFrame:
    """The runs of one method on one task at the setting with the least mean ``measure``, in the order of the seeds.

    Where all settings were tried with one seed and the best went on with more, they are compared by the seeds
    that all of them have. ``measure`` is ``test_error``, as the paper chose, or ``validation_error``, which may be
    missing where there is but one setting.
    """
    runs = runs.sort_values("seed", kind="stable")
    if runs.setting.nunique() == 1:
        return runs
    tried = runs.groupby("seed")["setting"].transform("nunique")
    shared = runs[tried == runs.setting.nunique()]
    means = (runs if shared.empty else shared).groupby("setting", sort=False)[measure].mean()
    return runs[runs.setting == means.idxmin()]


def chosen(runs: DataFrame, measure: str = "test_error") -> DataFrame:
    """Of each method, on one task, the runs at the setting that :func:`choose` takes."""
    from pandas import concat

    return concat([choose(own, measure) for own in groups(runs, "method").values()] or [runs])


def has_validation(runs: DataFrame) -> bool:
    """Whether any of the runs was watched on a validation set."""
    return any(run.trial.validation for run in runs.run)
