"""Mistakes in the loop around a controller, each told once."""

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
        self._written: list[float] | None = None
        self._unreached = 0

    def look_at_rates(self) -> None:
        """Tell of rates that are not as the controller wrote them; called at the beginning of a step."""
        rates = self._rates()
        if self._written is not None and len(rates) == len(self._written) and rates != self._written:
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

    def remember_rates(self) -> None:
        """These are as the controller has written them."""
        self._written = self._rates()

    def forget(self) -> None:
        """The next step's rates may be any: a state has been loaded."""
        self._written = None

    def _rates(self) -> list[float]:
        """Of the groups, but for tensors: reading them could mean waiting for a device."""
        return [group["lr"] for group in self._optimizer.param_groups if not isinstance(group["lr"], Tensor)]
