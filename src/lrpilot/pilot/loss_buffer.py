"""Keeping the losses between two decisions, at a cost that cannot be felt."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lrpilot.errors import InvalidArgument

if TYPE_CHECKING:
    from jaxtyping import Float


class LossBuffer:
    """The losses of the current interval, on their device. Appending never waits for a device.

    Losses that are on the CPU, which is where small networks train, go through plain numbers: a fifth of the time.
    """

    def __init__(self) -> None:
        self._numbers = array("f")
        self._values = torch.empty(0)  # the same memory, unless the losses are on another device
        self._length = 0

    def begin(self, steps: int) -> None:
        """Empty it, and make room for the losses of so many steps."""
        self._length = 0
        if len(self._values) >= steps:
            return
        if self._values.is_cpu:
            self._numbers = array("f", bytes(4 * steps))
            self._values = torch.frombuffer(self._numbers, dtype=torch.float32)
        else:
            self._values = torch.empty(steps, device=self._values.device)

    def append(self, loss: Tensor | float) -> None:
        """Keep one loss: a tensor of one element on any device, or a number.

        It is copied at once, so that a step captured in a CUDA graph may overwrite its own loss.

        Raises:
            InvalidArgument: it is neither.
        """
        if isinstance(loss, Tensor):
            if loss.numel() != 1:
                raise InvalidArgument("loss", "a scalar", f"a tensor of shape {tuple(loss.shape)}")
            if loss.is_cpu and self._values.is_cpu:
                self._numbers[self._length] = loss.item()
            else:
                self._append_on_device(loss.detach().reshape(()))
        elif not isinstance(loss, float | int):
            raise InvalidArgument("loss", "a scalar tensor or a number", type(loss).__name__)
        elif self._values.is_cpu:
            self._numbers[self._length] = loss
        else:
            self._values[self._length] = loss
        self._length += 1

    def _append_on_device(self, loss: Tensor) -> None:
        if self._length == 0 and loss.device != self._values.device:
            self._values = torch.empty(len(self._values), device=loss.device)
        self._values[self._length] = loss

    @property
    def values(self) -> Float[Tensor, " step"]:
        """The losses so far, float32: a view."""
        return self._values[: self._length]

    def state_dict(self) -> dict[str, Tensor]:
        """A copy of the losses so far."""
        return {"values": self.values.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up what :meth:`state_dict` gave; :meth:`begin` made the room."""
        values = state["values"]
        if values.device != self._values.device:
            self._values = torch.empty(len(self._values), device=values.device)
        self._length = len(values)
        self._values[: self._length] = values
