"""What is amiss in the loop around a controller: told once, where a pilot tells it too."""

from __future__ import annotations

import torch
from torch import Tensor

from lrpilot.core.notices import Notices
from lrpilot.core.snapshot import parameters_of

UNREACHED = 5
"""Losses in a row that reach no parameter, after which the user is told: a single batch may reach none."""


class Watch:
    """Looks at an optimizer's rates and gradients in each step of a controller.

    Args:
        optimizer: that the controller drives.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer
        self._notices = Notices()
        self._left: list[float] | None = None
        self._unreached = 0

    def begin(self) -> None:
        """Tell of rates that are not as the last step left them."""
        rates = self._rates()
        if self._left is not None and len(rates) == len(self._left) and rates != self._left:
            self._notices.tell(
                "writers",
                "something else writes the learning rate too, such as a scheduler or a second controller; each step is "
                "made at this controller's rate: leave the other out",
            )

    def look_at_gradients(self) -> None:
        """Tell of losses that reach no parameter; called after the backward pass."""
        reached = any(parameter.grad is not None for parameter in parameters_of(self._optimizer))
        self._unreached = 0 if reached else self._unreached + 1
        if self._unreached == UNREACHED:
            self._notices.tell(
                "gradients",
                f"the losses of {UNREACHED} batches in a row have reached no parameter that the "
                f"{type(self._optimizer).__name__} trains, so that nothing is learned: they may be those of another "
                "network, or frozen",
            )

    def end(self) -> None:
        """Remember the rates that a step is made with."""
        self._left = self._rates()

    def forget(self) -> None:
        """The next step's rates may be any: a state has been loaded."""
        self._left = None

    def _rates(self) -> list[float]:
        """Of the groups, as far as it takes no waiting for a device to read them."""
        return [group["lr"] for group in self._optimizer.param_groups if not isinstance(group["lr"], Tensor)]
