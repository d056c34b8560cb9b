"""Where actor and critic are put: beside the parameters, in a precision of their own."""

from __future__ import annotations

import torch
from torch import Tensor

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


def empty(*, dtype: torch.dtype, device: torch.device | str) -> Tensor:
    """A tensor of no elements, as :class:`ActorCritic` takes it.

    Raises:
        InvalidArgument: networks cannot be of that dtype, or not on that device.
    """
    if not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise InvalidArgument("dtype", "a torch.dtype of floating-point numbers", dtype)
    try:
        made = torch.tensor([], dtype=dtype, device=torch.device(device))
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:  # as torch's builds and devices have it
        raise InvalidArgument("device", "a torch.device of this machine, or its name", device) from error
    if made.is_meta:
        raise InvalidArgument("device", "one that holds numbers", "meta")
    return made
