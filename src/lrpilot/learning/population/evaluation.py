"""A fixed evaluation population with a seed of its own: the policy against constants and linear decays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from lrpilot.learning.distill import PEAKS, SPACING
from lrpilot.pilot.features import decision_steps

from .draw import Group, Tasks, draw_group, draw_tasks
from .flights import Explorer, Script, fly
from .trainings import Trainings

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Float
    from torch import Tensor

    from lrpilot.pilot.policy import Policy

    from .flights import Flight, Pilot
    from .trainings import Pool

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
    """The evaluation population, its fixed schedules flown once.

    Attributes:
        reference: what these reach.
        best: [task], the best score among them.
        constants: by group, where in the run each interval ends, [interval] in (0, 1], and the mean log losses of the
            constant rates' runs, [interval, task, peak].
    """

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
        flights = [self._fixed(index) for index in range(groups)]
        scores = torch.cat([flight.scores.view(tasks, 2, PEAKS) for flight in flights])
        self.constants = [
            (
                torch.tensor(decision_steps(group.steps)) / group.steps,
                flight.log_losses.view(len(flight.log_losses), tasks, 2, PEAKS)[:, :, 1],
            )
            for (group, _), flight in zip(self._drawn, flights, strict=True)
        ]
        self.best = scores.amin((1, 2))
        self.reference = Reference(
            best_constant=scores[:, 1].amin(1).mean().item(),
            best_decay=scores[:, 0].amin(1).mean().item(),
            single_constant=scores[:, 1].mean(0).min().item(),
            single_decay=scores[:, 0].mean(0).min().item(),
        )

    @classmethod
    def usual(cls, pool: Pool) -> Evaluation:
        """The one that every pretraining is judged by."""
        return cls(pool, groups=20, tasks=6, shortest=150, longest=1000)

    def judge(self, policy: Policy, *, deviates: bool = True, hidden: int | None = None) -> dict[str, Any]:
        """Mean score and regret of a policy over all starts, and the score from each; see :meth:`policy`."""
        scores = self.policy(lambda runs: Explorer(policy, 0.0, None, hidden=hidden), deviates=deviates)
        regret = scores - self.best.unsqueeze(1)
        return {
            "score": scores.mean().item(),
            "regret": regret.mean().item(),
            "median_regret": regret.median().item(),
            "by_start": dict(zip(map(str, STARTS), scores.mean(0).tolist(), strict=True)),
        }

    def policy(self, make_pilot: Callable[[int], Pilot], *, deviates: bool = True) -> Float[Tensor, "task start"]:
        """Final scores of a policy from each of `STARTS`; ``make_pilot(runs)`` gives it with fresh memory.

        ``deviates`` as for `flights.fly`.
        """
        scores = []
        for index, (_, tasks) in enumerate(self._drawn):
            starts = tasks.usual.unsqueeze(1) + math.log(10) * torch.tensor(STARTS)
            trainings = self._trainings(index, len(STARTS))
            nobody = torch.full((trainings.runs,), torch.nan)
            script = Script(nobody, torch.isnan(nobody))
            flight = fly(trainings, make_pilot(trainings.runs), starts.flatten(), script, deviates=deviates)
            scores.append(flight.scores.view(self._count, -1))
        return torch.cat(scores)

    def _fixed(self, index: int) -> Flight:
        """The fixed schedules' runs, [task, (decay, constant), peak] flattened; peaks relative to the usual one."""
        _, tasks = self._drawn[index]
        grid = tasks.usual.unsqueeze(1) + SPACING * (torch.arange(PEAKS) - (PEAKS - 1) / 2)
        constant = torch.tensor([False] * PEAKS + [True] * PEAKS).repeat(self._count)
        trainings = self._trainings(index, 2 * PEAKS)
        script = Script(torch.cat([grid, grid], 1).flatten(), constant)
        return fly(trainings, lambda seen: torch.zeros(len(seen)), script.log_peak, script)

    def _trainings(self, index: int, replicas: int) -> Trainings:
        group, tasks = self._drawn[index]
        generator = torch.Generator().manual_seed(SEED + 1 + index)
        return Trainings(group, tasks, self._pool, replicas=replicas, generator=generator)
