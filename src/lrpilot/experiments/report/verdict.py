"""Holds, undecided or does not hold: what paired runs say of a claim, with the uncertainty that the seeds leave.

A claim says that a measure of one method is below another's, or below a multiple of it. Two runs of one seed share
their initial weights and their batches: their ratio is taken seed by seed, and a Student interval of its logarithm,
the paired difference, decides.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import NamedTuple

from pandas import DataFrame, Series

from lrpilot.experiments.runs.trial import CHANCE

from .tables import interval

HOLDS, UNDECIDED, FAILS = "holds", "undecided", "does not hold"
COLLAPSED = 0.9
"""Share of guessing's error from which a run that finished counts as collapsed, as does one that did not finish."""
RESOLUTION = 0.01  # percent: one of 10,000 test examples, the least error that is told apart from none


class Measure(NamedTuple):
    """What is compared of two runs; less is better."""

    text: str  # how two means over runs are written
    of: Callable[[DataFrame], Series]  # of each run; > 0

    def mean(self, runs: DataFrame) -> float:
        """Over runs."""
        return float(self.of(runs).mean())


class Verdict(NamedTuple):
    """What came of a claim, and the numbers."""

    said: str  # HOLDS, UNDECIDED or FAILS
    numbers: str

    def __str__(self) -> str:
        return f"{self.said}: {self.numbers}"


def decide(ends: tuple[float, float] | None, limit: float) -> str:
    """Whether an interval lies below a limit, above it, or has it inside; no interval decides nothing."""
    low, high = ends or (-math.inf, math.inf)
    return HOLDS if high < limit else FAILS if low > limit else UNDECIDED


def paired_ratios(own: DataFrame, rival: DataFrame, measure: Measure) -> list[float]:
    """A measure of one method over the other's, for each seed that both have; one run a seed in each."""
    mine, theirs = (measure.of(runs).set_axis(runs.seed) for runs in (own, rival))
    return [float(mine[seed] / theirs[seed]) for seed in mine.index if seed in theirs.index]


def mean_ratio(ratios: list[float]) -> tuple[float, tuple[float, float] | None]:
    """The geometric mean of at least one ratio, and the 95% interval of its logarithm; None of a single one."""
    logs = [math.log(ratio) for ratio in ratios]
    ends = interval(logs)
    return math.exp(statistics.fmean(logs)), (math.exp(ends[0]), math.exp(ends[1])) if ends else None


def collapsed(runs: DataFrame) -> Series:
    """Of each run, whether it did not finish, or ended hardly better than guessing."""
    return ~runs.finished.astype(bool) | (runs.test_error >= COLLAPSED * 100 * CHANCE)


def compare(own: DataFrame, rival: DataFrame, measure: Measure, limit: float = 1.0) -> Verdict | None:
    """Whether a method's measure is below ``limit`` times its rival's over the seeds that both have; None without any.

    All runs count where one has collapsed. A rival whose run collapsed is no yardstick, and leaves the claim undecided.
    If only runs of the method itself collapsed, the claim does not hold.
    """
    ratios = paired_ratios(own, rival, measure)
    if not ratios:
        return None
    name = rival.label.iloc[0]
    lost, theirs = collapsed(own), collapsed(rival)
    if lost.any() or theirs.any():
        errors = f"test error {own.test_error.mean():.2f}% against {rival.test_error.mean():.2f}% ({name})"
        counts = f"collapsed: {lost.sum()} of {len(lost)} runs against {theirs.sum()} of {len(theirs)}"
        return Verdict(UNDECIDED if theirs.any() else FAILS, f"{errors}; {counts}")
    ratio, ends = mean_ratio(ratios)
    own, rival = own[own.seed.isin(rival.seed)], rival[rival.seed.isin(own.seed)]
    means = measure.text.format(measure.mean(own), measure.mean(rival))
    shown = "[{:.2f}, {:.2f}]".format(*ends) if ends else "of one seed"
    return Verdict(decide(ends, limit), f"{means} ({name}), {ratio:.2f}x {shown}")


def _mean_training_loss(runs: DataFrame) -> Series:
    """Over each run, as far as it was finite; infinite where the run did not finish."""
    means = [Series(run.curve["train_loss"], dtype=float).mean() for run in runs.run]
    return Series(means, runs.index).where(runs.finished, math.inf)


def _rise(runs: DataFrame) -> Series:
    """The last test loss over the least one; infinite where the run did not finish."""
    return (runs.test_loss / runs.best_test_loss).where(runs.finished, math.inf)


TEST_ERROR = Measure("{:.2f}% against {:.2f}%", lambda runs: runs.test_error.clip(lower=RESOLUTION))
TRAINING_LOSS = Measure("mean training loss {:.3f} against {:.3f}", _mean_training_loss)
RISE = Measure("test loss ends at {:.2f}x its least against {:.2f}x", _rise)
