"""The suite's results and the comparisons', each as rows of one kind, tables and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from lrpilot.experiments.runs.methods import LABELS
from lrpilot.experiments.runs.store import Store
from lrpilot.experiments.studies import comparison, suite
from lrpilot.experiments.studies.comparison import UNTRAINED
from lrpilot.experiments.studies.frame import frame, groups
from lrpilot.experiments.tasks.suite import SUITE
from lrpilot.pilot.policy_file import fingerprint

from .page import Block, Section
from .standing import Row, by_task, overall, profiles
from .starts import shown


def suite_rows(store: Store, *, policy: str | Path = "shipped") -> list[Row]:
    """A row for each task of the suite that has runs, with the pilot of that policy; settings chosen on validation."""
    runs = frame(store.saved(suite.ROOT))
    runs = runs[(runs.method != "pilot") | (runs.setting_policy == fingerprint(policy))]
    tasks = groups(runs, "task")
    return [Row(name, tasks[name], "test_loss", "validation_loss") for name in SUITE if name in tasks]


def compared_rows(store: Store, measure: str) -> list[Row]:
    """A row for each comparison at its longest runs, with the shipped policy; settings chosen by the measure itself."""
    untrained = frame(store.saved(comparison.ROOT)).query("method == @UNTRAINED")
    rows = []
    for (task, optimizer, steps), runs in shown(store).items():
        own = runs[(runs.method != "pilot") | (runs.label == LABELS["pilot"])]
        cap = untrained[(untrained.task == task) & (untrained.experiment == f"{comparison.ROOT}/{steps}-steps")]
        rows.append(Row(comparison.title(task, optimizer, steps), pd.concat([own, cap]), measure, measure))
    return rows


def suite_blocks(rows: Sequence[Row]) -> list[Block]:
    """What is to be seen of the suite; nothing without rows."""
    if not rows:
        return []
    return [overall("The suite", rows), by_task("The suite: test loss", rows), profiles("suite", rows)]


def compared_blocks(store: Store) -> list[Block]:
    """The same of all comparisons, by loss and by error; nothing without any whose untrained networks were measured."""
    rows = {name: compared_rows(store, f"test_{name}") for name in ("loss", "error")}
    if not any(row.is_capped for row in rows["loss"]):
        return []
    return [overall(f"All comparisons, by test {name}", own) for name, own in rows.items()]


def sections(store: Store) -> list[Section]:
    """The report's sections on both."""
    written = {"The suite": suite_blocks(suite_rows(store)), "Over all comparisons": compared_blocks(store)}
    return [Section(title, blocks) for title, blocks in written.items() if blocks]
