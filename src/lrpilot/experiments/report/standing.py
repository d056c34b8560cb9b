"""Where each method stands over many tasks: the metrics of :mod:`.metrics` on the suite's runs or the comparisons'."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from pandas import DataFrame, Series

from lrpilot.experiments.runs.methods import GIVEN_AN_OPTIMIZER, GIVEN_NO_RATE, LABELS, SEARCHES
from lrpilot.experiments.runs.trial import Result
from lrpilot.experiments.studies.comparison import UNTRAINED
from lrpilot.experiments.studies.frame import groups

from . import metrics

OPPONENTS: Mapping[str, Sequence[str]] = {
    "constant": ("constant",),
    "cosine": ("cosine",),
    "peer": (*GIVEN_NO_RATE, *SEARCHES),
}
"""Whose best a method is held against: the best rate of a grid, the best of the peers."""


class Way(NamedTuple):
    """A method as it is used: from any of its starting rates, or at the best of them after all were tried."""

    method: str
    searched: bool

    def __str__(self) -> str:
        return LABELS[self.method] + (", best of its rates" if self.searched else "")


PILOT = Way("pilot", searched=False)


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
    def is_capped(self) -> bool:
        """Whether it is known what losses are capped at."""
        return math.isfinite(self.untrained)

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
        seeds = mine.columns.intersection(theirs.index)
        return (mine[seeds].to_numpy(), theirs[seeds].to_numpy(), self.untrained) if len(seeds) else None

    def sensitivity(self, way: Way) -> float | None:
        """A way's to the starting rate; None where it has not run, or the untrained network was not measured."""
        losses = self.way(way).to_numpy()
        return metrics.sensitivity(losses, self.untrained, self.least) if losses.size and self.is_capped else None

    def cost(self, way: Way) -> tuple[float, float]:
        """What a user spends for one result, the search included: training runs, and processor time.

        Runs that teach or search count by their length; the unit of time is a run at a constant rate.
        """
        own = self.runs[self.runs.method == way.method]
        tried = own.setting.nunique() if way.searched else 1
        seconds = (own.seconds + own.run.map(_seconds_before)).groupby(own.setting).mean().mean()
        unit = self.runs[(self.runs.method == "constant") & self.runs.finished].seconds.mean()
        return tried + float(own.run.map(_runs_before).mean()), tried * float(seconds) / float(unit)


def _seconds_before(run: Result) -> float:
    return sum(run.earlier.get("seconds", []))


def _runs_before(run: Result) -> float:
    setting, steps = run.trial.setting, run.trial.steps
    return float(setting.get("runs", 0)) * float(setting.get("run_steps", steps)) / steps


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

    sensitivity: float | None  # to the starting rate; None where no task can tell
    against: Mapping[str, metrics.Summary | None]  # by opponent; None where they share no task
    runs: float  # training runs that a user makes for one result, search included
    seconds: float  # processor time of these, in runs at a constant rate
    tasks: int

    @classmethod
    def of(cls, way: Way, rows: Sequence[Row]) -> Standing:
        """Over those rows that the way has runs on."""
        there = [row for row in rows if not row.way(way).empty]
        sharp = [found for row in there if row.in_nats and (found := row.sensitivity(way)) is not None]
        capped = [row for row in there if row.is_capped]
        against = {
            opponent: metrics.Summary.of([pair for row in capped if (pair := row.pair(way, opponent))])
            for opponent in OPPONENTS
        }
        runs, seconds = np.mean([row.cost(way) for row in there], axis=0).tolist()
        return cls(float(np.mean(sharp)) if sharp else None, against, runs, seconds, len(there))
