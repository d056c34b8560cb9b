"""The schedules tried on the population's tasks: warmed-up linear decays and constants, from a grid of peaks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from lrpilot.pilot.timetable import decision_steps

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor

PEAKS = 12
SPACING = 0.33 * math.log(10)
"""Twelve peaks, 0.33 decades apart, around the usual one of the optimizer: 3.6 decades in all."""

WARM_UP = 0.04
"""The fraction of the run over which a decay rises to its peak, from a tenth of it."""


@dataclass(frozen=True)
class Script:
    """Schedules for some of the runs.

    Attributes:
        log_peak: log of the peak rate; NaN: the run is driven by the policy.
        constant: whether the rate stays at the peak, instead of warming up and decaying.
    """

    log_peak: Float[Tensor, " run"]
    constant: Bool[Tensor, " run"]

    @classmethod
    def none(cls, runs: int) -> Script:
        """Every run is driven by the policy."""
        return cls(torch.full((runs,), torch.nan), torch.zeros(runs, dtype=torch.bool))


def peak_grid(
    usual: Float[Tensor, " task"], shift: Float[Tensor, "task 1"] | float = 0.0
) -> Float[Tensor, "task peak"]:
    """Log peaks to try: `PEAKS` of them, `SPACING` apart, about the usual one; moved up by ``shift`` spacings."""
    return usual.unsqueeze(1) + SPACING * (torch.arange(PEAKS) - (PEAKS - 1) / 2 + shift)


def remaining(begin: float, end: float) -> float:
    """The mean of a linear decay from 1 to 0 over the part [begin, end] of the run."""
    return max(1 - (begin + end) / 2, 1e-3)


def log_warm_up(steps: int) -> Float[Tensor, " interval"]:
    """Log of the share of its peak that a decay has warmed up to in each interval of a run, from log 0.1 to 0."""
    ends = torch.tensor([0, *decision_steps(steps)]) / steps
    return ((ends[:-1] + ends[1:]) / 2 / WARM_UP).clamp(0.1, 1.0).log()
