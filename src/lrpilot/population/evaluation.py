"""A fixed evaluation population with a seed of its own: the policy against constants and linear decays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from lrpilot.distill import PEAKS, SPACING
from lrpilot.population.draw import Group, Tasks, draw_group, draw_tasks
from lrpilot.population.flights import Script, fly
from lrpilot.population.trainings import Trainings

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Float
    from torch import Tensor

    from lrpilot.population.flights import Pilot
    from lrpilot.population.trainings import Pool

STARTS = (-3.0, -1.5, 0.0, 1.0)
"""Decades from the usual peak at which the policy is evaluated."""
SEED = 987_654_321


@dataclass(frozen=True)
class Reference:
    """What fixed schedules reach on the evaluation population, mean final scores (lower is better)."""

    best_constant: float
    best_decay: float
    single_constant: float
    single_decay: float


class Evaluation:
    """The evaluation population, its fixed schedules flown once."""

    def __init__(
        self, pool: Pool, *, groups: int, tasks: int, shortest: int, longest: int, anytime: float = 0.0
    ) -> None:
        self._pool, self._count = pool, tasks
        generator = torch.Generator().manual_seed(SEED)
        rows = pool.training.tolist()
        self._drawn: list[tuple[Group, Tasks]] = []
        for _ in range(groups):
            group = draw_group(generator, shortest=shortest, longest=longest)
            drawn = draw_tasks(group, tasks, generator, training_rows=rows, anytime=anytime)
            self._drawn.append((group, drawn))
        scores = torch.cat([self._fixed(index) for index in range(groups)])
        self.best = scores.amin((1, 2))
        self.reference = Reference(
            best_constant=scores[:, 1].amin(1).mean().item(),
            best_decay=scores[:, 0].amin(1).mean().item(),
            single_constant=scores[:, 1].mean(0).min().item(),
            single_decay=scores[:, 0].mean(0).min().item(),
        )

    def policy(self, make_pilot: Callable[[int], Pilot]) -> Float[Tensor, "task start"]:
        """Final scores of a policy from each of `STARTS`; ``make_pilot(runs)`` gives it with fresh memory."""
        scores = []
        for index, (_, tasks) in enumerate(self._drawn):
            starts = tasks.usual.unsqueeze(1) + math.log(10) * torch.tensor(STARTS)
            trainings = self._trainings(index, len(STARTS))
            nobody = torch.full((trainings.runs,), torch.nan)
            flight = fly(trainings, make_pilot(trainings.runs), starts.flatten(), Script(nobody, torch.isnan(nobody)))
            scores.append(flight.scores.view(self._count, -1))
        return torch.cat(scores)

    def _fixed(self, index: int) -> Tensor:
        """[task, (decay, constant), peak]: scores of the fixed schedules; peaks relative to the usual one."""
        _, tasks = self._drawn[index]
        grid = tasks.usual.unsqueeze(1) + SPACING * (torch.arange(PEAKS) - (PEAKS - 1) / 2)
        constant = torch.tensor([False] * PEAKS + [True] * PEAKS).repeat(self._count)
        trainings = self._trainings(index, 2 * PEAKS)
        script = Script(torch.cat([grid, grid], 1).flatten(), constant)
        flight = fly(trainings, lambda seen: torch.zeros(len(seen)), script.log_peak, script)
        return flight.scores.view(self._count, 2, PEAKS)

    def _trainings(self, index: int, replicas: int) -> Trainings:
        group, tasks = self._drawn[index]
        generator = torch.Generator().manual_seed(SEED + 1 + index)
        return Trainings(group, tasks, self._pool, replicas=replicas, generator=generator)
