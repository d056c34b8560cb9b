"""Where each method stands over many tasks: the metrics of :mod:`.metrics` on the suite's runs or the comparisons'."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from pandas import DataFrame, Series

from lrpilot.experiments.runs.methods import GIVEN_AN_OPTIMIZER, GIVEN_NO_RATE, LABELS, SEARCHES
from lrpilot.experiments.runs.trial import Result
from lrpilot.experiments.studies.comparison import UNTRAINED
from lrpilot.experiments.studies.frame import groups

from . import metrics
from .drawing import COLOURS, GID, name_ends, panels
from .page import Picture
from .tables import Table

OPPONENTS: Mapping[str, Sequence[str]] = {
    "constant": ("constant",),
    "cosine": ("cosine",),
    "peer": (*GIVEN_NO_RATE, *SEARCHES),
}
"""Whose best a method is held against: the best rate of a grid, the best of the peers."""
LEVELS = np.geomspace(1.0, 4.0, 200)  # of the profile: a run's loss as a multiple of the best


class Way(NamedTuple):
    """A method as it is used: from any of its starting rates, or at the best of them after all were tried."""

    method: str
    searched: bool

    def __str__(self) -> str:
        return LABELS[self.method] + (", best of its rates" if self.searched else "")


@dataclass(frozen=True)
class Row:
    """All runs of one task, with one optimizer and of one length.

    ``measure`` says what is compared, ``chooser`` by what the best rate of a grid and the best peer are chosen.
    """

    title: str
    runs: DataFrame
    measure: str
    chooser: str

    @cached_property
    def untrained(self) -> float:
        """What losses are capped at; NaN if it was not measured."""
        return float(self.runs[self.runs.method == UNTRAINED][self.measure].mean())

    @property
    def in_nats(self) -> bool:
        """Whether the loss is a cross entropy, comparable from task to task."""
        return bool(self.runs[self.runs.finished].test_error.notna().all())

    @cached_property
    def _losses(self) -> Mapping[str, DataFrame]:
        """By method, [setting, seed]: the seeds that every setting has."""
        return {
            name: own.pivot(index="setting", columns="seed", values=self.measure).dropna(axis=1)
            for name, own in groups(self.runs, "method").items()
        }

    @cached_property
    def _means(self) -> Series:
        """By method and setting, the mean of what settings are chosen by."""
        return self.runs.groupby(["method", "setting"])[self.chooser].mean()

    def best(self, methods: Sequence[str]) -> Series | None:
        """By seed, the losses of the best of these methods at its best setting; None where none has run."""
        means = self._means[self._means.index.get_level_values("method").isin(methods)]
        if means.empty:
            return None
        method, setting = means.index[int(means.to_numpy().argmin())]
        return self._losses[method].loc[setting]

    @cached_property
    def least(self) -> float:
        """The least mean loss over seeds of any method at any setting."""
        others = self.runs[self.runs.method != UNTRAINED]
        return float(others.groupby(["method", "setting"])[self.measure].mean().min())

    def way(self, way: Way) -> DataFrame:
        """The losses of a way, [setting, seed]; empty where it has not run."""
        if not way.searched:
            return self._losses.get(way.method, DataFrame())
        best = self.best([way.method])
        return DataFrame() if best is None else best.to_frame().T

    def pair(self, way: Way, opponent: str) -> tuple[np.ndarray, np.ndarray, float] | None:
        """A way's losses and an opponent's at the seeds that both have, and the cap; None where either lacks."""
        mine, theirs = self.way(way), self.best(OPPONENTS[opponent])
        if mine.empty or theirs is None:
            return None
        shared = [seed for seed in mine.columns if seed in theirs.index]
        return (mine[shared].to_numpy(), theirs[shared].to_numpy(), self.untrained) if shared else None

    def seconds(self, way: Way) -> float:
        """Processor time of all that the way takes, the search included, as a multiple of a run at a constant rate."""
        own = self.runs[self.runs.method == way.method]
        total = own.seconds + own.run.map(_seconds_before)
        mean = total.groupby(own.setting).mean()
        unit = self.runs[(self.runs.method == "constant") & self.runs.finished].seconds.mean()
        return float(mean.sum() if way.searched else mean.mean()) / float(unit)

    def trials(self, way: Way) -> float:
        """The same in training runs, those that teach or search among them by their length."""
        own = self.runs[self.runs.method == way.method]
        before = own.run.map(_runs_before).mean()
        return (own.setting.nunique() if way.searched else 1) + float(before)


def _seconds_before(run: Result) -> float:
    return sum(run.earlier.get("seconds", []))


def _runs_before(run: Result) -> float:
    trial = run.trial
    steps = float(trial.setting.get("run_steps", trial.steps))
    return float(trial.setting.get("runs", 0)) * steps / trial.steps


def ways(rows: Sequence[Row]) -> Iterator[Way]:
    """Every way that has runs, the pilot's first; of other methods with several settings the search among them too."""
    for method in (*GIVEN_AN_OPTIMIZER, *GIVEN_NO_RATE):
        settings = max((row.runs[row.runs.method == method].setting.nunique() for row in rows), default=0)
        if settings:
            yield Way(method, False)
        if settings > 1 and not method.startswith("pilot"):
            yield Way(method, True)


@dataclass(frozen=True)
class Standing:
    """Where a way stands over all tasks that it has run on."""

    way: Way
    sensitivity: float | None  # to the starting rate; None where no task can tell
    against: Mapping[str, metrics.Summary | None]  # by opponent; None where they share no task
    runs: float  # training runs that a user makes for one result, search included
    seconds: float  # processor time of these, in runs at a constant rate
    tasks: int

    @classmethod
    def of(cls, way: Way, rows: Sequence[Row]) -> Standing:
        """Over those rows that the way has runs on."""
        there = [row for row in rows if not row.way(way).empty]
        nats = [row for row in there if row.in_nats and np.isfinite(row.untrained)]
        sharp = [metrics.sensitivity(row.way(way).to_numpy(), row.untrained, row.least) for row in nats]
        against: dict[str, metrics.Summary | None] = {}
        for opponent in OPPONENTS:
            pairs = [pair for row in there if (pair := row.pair(way, opponent)) and np.isfinite(pair[2])]
            against[opponent] = metrics.summary(*zip(*pairs, strict=True)) if pairs else None  # type: ignore[arg-type]
        mean = float(np.mean(sharp)) if sharp else None
        runs, seconds = np.mean([row.trials(way) for row in there]), np.mean([row.seconds(way) for row in there])
        return cls(way, mean, against, float(runs), float(seconds), len(there))


def overall(title: str, rows: Sequence[Row]) -> Table:
    """One line a way: sensitivity, log-regrets with their intervals, shares at or below, cost."""
    cells: list[list[str]] = []
    for way in ways(rows):
        one = Standing.of(way, rows)
        sharp = "-" if one.sensitivity is None else f"{one.sensitivity:.3f}"
        regrets = [str(found) if found else "-" for found in one.against.values()]
        shares = " / ".join(f"{100 * found.below:.0f}" if found else "-" for found in one.against.values())
        cells.append([str(way), sharp, *regrets, shares, f"{one.runs:.3g}", f"{one.seconds:.2f}", str(one.tasks)])
    headings = [f"log-regret to best {opponent}" for opponent in OPPONENTS]
    unit = "nats" if all(row.measure == "test_loss" for row in rows) else "%"
    header = ["method", f"LR sensitivity, {unit}", *headings, f"starts at or below {' / '.join(OPPONENTS)}, %"]
    note = (
        "LR sensitivity: the mean over starts of the loss, capped at the untrained network's, less the best of all "
        "methods; tasks with cross entropy. Log-regret: interquartile mean over tasks, starts and seeds, with 95% "
        "intervals over seeds drawn within tasks; below 0 the opponent is beaten. Runs and processor time are those "
        "that a user spends for one result, search included, in runs at a constant rate."
    )
    return Table(title, [*header, "runs", "time", "tasks"], cells, note)


def by_task(title: str, rows: Sequence[Row]) -> Table:
    """One line a task: the pilot's worst and best start, its sensitivity, and the best of each opponent."""
    pilot, cells = Way("pilot", False), list[list[str]]()
    for row in rows:
        own = row.way(pilot)
        means = own.mean(axis=1)
        starts = [f"{means.max():.3f}", f"{means.min():.3f}"] if len(means) else ["-", "-"]
        capped = len(means) and np.isfinite(row.untrained)
        sharp = f"{metrics.sensitivity(own.to_numpy(), row.untrained, row.least):.3f}" if capped else "-"
        bests = [row.best(methods) for methods in OPPONENTS.values()]
        others = ["-" if best is None else f"{best.mean():.3f}" for best in bests]
        cells.append([row.title, f"{row.untrained:.3f}", *starts, sharp, *others])
    header = ["task", "untrained", "pilot, worst start", "pilot, best start", "LR sensitivity"]
    return Table(title, [*header, *(f"best {opponent}" for opponent in OPPONENTS)], cells)


def profiles(name: str, rows: Sequence[Row]) -> Picture:
    """The performance profile: which share of a way's runs ends within so much of the task's best loss.

    The pilot stands in each panel; beside it grids from any of their rates, then at the best of these, then what finds
    its own rate.
    """
    shown = [row for row in rows if np.isfinite(row.untrained)]
    families: Mapping[str, list[Way]] = {
        "from any of five rates": [],
        "at the best of five rates": [],
        "given no rate": [],
    }
    every, any_rate, best_rate = list(ways(shown)), *list(families.values())[:2]
    for way in every:
        own_rate = way.method in (*GIVEN_NO_RATE, *SEARCHES)
        (families["given no rate"] if own_rate else best_rate if way.searched else any_rate).append(way)
    figure, axes = panels(len(families))
    for panel, (title, own) in zip(axes, families.items(), strict=True):
        for way in dict.fromkeys([Way("pilot", False), *own]):
            if way in every:
                _profile(panel, way, shown)
        panel.set(xscale="log", xlabel="loss / best loss of all", ylabel="share of runs", ylim=(0, 1.02))
        panel.set_title(title, loc="left", fontsize=9)
        panel.set_xticks([1, 1.5, 2, 3, 4], labels=["1", "1.5", "2", "3", "4"])
        panel.set_xticks([], minor=True)
        name_ends(panel)
    return Picture(name, figure, "Performance profile: the share of runs whose loss is at most so many times the best.")


def _profile(panel: Axes, way: Way, rows: Sequence[Row]) -> None:
    there = [row for row in rows if not row.way(way).empty]
    regrets = [metrics.log_regret(row.way(way).to_numpy(), np.asarray(row.least), row.untrained) for row in there]
    shares, thick = metrics.profile(regrets, np.log(LEVELS).tolist()), 2.6 if way.method == "pilot" else 1.2
    label = LABELS[way.method]
    panel.plot(LEVELS, shares, label=label, gid=GID + label, color=COLOURS[way.method], linewidth=thick)
