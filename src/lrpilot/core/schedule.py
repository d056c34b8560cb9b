"""Recorded learning rates as a plain scheduler, for a run of the same length or another, from memory or from disk."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.optim.lr_scheduler import LambdaLR

from lrpilot.errors import InvalidArgument, Unusable

from .arguments import whole
from .files import expanded, parse_json, read_file, replace_file
from .knobs import Knobs, LearningRate

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
        InvalidArgument: there are none, or an argument is outside its range.
    """
    if not rates:
        raise InvalidArgument("history", "at least one step long", "none")
    if total_steps is not None:
        total_steps = whole("total_steps", total_steps)
        rates = [rates[int((step + 0.5) * len(rates) / total_steps)] for step in range(total_steps)]
    knob = LearningRate()
    unit = Knobs(optimizer, (knob,)).given[knob.name]  # which is what LambdaLR multiplies, whatever stands there now
    factors = [knob.factor(group) for group in optimizer.param_groups]
    return LambdaLR(optimizer, [RecordedSchedule(rates, unit, factor=factor) for factor in factors])


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
    """Write rates as JSON, for :func:`load_schedule`.

    Raises:
        InvalidArgument: there are none.
    """
    if not rates:
        raise InvalidArgument("history", "at least one step long", "none")
    replace_file(expanded(path), json.dumps({"kind": KIND, "rates": list(rates)}).encode() + b"\n")


def load_schedule(path: str | Path, optimizer: torch.optim.Optimizer, *, total_steps: int | None = None) -> LambdaLR:
    """The schedule that a controller's ``history.save_schedule`` wrote, as :func:`recorded_schedule` for an optimizer.

    Raises:
        InvalidArgument: the file is of another kind, or as of :func:`recorded_schedule`.
    """
    try:
        file = expanded(path)
        content = parse_json(read_file(file), file)
        listed = content["kind"] == KIND and isinstance(content["rates"], list)
        rates = [float(rate) for rate in content["rates"]] if listed else []
    except (OSError, Unusable, ValueError, TypeError, KeyError) as error:
        raise InvalidArgument("path", f"the file of a {KIND} ({type(error).__name__})", str(path)) from error
    if not rates or not all(0 <= rate < math.inf for rate in rates):
        raise InvalidArgument("path", f"the file of a {KIND}, whose rates are finite numbers of at least 0", str(path))
    return recorded_schedule(optimizer, rates, total_steps=total_steps)
