"""Where a network is, and in which precision an actor keeps its weights."""

from __future__ import annotations

import torch

from lrpilot.core.snapshot import check_numbers, parameters_of
from lrpilot.errors import InvalidArgument


def home_of(optimizer: torch.optim.Optimizer) -> torch.device:
    """Where the parameters are that an optimizer trains.

    Raises:
        InvalidArgument: no optimizer, or one that cannot be driven.
    """
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise InvalidArgument("optimizer", "a torch.optim.Optimizer", type(optimizer).__name__)
    if isinstance(optimizer, torch.optim.LBFGS):
        raise InvalidArgument("optimizer", "one whose step needs no closure", "LBFGS")
    if isinstance(optimizer, torch.optim.Rprop):
        raise InvalidArgument("optimizer", "one that reads the learning rate at each step, not at its first", "Rprop")
    if any(group.get("maximize") for group in optimizer.param_groups):
        raise InvalidArgument("optimizer", "one that minimises: train on the negated objective", "maximize=True")
    check_numbers(optimizer)
    for parameter in parameters_of(optimizer):
        return parameter.device
    raise InvalidArgument("optimizer", "one with parameters", "one without")


def checked_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype itself.

    Raises:
        InvalidArgument: an actor cannot keep its weights in it.
    """
    if not (isinstance(dtype, torch.dtype) and dtype in (torch.float32, torch.float64)):  # type: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgument("dtype", "torch.float32 or torch.float64", dtype)
    return dtype
