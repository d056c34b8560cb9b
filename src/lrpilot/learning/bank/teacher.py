"""A driver that knows the task's best schedule: the first runs that a policy learns from are its own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from lrpilot.pilot.features import FEATURES
from lrpilot.pilot.policy import LARGEST_STEP
from lrpilot.pilot.rates import BELOW
from lrpilot.pilot.timetable import decision_steps

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from .schedules import Schedule

LAST_STEP, PROGRESS = FEATURES.index("last_step"), FEATURES.index("progress")
WANDERING = 0.8
"""Standard deviation of the log of the rate, relative to the schedule's, that a run wanders about."""
STEADINESS = 0.85
"""How much of its distance from the schedule is left after a decision."""


class Teacher:
    """Leads a run from the rate that it begins at to the task's schedule, then wanders above and below it.

    A policy that learns from such runs has seen rates that are too high and too low at every stage.

    Args:
        schedule: the best one known.
        steps: of the run.
        start: log10 of the rate given.
        generator: of the pace of the approach and of the wandering.
    """

    def __init__(self, schedule: Schedule, steps: int, start: float, generator: torch.Generator) -> None:
        self._schedule, self._generator = schedule, generator
        self._log_rate = start * math.log(10) - math.log(BELOW)
        marks = [0.0, *(end / steps for end in decision_steps(steps)), 1.0]
        self._middles = {marks[d]: (marks[d] + marks[d + 1]) / 2 for d in range(1, len(marks) - 1)}
        self._pace = float(0.15 + 0.85 * torch.rand((), generator=generator))
        self._distance = self._noise()

    def initial_memory(self) -> Tensor:
        """None is needed."""
        return torch.zeros(0)

    def act(
        self, features: Float[Tensor, " feature"], memory: Float[Tensor, " width"]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, " width"]]:
        """As `lrpilot.pilot.policy.Policy.act`."""
        self._distance = STEADINESS * self._distance + math.sqrt(1 - STEADINESS**2) * self._noise()
        now = (float(features[PROGRESS]) + 1) / 2
        middle = min(self._middles.items(), key=lambda pair: abs(pair[0] - now))[1]
        wanted = math.log(max(self._schedule.rate(middle), 1e-12)) + self._distance
        self._log_rate += float(features[LAST_STEP])
        step = self._pace * (wanted - self._log_rate)
        return torch.tensor(min(max(step, -LARGEST_STEP), LARGEST_STEP)), memory

    def _noise(self) -> float:
        return WANDERING * float(torch.randn((), generator=self._generator))
