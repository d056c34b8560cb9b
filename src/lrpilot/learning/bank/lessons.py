"""From the pilot's runs and the schedules' scores to lessons: at every decision, what each peak would have cost.

entry (scores of schedules)  -> the regret of each peak under the task's best shape
rollout (what the pilot saw) -> observations, and the peak that the rate in force stood for
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from lrpilot.pilot.features import FEATURES, observe
from lrpilot.pilot.memory import Memory
from lrpilot.pilot.policy import LARGEST_STEP
from lrpilot.pilot.timetable import decision_steps

from .store import Entry

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    from .rollouts import BankRollout

SPACING = 0.25 * math.log(10)
BELOW, ABOVE = 16, 12
"""Points of the grid of peaks below and above the best one, a quarter of a decade apart."""
DECISIONS = 49


@dataclass(frozen=True)
class BankLessons:
    """Runs and what each peak would have cost them.

    Attributes:
        observations: zero after a run's last decision.
        log_peaks: log of the peak that the rate in force stood for: log rate minus the log of the linear decay.
        shapes: log of the best schedule's shape in the following interval, relative to the linear decay's.
        present: which decisions a run had.
        lowest: log of the lowest peak of the run's grid.
        costs: regret r of each peak of the grid, squeezed into [0, 1): r / (r + 1/4).
        tasks: index of each run's task.
        regrets: of the runs themselves.
    """

    observations: Float[Tensor, "decision run feature"]
    log_peaks: Float[Tensor, "decision run"]
    shapes: Float[Tensor, "decision run"]
    present: Bool[Tensor, "decision run"]
    lowest: Float[Tensor, " run"]
    costs: Float[Tensor, "run peak"]
    tasks: Int[Tensor, " run"]
    regrets: Float[Tensor, " run"]

    def of(self, runs: Tensor) -> BankLessons:
        """Those of some runs."""
        return BankLessons(
            observations=self.observations[:, runs],
            log_peaks=self.log_peaks[:, runs],
            shapes=self.shapes[:, runs],
            present=self.present[:, runs],
            lowest=self.lowest[runs],
            costs=self.costs[runs],
            tasks=self.tasks[runs],
            regrets=self.regrets[runs],
        )

    def loss(self, raw: Float[Tensor, "decision run"]) -> Float[Tensor, ""]:
        """The mean cost of the peaks that the raw actions lead to; gradients flow to ``raw``."""
        peaks = self.log_peaks + LARGEST_STEP * raw.tanh() - self.shapes
        position = (peaks - self.lowest) / SPACING
        points = BELOW + ABOVE + 1
        inside = position.clamp(0, points - 1 - 1e-3)
        left = inside.detach().floor().long()
        part = inside - left
        runs = torch.arange(len(self.lowest)).expand_as(left)
        between = (1 - part) * self.costs[runs, left] + part * self.costs[runs, left + 1]
        outside = 0.1 * F.relu(-position) + 0.3 * F.relu(position - points + 1)
        # A gentle pull towards the best peak leads across the flat parts.
        best = self.lowest + SPACING * BELOW
        pull = F.smooth_l1_loss(peaks, best.expand_as(peaks), reduction="none")
        cost = between + outside + 0.03 * pull
        return ((cost * self.present).sum(0) / self.present.sum(0).clamp(min=1)).mean()


def peak_costs(entry: Entry) -> tuple[float, Float[Tensor, " peak"]]:
    """Natural log of the lowest peak of the grid around the best one, and the squeezed regret of each."""
    tried = sorted((schedule.peak, score) for score, schedule in entry.linear)
    best_score, best_peak = min((score, peak) for peak, score in tried)
    shift = entry.best_schedule.peak - best_peak
    peaks = torch.tensor([peak for peak, _ in tried]) * math.log(10)
    regrets = torch.tensor([score - best_score for _, score in tried])
    lowest = best_peak * math.log(10) - SPACING * BELOW
    grid = lowest + SPACING * torch.arange(BELOW + ABOVE + 1)
    right = torch.searchsorted(peaks, grid).clamp(1, len(peaks) - 1)
    part = ((grid - peaks[right - 1]) / (peaks[right] - peaks[right - 1])).clamp(0, 1)
    regret = (1 - part) * regrets[right - 1] + part * regrets[right]
    regret = regret + 0.1 * F.relu(peaks[0] - grid) + 0.3 * F.relu(grid - peaks[-1])
    return lowest + shift * math.log(10), regret / (regret + 0.25)


def lessons(pairs: Sequence[tuple[Entry, BankRollout]]) -> BankLessons:
    """Lessons from runs of the pilot, whatever policy drove them."""
    count = len(pairs)
    observations = torch.zeros(DECISIONS, count, len(FEATURES))
    log_peaks, shapes = torch.zeros(DECISIONS, count), torch.zeros(DECISIONS, count)
    present = torch.zeros(DECISIONS, count, dtype=torch.bool)
    lowest, costs, tasks, regrets = [], [], [], []
    for run, (entry, rollout) in enumerate(pairs):
        ends = decision_steps(entry.task.steps)
        marks = [0.0, *(end / ends[-1] for end in ends)]
        shape, memory = entry.best_schedule, Memory.fresh()
        for index, interval in enumerate(rollout.intervals):
            seen, memory = observe(interval, memory)
            observations[index, run] = seen
            log_peaks[index, run] = rollout.log_rates[index] - _log_linear(marks[index], marks[index + 1])
            middle = (marks[index + 1] + marks[index + 2]) / 2
            ideal = math.log(max(shape.shape(middle), 1e-3))
            shapes[index, run] = ideal - _log_linear(marks[index + 1], marks[index + 2])
            present[index, run] = True
        bottom, cost = peak_costs(entry)
        lowest.append(bottom)
        costs.append(cost)
        tasks.append(entry.task.index)
        regrets.append(rollout.score - entry.best)
    numbers = (torch.tensor(lowest), torch.stack(costs), torch.tensor(tasks), torch.tensor(regrets))
    return BankLessons(observations, log_peaks, shapes, present, *numbers)


def _log_linear(begin: float, end: float) -> float:
    return math.log(max(1 - (begin + end) / 2, 1e-3))
