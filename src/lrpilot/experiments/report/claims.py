"""The paper's claims, and lrpilot's own, held against the committed results: what came out, whether it holds.

A claim is judged for both settings of the online actor-critic. A judge is given the runs of the claim's own method and
those of its rivals, each at its setting with the least test error, and says whether the claim holds, with numbers.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from pandas import DataFrame

from lrpilot.experiments.runs.methods import LABELS, PAPERS_BASELINES, SCHAUL
from lrpilot.experiments.studies.frame import choose
from lrpilot.experiments.tasks.catalogue import MNIST_NETWORKS, PAPERS

from .studies import SOUND
from .tables import Table

SIMILAR = 1.1  # the factor within which two training losses count as similar
RISES = 1.05  # a test loss this much above its least has risen
RATES = (0.010, 0.055)  # between which Figure 5's rate stays
SETTINGS = ("paper", "stable")
UNKNOWN = "not measured"
ONLINE = "online-{}"
NOTE = (
    "Baselines stand at the rate with the least test error, as in the paper. The verdicts are those of the means, "
    "whatever the spread, which the tables show."
)

Rivals = Mapping[str, DataFrame]  # runs by method
Judge = Callable[[DataFrame, Rivals], tuple[bool, str] | None]  # None where runs are missing


@dataclass(frozen=True)
class Claim:
    """A statement, and the runs that decide on it; ``{}`` in the name of a method stands for the setting."""

    statement: str  # as the table of claims has it
    place: str  # where the paper makes it; empty if it does not
    judge: Judge
    experiment: str  # whose runs they are
    task: str  # likewise
    rivals: tuple[str, ...] = ()  # the methods that its own is held against, some of which must have runs
    own: str = ONLINE  # the method that it is about
    beside: str | None = None  # the experiment of the rivals' runs where it is another one

    def verdict(self, setting: str, runs: DataFrame) -> str | None:
        """What came of it under one setting; None while the runs that decide are missing."""
        runs = runs[runs.task == self.task]
        own = runs[(runs.experiment == self.experiment) & (runs.method == self.own.format(setting))]
        others = runs[runs.experiment == (self.beside or self.experiment)]
        tried = {name: others[others.method == name] for name in (rival.format(setting) for rival in self.rivals)}
        rivals = {name: choose(made, "test_error") for name, made in tried.items() if len(made)}
        found = self.judge(own, rivals) if len(own) and (rivals or not self.rivals) else None
        return f"{'holds' if found[0] else 'does not hold'}: {found[1]}" if found else None


def verdicts(runs: DataFrame) -> Table:
    """One row a claim that has been measured: verdict and numbers under the literal and the stable setting."""
    judged = {claim: [claim.verdict(setting, runs) for setting in SETTINGS] for claim in CLAIMS}
    rows = [
        [claim.statement, claim.place, *(said or UNKNOWN for said in both)]
        for claim, both in judged.items()
        if any(both)
    ]
    return Table("The paper's claims", ["claim", "where", *SETTINGS], rows, NOTE)


def _lowest_error(own: DataFrame, rivals: Rivals) -> tuple[bool, str]:
    """The least mean test error of all."""
    errors = {name: runs.test_error.mean() for name, runs in rivals.items()}
    best = min(errors, key=lambda name: errors[name])
    mine = own.test_error.mean()
    return mine < errors[best], f"{mine:.2f}% against {errors[best]:.2f}% ({LABELS[best]})"


def _similar_convergence(own: DataFrame, rivals: Rivals) -> tuple[bool, str]:
    """The mean training loss over the run, beside the least of the baselines'."""
    mine, least = _mean_training_loss(own), min(map(_mean_training_loss, rivals.values()))
    return mine <= SIMILAR * least, f"mean training loss {mine:.3f}, the best baseline's {least:.3f}"


def _no_overfitting(own: DataFrame, rivals: Rivals) -> tuple[bool, str]:
    """The test loss on a fifth of CIFAR-10 at the end, over its least in the run; the baselines' rises."""
    mine, rises = _rise(own), {name: _rise(runs) for name, runs in rivals.items()}
    least = min(runs.test_error.mean() for runs in rivals.values())
    theirs = ", ".join(f"{LABELS[name]} {rise:.2f}x" for name, rise in rises.items())
    errors = f"test error {own.test_error.mean():.1f}% against {least:.1f}%"
    holds = mine <= RISES and any(rise > RISES for rise in rises.values())
    return holds, f"test loss ends at {mine:.2f}x its least; {theirs}; {errors}"


def _range_of_rates(own: DataFrame, rivals: Rivals) -> tuple[bool, str]:
    """Figure 5."""
    rates = [rate for run in own.run for rate in run.curve["rate"] if math.isfinite(rate)]
    low, high = min(rates), max(rates)
    return RATES[0] <= low and high <= RATES[1], f"between {low:.2g} and {high:.2g} in {len(own)} runs"


def _beats_one(numbers: str, own: DataFrame, rivals: Rivals) -> tuple[bool, str]:
    """A lower mean test error than the only rival."""
    (rival,) = rivals.values()
    mine, other = own.test_error.mean(), rival.test_error.mean()
    return mine < other, numbers.format(mine, other)


def _learning_matters(own: DataFrame, rivals: Rivals) -> tuple[bool, str] | None:
    """Both controls: an untrained actor, and plain SGD at the mean of the learned rates."""
    if len(rivals) < 2:
        return None
    mine, (frozen, constant) = own.test_error.mean(), (runs.test_error.mean() for runs in rivals.values())
    numbers = f"{mine:.2f}%; its untrained actor {frozen:.2f}%, a constant rate equal to its mean {constant:.2f}%"
    return mine < min(frozen, constant), numbers


def _sound_from_any_start(own: DataFrame, rivals: Rivals) -> tuple[bool, str]:
    """The worst start's mean test error beside the best constant rate's; no run diverges."""
    starts = own.groupby("setting_lr").test_error.mean()
    worst, best, diverged = starts.max(), rivals["sgd"].test_error.mean(), (~own.finished).sum()
    numbers = (
        f"from the worst of {len(starts)} starts {worst:.2f}%, the best constant rate {best:.2f}%; "
        f"the worst of {len(own)} runs {own.test_error.max():.2f}%, {diverged} diverged"
    )
    return worst <= SOUND * best and not diverged, numbers


def _mean_training_loss(runs: DataFrame) -> float:
    """Over the run; infinite where a run did not finish."""
    finished = runs.finished.all()
    return statistics.fmean(statistics.fmean(run.curve["train_loss"]) for run in runs.run) if finished else math.inf


def _rise(runs: DataFrame) -> float:
    """The last test loss over the least one, the mean over runs; infinite if one did not finish."""
    return (runs.test_loss / runs.best_test_loss).mean() if runs.finished.all() else math.inf


BASELINES, CONTROLS = PAPERS_BASELINES, ("frozen-{}", "mean-rate-{}")
BATCHES = partial(_beats_one, "test error {:.2f}% with another batch, {:.2f}% with the same")
RUNS = partial(_beats_one, "{:.2f}% offline, {:.2f}% online")
CONVERGES = f"training loss falls about as fast as the baselines' (within {SIMILAR:g}x), MNIST CNN"
SAME = "the same, CIFAR-10 CNN"
OVERFITS = "prevents overfitting on a fifth of CIFAR-10, where the baselines overfit"
STAYS = f"the learned rate stays between {RATES[0]:g} and {RATES[1]:g} on CIFAR-10"
GENERALISES = "another batch for the actor generalises better than the same one"
IMPROVES = "learning offline over runs improves on online, MNIST CNN"
LEARNED = "(implied) what is learned matters: better than both controls, "
ANY_START = f"(ours) sound from any starting rate: within {SOUND:g}x the best constant rate's error, "

CLAIMS = (
    Claim("the lowest test error, MNIST CNN", "Table 1", _lowest_error, "table1", "mnist-cnn", BASELINES),
    Claim("the highest accuracy, CIFAR-10 CNN", "Table 2", _lowest_error, "table2", "cifar10-cnn", BASELINES),
    *(
        Claim(f"the lowest test error, {task.upper()}", "Table 3", _lowest_error, "table3", task, (*BASELINES, *SCHAUL))
        for task in MNIST_NETWORKS
    ),
    Claim(CONVERGES, "Figure 2", _similar_convergence, "table1", "mnist-cnn", BASELINES),
    Claim(SAME, "Figure 3", _similar_convergence, "table2", "cifar10-cnn", BASELINES),
    Claim(OVERFITS, "Figure 4", _no_overfitting, "figure4", "cifar10-cnn", BASELINES),
    Claim(STAYS, "Figure 5", _range_of_rates, "table2", "cifar10-cnn"),
    Claim(GENERALISES, "Figure 6", BATCHES, "figure4", "cifar10-cnn", (ONLINE,), beside="figure6"),
    Claim(IMPROVES, "appendix", RUNS, "appendix", "mnist-cnn", (ONLINE,), own="offline-{}", beside="table1"),
    Claim(SAME, "appendix", RUNS, "appendix", "cifar10-cnn", (ONLINE,), own="offline-{}", beside="table2"),
    *(
        Claim(f"{LEARNED}{task.heading}", "", _learning_matters, str(task.table), name, CONTROLS)
        for name, task in PAPERS.items()
    ),
    *(
        Claim(f"{ANY_START}{task.upper()}", "", _sound_from_any_start, "start", task, ("sgd",), beside="table3")
        for task in MNIST_NETWORKS
    ),
)
