"""A fixed evaluation population with a seed of its own: the policy against constants and linear decays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from lrpilot.pilot.timetable import decision_steps

from .draw import Group, Tasks, draw_group, draw_tasks
from .rollouts import Explorer, roll_out
from .schedules import PEAKS, Script, peak_grid
from .trainings import Trainings

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Float
    from torch import Tensor

    from lrpilot.pilot.policy import Policy

    from .rollouts import Driver, Rollout
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


class EvaluationPopulation:
    """The tasks that a policy is judged on, and what fixed schedules reach on them, tried once.

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
        self._drawn: list[tuple[Group, Tasks]] = []
        for _ in range(groups):
            group = draw_group(generator, shortest=shortest, longest=longest)
            drawn = draw_tasks(group, tasks, generator, training_rows=pool.training, anytime=anytime)
            self._drawn.append((group, drawn))
        rollouts = [self._fixed(index) for index in range(groups)]
        scores = torch.cat([rollout.scores.view(tasks, 2, PEAKS) for rollout in rollouts])
        self.constants = [
            (
                torch.tensor(decision_steps(group.steps)) / group.steps,
                rollout.log_losses.view(len(rollout.log_losses), tasks, 2, PEAKS)[:, :, 1],
            )
            for (group, _), rollout in zip(self._drawn, rollouts, strict=True)
        ]
        self.best = scores.amin((1, 2))
        self.reference = Reference(
            best_constant=scores[:, 1].amin(1).mean().item(),
            best_decay=scores[:, 0].amin(1).mean().item(),
            single_constant=scores[:, 1].mean(0).min().item(),
            single_decay=scores[:, 0].mean(0).min().item(),
        )

    @classmethod
    def usual(cls, pool: Pool) -> EvaluationPopulation:
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
            "by_start": {str(start): mean.item() for start, mean in zip(STARTS, scores.mean(0), strict=True)},
        }

    def policy(self, make_driver: Callable[[int], Driver], *, deviates: bool = True) -> Float[Tensor, "task start"]:
        """Final scores of a policy from each of `STARTS`; ``make_driver(runs)`` gives it with fresh memory.

        ``deviates`` as for `rollouts.roll_out`.
        """
        scores: list[Tensor] = []
        for index, (_, tasks) in enumerate(self._drawn):
            starts = tasks.usual.unsqueeze(1) + math.log(10) * torch.tensor(STARTS)
            trainings = self._trainings(index, len(STARTS))
            script, driver = Script.none(trainings.runs), make_driver(trainings.runs)
            rollout = roll_out(trainings, driver, starts.flatten(), script, deviates=deviates)
            scores.append(rollout.scores.view(self._count, -1))
        return torch.cat(scores)

    def _fixed(self, index: int) -> Rollout:
        """The fixed schedules' runs, [task, (decay, constant), peak] flattened; peaks relative to the usual one."""
        _, tasks = self._drawn[index]
        grid = peak_grid(tasks.usual)
        constant = torch.tensor([False] * PEAKS + [True] * PEAKS).repeat(self._count)
        trainings = self._trainings(index, 2 * PEAKS)
        script = Script(torch.cat([grid, grid], 1).flatten(), constant)
        return roll_out(trainings, lambda seen: torch.zeros(len(seen)), script.log_peak, script)

    def _trainings(self, index: int, replicas: int) -> Trainings:
        group, tasks = self._drawn[index]
        generator = torch.Generator().manual_seed(SEED + 1 + index)
        return Trainings(group, tasks, self._pool, replicas=replicas, generator=generator)
