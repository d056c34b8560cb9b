"""Recorded learning rates as a plain scheduler, for a run of the same length or another, from memory or from disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR

from lrpilot.errors import InvalidArgument

from .knobs import LearningRate

KIND = "lrpilot schedule"


def recorded_schedule(
    optimizer: torch.optim.Optimizer, rates: Sequence[float], *, total_steps: int | None = None
) -> LambdaLR:
    """A scheduler that sets the first group's rate to each of ``rates`` in turn, then to the last one.

    Args:
        optimizer: a fresh optimizer to drive. Its first group's rate becomes the unit and is replaced by the first
            recorded one at once; ratios between groups are kept.
        rates: by step.
        total_steps: stretches or shrinks them to so many steps; None leaves them as they are.

    Raises:
        InvalidArgument: there are none, or ``total_steps`` is less than 1.
    """
    if not rates:
        raise InvalidArgument("history", "at least one step long", "none")
    if total_steps is not None:
        if total_steps < 1:
            raise InvalidArgument("total_steps", "at least 1, or None", total_steps)
        rates = [rates[int((step + 0.5) * len(rates) / total_steps)] for step in range(total_steps)]
    knob, groups = LearningRate(), optimizer.param_groups
    unit = knob.given(groups[0])  # which is what LambdaLR multiplies, whatever rate stands there now
    return LambdaLR(optimizer, [RecordedSchedule(rates, unit, factor=knob.factor(group)) for group in groups])


class RecordedSchedule:
    """The factor of a ``LambdaLR`` that repeats recorded rates. An object, so that it is saved with the scheduler.

    Args:
        rates: by step.
        unit: the rate that a factor of 1 stands for.
        factor: of the group, in all its rates.
    """

    def __init__(self, rates: Sequence[float], unit: float, *, factor: float) -> None:
        self.rates = list(rates)
        self.unit = unit
        self.factor = factor

    def __call__(self, step: int) -> float:
        """The factor at ``step`` (counted from 0)."""
        return self.rates[min(step, len(self.rates) - 1)] / self.unit * self.factor


def save_schedule(path: str | Path, rates: Sequence[float]) -> None:
    """Write rates as JSON, for :func:`load_schedule`."""
    Path(path).expanduser().write_text(json.dumps({"kind": KIND, "rates": list(rates)}) + "\n")


def load_schedule(path: str | Path, optimizer: torch.optim.Optimizer, *, total_steps: int | None = None) -> LambdaLR:
    """The schedule that a controller's ``history.save_schedule`` wrote, as :func:`recorded_schedule` for an optimizer.

    Raises:
        InvalidArgument: the file is of another kind, or as of :func:`recorded_schedule`.
    """
    try:
        content: Any = json.loads(Path(path).expanduser().read_text())
        rates = [float(rate) for rate in content["rates"]] if content["kind"] == KIND else None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InvalidArgument("path", f"the file of a {KIND} ({type(error).__name__})", str(path)) from error
    if rates is None:
        raise InvalidArgument("path", f"the file of a {KIND}", str(path))
    return recorded_schedule(optimizer, rates, total_steps=total_steps)
