"""The pilot on the bank's tasks: what it saw at each decision, where it stood, and how the run ended."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lrpilot.errors import NonFiniteLoss
from lrpilot.pilot.controller import Pilot
from lrpilot.pilot.features import LINEAR_DECAY, Interval
from lrpilot.pilot.policy import Policy, bounded_step

from .training import Training

if TYPE_CHECKING:
    from jaxtyping import Float

STARTS = (-3.5, -2.25, -1.0, 0.25, 1.5)
"""Decades from the usual peak of the rates that a user may give."""


@dataclass(frozen=True)
class Rollout:
    """One run of the pilot.

    Attributes:
        start: log10 of the rate given.
        intervals: what was seen at each decision.
        log_rates: natural logs of the rate in force before each decision.
        raw: the raw action taken at each.
        score: how the run ended; lower is better.
    """

    start: float
    intervals: list[Interval]
    log_rates: Float[Tensor, " decision"]
    raw: Float[Tensor, " decision"]
    score: float


class NoisyPolicy:
    """A policy with Gaussian noise on its raw action, so that it comes into states of its own making.

    Args:
        policy: whose actor decides.
        noise: standard deviation.
        generator: of the noise.
    """

    def __init__(self, policy: Policy, noise: float, generator: torch.Generator) -> None:
        self._policy, self._noise, self._generator = policy, noise, generator
        self.raw: list[Tensor] = []

    def initial_memory(self) -> Tensor:
        """The policy's."""
        return self._policy.initial_memory()

    @torch.no_grad()
    def act(self, features: Float[Tensor, " feature"], memory: Tensor) -> tuple[Tensor, Tensor]:
        """As `Policy.act`."""
        mean, state = self._policy.actor(features.view(1, 1, -1), memory.view(1, 1, -1))
        raw = mean.view(()) + self._noise * torch.randn((), generator=self._generator)
        self.raw.append(raw)
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


def roll_out(training: Training, policy: Policy, start: float, *, noise: float, seed: int) -> Rollout:
    """One run of the pilot on a task from the rate 10^``start``."""
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
    return Rollout(start, pilot.intervals, torch.tensor(pilot.log_rates), torch.tensor(noisy.raw), score)
