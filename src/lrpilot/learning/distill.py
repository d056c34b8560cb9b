"""Learning a first policy from schedules that were tried out: the regret of each peak, as a function.

Each task is trained under linear decays from a grid of peaks, warmed up (constants, where the length is hidden). The
final scores give the regret of every peak; an actor that proposes a peak is trained by descending along that
curve, from the states it comes into itself (DAgger). A rate that is too high costs more than one that is too
low, and the curve knows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from lrpilot.learning.population.schedules import PEAKS, SPACING
from lrpilot.pilot.policy import LARGEST_STEP

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor, nn

    from lrpilot.learning.population.rollouts import Rollout


@dataclass(frozen=True)
class Regrets:
    """For each run, what each peak of its task costs.

    Attributes:
        lowest: [run], the lowest log peak of the grid.
        costs: [run, peak], smoothed final scores above the best one, squeezed into [0, 1): r / (r + 1/4).
        best: [run], log peak: the mean over peaks, weighted by how good they are.
    """

    lowest: Float[Tensor, " run"]
    costs: Float[Tensor, "run peak"]
    best: Float[Tensor, " run"]

    @classmethod
    def from_scores(
        cls, grid: Float[Tensor, "task peak"], scores: Float[Tensor, "task peak"], replicas: int
    ) -> Regrets:
        """From the scores that the grid's peaks led to; repeated for each replica of a task."""
        # Smoothed a little against noise; much would hide how near to the cliff the best peak lies.
        padded = F.pad(scores.unsqueeze(1), (1, 1), mode="replicate").squeeze(1)
        smooth = 0.1 * padded[:, :-2] + 0.8 * padded[:, 1:-1] + 0.1 * padded[:, 2:]
        regret = smooth - smooth.amin(1, keepdim=True)
        best = ((-regret / 0.05).softmax(1) * grid).sum(1)
        parts = (grid[:, 0], regret / (regret + 0.25), best)
        return cls(*(part.repeat_interleave(replicas, 0) for part in parts))

    def of(self, runs: Int[Tensor, " some"]) -> Regrets:
        """Those of some runs."""
        return Regrets(self.lowest[runs], self.costs[runs], self.best[runs])

    def cost(self, peak: Float[Tensor, "decision run"]) -> Float[Tensor, "decision run"]:
        """Linear between the grid's points, rising outside; gradients flow to ``peak``."""
        position = (peak - self.lowest) / SPACING
        inside = position.clamp(0, PEAKS - 1 - 1e-3)
        left = inside.detach().floor().long()
        part = inside - left
        runs = torch.arange(len(self.lowest)).expand_as(left)
        between = (1 - part) * self.costs[runs, left] + part * self.costs[runs, left + 1]
        outside = 0.1 * F.relu(-position) + 0.3 * F.relu(position - PEAKS + 1)
        # A gentle pull towards the best peak leads across the flat parts.
        pull = F.smooth_l1_loss(peak, self.best.expand_as(peak), reduction="none")
        return between + outside + 0.03 * pull


def distillation_loss(
    raw: Float[Tensor, "decision run"], log_peaks: Float[Tensor, "decision run"], regrets: Regrets
) -> Float[Tensor, "decision run"]:
    """The cost of the peaks that the raw actions lead to, from the peaks in force (``log_peaks``)."""
    return regrets.cost(log_peaks + LARGEST_STEP * raw.tanh())


@dataclass(frozen=True)
class Lesson:
    """What a group teaches by its schedules.

    Attributes:
        rollout: of the schedules and of the policy.
        regrets: of the schedules' peaks, for each run.
        log_warm_up: log of the share of its peak that a schedule has warmed up to after each decision, 0 for constants.
    """

    rollout: Rollout
    regrets: Regrets
    log_warm_up: Float[Tensor, "decision run"]


def lesson_loss(lesson: Lesson, actor: nn.Module, runs: int, generator: torch.Generator) -> Float[Tensor, ""]:
    """The mean loss of an actor on so many of a lesson's runs, drawn at random."""
    observations = lesson.rollout.observations
    chosen = torch.randperm(observations.shape[1], generator=generator)[:runs]
    raw, _ = actor(observations[:, chosen])
    log_peaks = lesson.rollout.log_peaks - lesson.log_warm_up
    return distillation_loss(raw, log_peaks[:, chosen], lesson.regrets.of(chosen)).mean()
