"""The pilot on the bank's tasks: what it saw at each decision, where it stood, and how the run ended."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lrpilot.errors import NonFiniteLoss, PilotWarning
from lrpilot.pilot.controller import Pilot
from lrpilot.pilot.features import LINEAR_DECAY
from lrpilot.pilot.interval import Interval
from lrpilot.pilot.policy import Drives, Policy, bounded_step

from .task import BankTask, TaskDice
from .teacher import Teacher
from .training import BankTraining

if TYPE_CHECKING:
    from jaxtyping import Float

    from .store import Entry

STARTS = (-3.5, -2.25, -1.0, 0.25, 1.5)
"""Decades from the usual peak of the rates that a policy is judged from."""
LOWEST, HIGHEST, RUNS = -4.1, 5.0, 4
"""Those that it learns from are drawn, one from each quarter of this range: it must also learn to come back down."""


@dataclass(frozen=True)
class BankRollout:
    """One run of the pilot.

    Attributes:
        start: log10 of the rate given.
        intervals: what was seen at each decision.
        log_rates: natural logs of the rate in force before each decision.
        score: how the run ended; lower is better.
    """

    start: float
    intervals: list[Interval]
    log_rates: Float[Tensor, " decision"]
    score: float


class NoisyPolicy:
    """A policy with Gaussian noise on its raw action, so that a run comes into states of its own making.

    Args:
        policy: whose actor decides.
        noise: standard deviation.
        generator: of the noise.
    """

    def __init__(self, policy: Policy, noise: float, generator: torch.Generator) -> None:
        self._policy, self._noise, self._generator = policy, noise, generator

    def initial_memory(self) -> Tensor:
        """The policy's."""
        return self._policy.initial_memory()

    @torch.no_grad()
    def act(
        self, features: Float[Tensor, " feature"], memory: Float[Tensor, " width"]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, " width"]]:
        """As `Policy.act`."""
        mean, state = self._policy.actor(features.view(1, 1, -1), memory.view(1, 1, -1))
        raw = mean.view(()) + self._noise * torch.randn((), generator=self._generator)
        return bounded_step(raw, features[LINEAR_DECAY]), state.view(-1)


class RecordedPilot(Pilot):
    """A pilot that keeps what it saw."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.intervals: list[Interval] = []
        self.log_rates: list[float] = []
        super().__init__(*args, **kwargs)

    def _observe(self, interval: Interval, verdict: str | None) -> Tensor:
        self.intervals.append(replace(interval, taken_back=verdict is not None))
        self.log_rates.append(math.log(self._rate))
        return super()._observe(interval, verdict)


def roll_out(training: BankTraining, driver: Drives, start: float) -> BankRollout:
    """One run of the pilot on a task, from the rate 10^``start``."""
    pilots: list[RecordedPilot] = []

    def begin(optimizer: torch.optim.Optimizer) -> Callable[[Tensor], None]:
        for group in optimizer.param_groups:
            group["lr"] = 10.0**start
        pilots.append(RecordedPilot(optimizer, training.task.steps, policy=driver))
        return pilots[0].step

    try:
        with warnings.catch_warnings(action="ignore", category=PilotWarning):
            score = training.score(training.run(begin))
    except NonFiniteLoss:
        score = training.worst
    pilot = pilots[0]
    pilot.close()
    return BankRollout(start, pilot.intervals, torch.tensor(pilot.log_rates), score)


def judge_task(task: BankTask, policy: Policy) -> list[BankRollout]:
    """A task's runs, one from each of `STARTS`."""
    training = prepared(task)
    return [roll_out(training, policy, task.usual + start) for start in STARTS]


def explore_task(entry: Entry, policy: Policy | None, *, noise: float, seed: int) -> list[BankRollout]:
    """A task's runs to learn from.

    Args:
        entry: the task, and the schedules tried on it.
        policy: drives the runs, every other one with noise; None: the `Teacher` does.
        noise: standard deviation of the noise on the policy's raw action.
        seed: of starts and noise.
    """
    task = entry.task
    training, dice = prepared(task), TaskDice(f"{seed}/{task.index}")
    rollouts: list[BankRollout] = []
    for run in range(RUNS):
        start = task.usual + LOWEST + (HIGHEST - LOWEST) * (run + dice.random()) / RUNS
        generator = torch.Generator().manual_seed(dice.randrange(2**31))
        if policy is None:
            driver = Teacher(entry.best_schedule, task.steps, start, generator)
        else:
            driver = NoisyPolicy(policy, noise, generator) if run % 2 == 0 else policy
        rollouts.append(roll_out(training, driver, start))
    return rollouts


def prepared(task: BankTask) -> BankTraining:
    """The task in a process of one thread, as the schedules' scores were made."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    return BankTraining(task)


def save(path: Path, rollouts: Sequence[BankRollout]) -> None:
    """Write a task's runs; a reader never sees half of them."""
    partial = path.with_suffix(".partial")
    torch.save([{**vars(r), "intervals": [_plain(interval) for interval in r.intervals]} for r in rollouts], partial)
    partial.replace(path)


def load(path: Path) -> list[BankRollout]:
    """What :func:`save` wrote."""
    saved: list[dict[str, Any]] = torch.load(path, weights_only=True)
    return [
        BankRollout(
            start=values["start"],
            intervals=[Interval(**interval) for interval in values["intervals"]],
            log_rates=values["log_rates"],
            score=values["score"],
        )
        for values in saved
    ]


def _plain(interval: Interval) -> dict[str, Any]:
    values = {field.name: getattr(interval, field.name) for field in fields(interval)}
    return {name: value.clone() if isinstance(value, Tensor) else value for name, value in values.items()}
