"""The paper's claims, and lrpilot's own, held against the committed results: what came out, whether it holds.

A claim is judged for both settings of the online actor-critic.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lrpilot.experiments.runs.store import Store
from lrpilot.experiments.runs.trial import Result
from lrpilot.experiments.studies.catalogue import PAPERS_BASELINES, results_of
from lrpilot.experiments.studies.methods import LABELS, MEAN_RATE, SCHAUL
from lrpilot.experiments.studies.profiles import Profile

from .tables import Table, by_method, choose_setting

SIMILAR = 1.1  # the factor within which two training losses count as similar
RISES = 1.05  # a test loss this much above its least has risen
RATES = (0.010, 0.055)  # between which Figure 5's rate stays
SOUND = 1.1  # the factor above the best constant rate's error within which a learned rate is sound
SETTINGS = ("paper", "stable")
UNKNOWN = "not measured"
NOTE = (
    "Baselines stand at the rate with the least test error, as in the paper. The verdicts are those of the means, "
    "whatever the spread, which the tables show."
)

Methods = Mapping[str, Sequence[Result]]


@dataclass(frozen=True)
class Finding:
    """What came of a claim under one setting: whether it holds, and the numbers."""

    holds: bool
    numbers: str


Judge = Callable[[str, Profile, Store], Finding | None]


@dataclass(frozen=True)
class Claim:
    """A statement, where the paper makes it, and how it is judged under a setting (None: no results yet)."""

    statement: str
    place: str
    judge: Judge


def verdicts(profile: Profile, store: Store) -> Table:
    """One row a claim: verdict and numbers under the literal and the stable setting."""
    rows = []
    for claim in CLAIMS:
        findings = [claim.judge(setting, profile, store) for setting in SETTINGS]
        if any(findings):
            rows.append([claim.statement, claim.place, *map(_text, findings)])
    return Table("The paper's claims", ["claim", "where", *SETTINGS], rows, NOTE)


def _text(finding: Finding | None) -> str:
    if finding is None:
        return UNKNOWN
    return f"{'holds' if finding.holds else 'does not hold'}: {finding.numbers}"


def _lowest_error(table: str, task: str, rivals: Sequence[str]) -> Judge:
    """The least mean test error of all."""

    def judge(setting: str, profile: Profile, store: Store) -> Finding | None:
        methods = _methods(store, profile, table, task)
        own, others = methods.get(f"online-{setting}"), [name for name in rivals if name in methods]
        if not own or not others:
            return None
        errors = {name: _chosen_error(methods[name]) for name in others}
        best = min(errors, key=lambda name: errors[name])
        mine = _chosen_error(own)
        return Finding(mine < errors[best], f"{mine:.2f}% against {errors[best]:.2f}% ({LABELS[best]})")

    return judge


def _similar_convergence(table: str, task: str) -> Judge:
    """The mean training loss over the run, beside the least of the baselines'."""

    def judge(setting: str, profile: Profile, store: Store) -> Finding | None:
        methods = _methods(store, profile, table, task)
        own, others = methods.get(f"online-{setting}"), [name for name in PAPERS_BASELINES if name in methods]
        if not own or not others:
            return None
        losses = [_mean_training_loss(choose_setting(methods[name], "test_error").results) for name in others]
        mine, least = _mean_training_loss(own), min(losses)
        return Finding(mine <= SIMILAR * least, f"mean training loss {mine:.3f}, the best baseline's {least:.3f}")

    return judge


def _no_overfitting(setting: str, profile: Profile, store: Store) -> Finding | None:
    """The test loss on a fifth of CIFAR-10 at the end, over its least in the run; the baselines' rises."""
    methods = _methods(store, profile, "figure4", "cifar10-cnn")
    own, others = methods.get(f"online-{setting}"), [name for name in PAPERS_BASELINES if name in methods]
    if not own or not others:
        return None
    mine = _rise(own)
    rises = {name: _rise(methods[name]) for name in others}
    risen = sum(rise > RISES for rise in rises.values())
    numbers = (
        f"test loss ends at {mine:.2f}x its least; "
        f"{', '.join(f'{LABELS[name]} {rise:.2f}x' for name, rise in rises.items())}; "
        f"test error {_error(own):.1f}% against {min(_error(methods[name]) for name in others):.1f}%"
    )
    return Finding(mine <= RISES and risen > 0, numbers)


def _range_of_rates(setting: str, profile: Profile, store: Store) -> Finding | None:
    """Figure 5."""
    own = _methods(store, profile, "table2", "cifar10-cnn").get(f"online-{setting}")
    if not own:
        return None
    rates = [rate for result in own for rate in result.curve["rate"] if math.isfinite(rate)]
    low, high = min(rates), max(rates)
    return Finding(RATES[0] <= low and high <= RATES[1], f"between {low:.2g} and {high:.2g} in {len(own)} runs")


def _another_batch_helps(setting: str, profile: Profile, store: Store) -> Finding | None:
    """Figure 6."""
    same = _methods(store, profile, "figure6", "cifar10-cnn").get(f"online-{setting}")
    other = _methods(store, profile, "figure4", "cifar10-cnn").get(f"online-{setting}")
    if not same or not other:
        return None
    numbers = f"test error {_error(other):.2f}% with another batch, {_error(same):.2f}% with the same"
    return Finding(_error(other) < _error(same), numbers)


def _offline_improves(table: str, task: str) -> Judge:
    """The appendix' version beside the online one."""

    def judge(setting: str, profile: Profile, store: Store) -> Finding | None:
        online = _methods(store, profile, table, task).get(f"online-{setting}")
        offline = _methods(store, profile, "appendix", task).get(f"offline-{setting}")
        if not online or not offline:
            return None
        numbers = f"{_error(offline):.2f}% offline, {_error(online):.2f}% online"
        return Finding(_error(offline) < _error(online), numbers)

    return judge


def _learning_matters(table: str, task: str) -> Judge:
    """Both controls: an untrained actor, and plain SGD at the mean of the learned rates."""

    def judge(setting: str, profile: Profile, store: Store) -> Finding | None:
        methods = _methods(store, profile, table, task)
        control = next(name for name, controller in MEAN_RATE.items() if controller == f"online-{setting}")
        names = (f"online-{setting}", f"frozen-{setting}", control)
        if any(name not in methods for name in names):
            return None
        mine, frozen, constant = (_error(methods[name]) for name in names)
        numbers = f"{mine:.2f}%; its untrained actor {frozen:.2f}%, a constant rate equal to its mean {constant:.2f}%"
        return Finding(mine < min(frozen, constant), numbers)

    return judge


def _sound_from_any_start(task: str) -> Judge:
    """The worst start's mean test error beside the best constant rate's; no run diverges."""

    def judge(setting: str, profile: Profile, store: Store) -> Finding | None:
        own = _methods(store, profile, "start", task).get(f"online-{setting}")
        constant = _methods(store, profile, "table3", task).get("sgd")
        if not own or not constant:
            return None
        by_start: dict[Any, list[Result]] = {}
        for result in own:
            by_start.setdefault(result.trial.setting["lr"], []).append(result)
        worst, best = max(map(_error, by_start.values())), _chosen_error(constant)
        poorest = max(result.final("test_error") for result in own)
        diverged = sum(result.status != "finished" for result in own)
        numbers = (
            f"from the worst of {len(by_start)} starts {worst:.2f}%, the best constant rate {best:.2f}%; "
            f"the worst of {len(own)} runs {poorest:.2f}%, {diverged} diverged"
        )
        return Finding(worst <= SOUND * best and not diverged, numbers)

    return judge


def _methods(store: Store, profile: Profile, experiment: str, task: str) -> Methods:
    return by_method(result for result in results_of(experiment, profile, store) if result.trial.task == task)


def _chosen_error(results: Sequence[Result]) -> float:
    return _error(choose_setting(results, "test_error").results)


def _error(results: Iterable[Result]) -> float:
    return statistics.fmean(result.final("test_error") for result in results)


def _mean_training_loss(results: Iterable[Result]) -> float:
    """Over the run; infinite where a run did not finish."""
    return statistics.fmean(
        statistics.fmean(result.curve["train_loss"]) if result.status == "finished" else math.inf for result in results
    )


def _rise(results: Iterable[Result]) -> float:
    """The last test loss over the least one, the mean over runs; infinite if one did not finish."""
    return statistics.fmean(
        result.final("test_loss") / result.best("test_loss") if result.status == "finished" else math.inf
        for result in results
    )


_TABLE3_RIVALS = (*PAPERS_BASELINES, *SCHAUL)

CLAIMS = (
    Claim("the lowest test error, MNIST CNN", "Table 1", _lowest_error("table1", "mnist-cnn", PAPERS_BASELINES)),
    Claim("the highest accuracy, CIFAR-10 CNN", "Table 2", _lowest_error("table2", "cifar10-cnn", PAPERS_BASELINES)),
    *(
        Claim(f"the lowest test error, {task.upper()}", "Table 3", _lowest_error("table3", task, _TABLE3_RIVALS))
        for task in ("m0", "m1", "m2")
    ),
    Claim(
        f"training loss falls about as fast as the baselines' (within {SIMILAR:g}x), MNIST CNN",
        "Figure 2",
        _similar_convergence("table1", "mnist-cnn"),
    ),
    Claim("the same, CIFAR-10 CNN", "Figure 3", _similar_convergence("table2", "cifar10-cnn")),
    Claim("prevents overfitting on a fifth of CIFAR-10, where the baselines overfit", "Figure 4", _no_overfitting),
    Claim(f"the learned rate stays between {RATES[0]:g} and {RATES[1]:g} on CIFAR-10", "Figure 5", _range_of_rates),
    Claim("another batch for the actor generalises better than the same one", "Figure 6", _another_batch_helps),
    Claim(
        "learning offline over runs improves on online, MNIST CNN", "appendix", _offline_improves("table1", "mnist-cnn")
    ),
    Claim("the same, CIFAR-10 CNN", "appendix", _offline_improves("table2", "cifar10-cnn")),
    *(
        Claim(
            f"(implied) what is learned matters: better than both controls, {heading}",
            "",
            _learning_matters(table, task),
        )
        for table, task, heading in (
            ("table3", "m0", "M0"),
            ("table3", "m1", "M1"),
            ("table3", "m2", "M2"),
            ("table1", "mnist-cnn", "MNIST CNN"),
            ("table2", "cifar10-cnn", "CIFAR-10 CNN"),
        )
    ),
    *(
        Claim(
            f"(ours) sound from any starting rate: within {SOUND:g}x the best constant rate's error, {task.upper()}",
            "",
            _sound_from_any_start(task),
        )
        for task in ("m0", "m1", "m2")
    ),
)
