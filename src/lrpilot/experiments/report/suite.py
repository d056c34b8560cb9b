"""The suite's results and the comparisons', each as rows of one kind, tables and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from pandas import DataFrame

from lrpilot.experiments.runs.methods import LABELS
from lrpilot.experiments.runs.store import Store
from lrpilot.experiments.studies import comparison, suite
from lrpilot.experiments.studies.frame import frame, groups
from lrpilot.experiments.tasks.suite import SUITE
from lrpilot.pilot.policy_file import fingerprint

from . import metrics
from .drawing import COLOURS, GID, OTHERS, name_ends, panels
from .page import Block, Picture, Section
from .standing import OPPONENTS, PILOT, Row, Standing, Way, ways
from .starts import shown
from .tables import Table

NAMED = 6  # ways in a panel of the profile that are told apart
LEVELS = np.geomspace(1.0, 4.0, 200)  # of the profile: a run's loss as a multiple of the best


def suite_rows(store: Store, *, policy: str | Path = "shipped") -> list[Row]:
    """A row for each task of the suite that has runs, with the pilot of that policy; settings chosen on validation."""
    runs = frame(store.saved(suite.ROOT))
    runs = runs[(runs.method != "pilot") | (runs.setting_policy == fingerprint(policy))]
    tasks = groups(runs, "task")
    return [Row(name, tasks[name], "test_loss", "validation_loss") for name in SUITE if name in tasks]


def compared_rows(store: Store, measure: str) -> list[Row]:
    """A row for each comparison at its longest runs, with the shipped policy; settings chosen by the measure itself."""
    made = frame(store.saved(comparison.ROOT))
    untrained = made[made.method == comparison.UNTRAINED]
    rows = []
    for (task, optimizer, steps), runs in shown(store).items():
        own = runs[(runs.method != "pilot") | (runs.label == LABELS["pilot"])]
        cap = untrained[(untrained.task == task) & (untrained.experiment == f"{comparison.ROOT}/{steps}-steps")]
        rows.append(Row(comparison.title(task, optimizer, steps), pd.concat([own, cap]), measure, measure))
    return rows


def overall(title: str, rows: Sequence[Row]) -> Table:
    """One line a way: sensitivity, log-regrets with their intervals, shares at or below, cost."""
    unit = "nats" if all(row.measure == "test_loss" for row in rows) else "%"
    cells = {}
    for way in ways(rows):
        one = Standing.of(way, rows)
        shares = [f"{100 * found.below:.0f}" if found else "-" for found in one.against.values()]
        cells[str(way)] = {
            f"LR sensitivity, {unit}": _digits(one.sensitivity),
            **{f"log-regret to best {name}": str(found) if found else "-" for name, found in one.against.items()},
            f"starts at or below {' / '.join(OPPONENTS)}, %": " / ".join(shares),
            "runs": f"{one.runs:.3g}",
            "time": f"{one.seconds:.2f}",
            "tasks": str(one.tasks),
        }
    note = (
        "LR sensitivity: the mean over starts of the loss, capped at the untrained network's, less the best of all "
        "methods; tasks with cross entropy. Log-regret: interquartile mean over tasks, starts and seeds, with 95% "
        "intervals over seeds drawn within tasks; below 0 the opponent is beaten. Runs and processor time are those "
        "that a user spends for one result, search included, in runs at a constant rate."
    )
    return Table.of(title, "method", DataFrame(cells).T, note)


def by_task(title: str, rows: Sequence[Row]) -> Table:
    """One line a task: the pilot's worst and best start, its sensitivity, and the best of each opponent."""
    cells = {}
    for row in rows:
        means, bests = row.way(PILOT).mean(axis=1), {name: row.best(methods) for name, methods in OPPONENTS.items()}
        cells[row.title] = {
            "untrained": f"{row.untrained:.3f}",
            "pilot, worst start": _digits(means.max() if len(means) else None),
            "pilot, best start": _digits(means.min() if len(means) else None),
            "LR sensitivity": _digits(row.sensitivity(PILOT)),
            **{f"best {name}": _digits(None if best is None else best.mean()) for name, best in bests.items()},
        }
    return Table.of(title, "task", DataFrame(cells).T)


def _digits(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def profiles(name: str, rows: Sequence[Row]) -> Picture:
    """The performance profile: which share of a way's runs ends within so much of the task's best loss.

    The pilot stands in each panel; beside it grids from any of their rates, then at the best of these, then what finds
    its own rate.
    """
    shown = [row for row in rows if row.is_capped]
    every = list(ways(shown))
    own_rate = [way for way in every if way.method in OPPONENTS["peer"]]
    given = [way for way in every if way not in own_rate]
    families = {
        "from any of five rates": [way for way in given if not way.searched],
        "at the best of five rates": [way for way in given if way.searched],
        "given no rate": own_rate,
    }
    figure, axes = panels(len(families))
    for panel, (title, own) in zip(axes, families.items(), strict=True):
        curves = {way: _profile(way, shown) for way in dict.fromkeys([*(way for way in every if way == PILOT), *own])}
        best = sorted(curves, key=lambda way: -curves[way].mean())[:NAMED]
        for way, shares in curves.items():
            label, thick = LABELS[way.method], 2.6 if way == PILOT else 1.2
            if way in best or way == PILOT:
                panel.plot(LEVELS, shares, label=label, gid=GID + label, color=COLOURS[way.method], linewidth=thick)
            else:
                panel.plot(LEVELS, shares, **OTHERS)
        if len(curves) > NAMED:
            title += f": the best {NAMED}"
        panel.set(xscale="log", xlabel="loss / best loss of all", ylabel="share of runs", ylim=(0, 1.02))
        panel.set_title(title, loc="left", fontsize=9)
        panel.set_xticks([1, 1.5, 2, 3, 4], labels=["1", "1.5", "2", "3", "4"])
        panel.set_xticks([], minor=True)
        name_ends(panel)
    return Picture(name, figure, "Performance profile: the share of runs whose loss is at most so many times the best.")


def _profile(way: Way, rows: Sequence[Row]) -> np.ndarray:
    """The share of runs within each of `LEVELS`."""
    there = [row for row in rows if not row.way(way).empty]
    regrets = [metrics.log_regret(row.way(way).to_numpy(), np.asarray(row.least), row.untrained) for row in there]
    return metrics.profile(regrets, np.log(LEVELS).tolist())


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
