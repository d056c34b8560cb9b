"""The pilot on the bank's tasks: what it saw at each decision, where it stood, and how the run ended."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lrpilot.errors import NonFiniteLoss
from lrpilot.pilot.controller import Pilot
from lrpilot.pilot.features import LINEAR_DECAY
from lrpilot.pilot.interval import Interval
from lrpilot.pilot.policy import Policy, bounded_step

from .tasks import BankTask, TaskDice
from .training import BankTraining

if TYPE_CHECKING:
    from jaxtyping import Float

STARTS = (-3.5, -2.25, -1.0, 0.25, 1.5)
"""Decades from the usual peak of the rates that a user may give."""
SHIFT = 0.6
"""Where a policy learns, all of a task's starts are shifted at random by up to so many decades."""


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

    def _observe(self, interval: Interval, *, taken_back: bool) -> Tensor:
        self.intervals.append(replace(interval, taken_back=torch.tensor(taken_back)))
        self.log_rates.append(math.log(self._rate))
        return super()._observe(interval, taken_back=taken_back)


def roll_out(training: BankTraining, policy: Policy, start: float, *, noise: float, seed: int) -> BankRollout:
    """One run of the pilot on a task, from the rate 10^``start``."""
    noisy = NoisyPolicy(policy, noise, torch.Generator().manual_seed(seed))
    pilots: list[RecordedPilot] = []

    def driver(optimizer: torch.optim.Optimizer) -> Callable[[Tensor], None]:
        for group in optimizer.param_groups:
            group["lr"] = 10.0**start
        pilots.append(RecordedPilot(optimizer, training.task.steps, policy=noisy))
        return pilots[0].step

    try:
        score = training.score(training.run(driver))
    except NonFiniteLoss:
        score = training.worst
    pilot = pilots[0]
    pilot.close()
    return BankRollout(start, pilot.intervals, torch.tensor(pilot.log_rates), score)


def roll_out_task(task: BankTask, policy: Policy, *, noise: float, seed: int) -> list[BankRollout]:
    """A task's runs, one from each of `STARTS`; with ``noise``, they are shifted and every other one explores.

    Args:
        task: which.
        policy: drives the runs.
        noise: standard deviation of the exploration; 0 where a policy is judged.
        seed: of shift and noise.
    """
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    training, dice = BankTraining(task), TaskDice(f"{seed}/{task.index}")
    shift = dice.uniform(-SHIFT, SHIFT) if noise else 0.0
    return [
        roll_out(
            training,
            policy,
            task.usual + start + shift,
            noise=noise if number % 2 == 0 else 0.0,
            seed=dice.randrange(2**31),
        )
        for number, start in enumerate(STARTS)
    ]


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
