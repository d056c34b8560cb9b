"""The hand-made schedules that a learned rate stands beside, as PyTorch's own schedulers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, OneCycleLR

from lrpilot.errors import InvalidArgument


def inverse_time(optimizer: Optimizer, gamma: float) -> LambdaLR:
    """eta_t = eta_0 / (1 + gamma t), t in steps: the schedule of Schaul et al., 2013, for plain SGD.

    Args:
        optimizer: eta_0 is each group's rate as it stands.
        gamma: decay per step, >= 0; 0 keeps the rate.

    Raises:
        InvalidArgument: gamma out of its range.
    """
    if not gamma >= 0.0:
        raise InvalidArgument("gamma", "a number >= 0", gamma)
    return LambdaLR(optimizer, lambda step: 1.0 / (1.0 + gamma * step))


def cosine(optimizer: Optimizer, total_steps: int) -> CosineAnnealingLR:
    """Half a cosine from each group's rate down to 0 at ``total_steps``.

    Raises:
        InvalidArgument: fewer than one step.
    """
    if total_steps < 1:
        raise InvalidArgument("total_steps", "an integer >= 1", total_steps)
    return CosineAnnealingLR(optimizer, total_steps)


Decay = Literal["linear", "cosine"]
DECAYS: dict[Decay, Callable[[float], float]] = {
    "linear": lambda done: 1.0 - done,
    "cosine": lambda done: 0.5 * (1.0 + math.cos(math.pi * done)),
}
"""The share of the peak rate that is left when this share of the decay is done."""


def warmed_up(optimizer: Optimizer, total_steps: int, decay: Decay, *, share: float = 0.05) -> LambdaLR:
    """A linear rise to each group's rate, then a decay to 0 at ``total_steps``.

    Args:
        optimizer: the peak is each group's rate as it stands.
        total_steps: of the run, at least 1.
        decay: "linear" or "cosine".
        share: of the run that the rise takes, one step at least.
    """
    rise = max(1, round(share * total_steps))

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        return DECAYS[decay](min((step - rise) / max(total_steps - rise, 1), 1.0))

    return LambdaLR(optimizer, factor)


def one_cycle(optimizer: Optimizer, total_steps: int) -> OneCycleLR:
    """PyTorch's one-cycle at its defaults (Smith, 2018), up to each group's rate; momentum runs against the rate."""
    groups = optimizer.param_groups
    momentum = all(group.get("momentum") or "betas" in group for group in groups)
    return OneCycleLR(optimizer, [float(group["lr"]) for group in groups], total_steps, cycle_momentum=momentum)
