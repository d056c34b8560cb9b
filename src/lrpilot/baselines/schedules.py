"""The hand-made schedules that a learned rate stands beside, as PyTorch's own schedulers."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR

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
