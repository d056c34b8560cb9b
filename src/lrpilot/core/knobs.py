"""Writing one learning rate into an optimizer's parameter groups, whatever form it has there."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lrpilot.errors import InvalidArgument


class LearningRates:
    """The learning rates of an optimizer's groups, moved together: their ratios are kept.

    The first group's rate is *the* learning rate; every other group keeps the ratio it had to the first when this
    object was made (a group that joins later: when it is first written). A rate held as a tensor is filled in
    place, so that a compiled or captured step sees the new value.

    Raises:
        InvalidArgument: the optimizer has no group with a positive, finite learning rate in front.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise InvalidArgument("optimizer", "a torch.optim.Optimizer", type(optimizer).__name__)
        self.optimizer = optimizer
        self.start = float(optimizer.param_groups[0]["lr"])
        """The learning rate that the user gave, in the optimizer's own unit."""
        if not (math.isfinite(self.start) and self.start > 0):
            raise InvalidArgument("the optimizer's learning rate", "a finite number above 0", self.start)
        self._current = self.start
        self._ratios: list[float] = []
        self._admit_new_groups()

    def write(self, rate: Tensor | float) -> None:
        """Set the first group's rate to ``rate`` (a float or a tensor of one element) and scale the others with it."""
        self._admit_new_groups()
        number: float | None = None
        for group, ratio in zip(self.optimizer.param_groups, self._ratios, strict=True):
            held = group["lr"]
            if isinstance(held, Tensor):
                held.copy_(torch.as_tensor(rate).detach().reshape(held.shape) * ratio)
            else:
                number = float(rate) if number is None else number
                group["lr"] = number * ratio
        self._current = rate if number is None else number

    def last(self) -> list[float]:
        """The rate of each group as floats."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def _admit_new_groups(self) -> None:
        for group in self.optimizer.param_groups[len(self._ratios) :]:
            self._ratios.append(float(group["lr"]) / float(self._current))

    def state_dict(self) -> dict[str, object]:
        """The start rate and the ratios."""
        return {"start": self.start, "current": float(self._current), "ratios": list(self._ratios)}

    def load_state_dict(self, state: dict) -> None:
        """Take up what :meth:`state_dict` gave."""
        self.start, self._current, self._ratios = state["start"], state["current"], list(state["ratios"])
