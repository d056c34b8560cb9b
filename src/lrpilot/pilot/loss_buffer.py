"""The losses between two decisions, kept on their device: no step waits for them."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, SupportsFloat

import torch
from torch import Tensor

from lrpilot.core.arguments import as_float
from lrpilot.core.state import StateDict
from lrpilot.errors import InvalidArgument

if TYPE_CHECKING:
    from jaxtyping import Float

Loss = Tensor | SupportsFloat


class LossBuffer:
    """The losses of the current interval, on their device. Appending never waits for a device.

    Losses that are on the CPU, which is where small networks train, go through plain numbers: a fifth of the time.
    """

    def __init__(self) -> None:
        self._make_room(0, torch.device("cpu"))
        self._length = 0
        self._parts: Tensor | None = None  # the sum of losses of a step that is not taken yet, and their number
        self._part_count = 0

    def begin(self, steps: int) -> None:
        """Empty it, and make room for the losses of so many steps. Parts of a step that is not taken yet stay."""
        self._length = 0
        self.reserve(steps)

    def reserve(self, steps: int) -> None:
        """Make room for so many losses in all, and one more that may become a part."""
        if len(self._values) > steps:
            return
        kept = self.values
        self._make_room(steps, self._values.device)
        self._values[: self._length] = kept

    def append(self, loss: Loss | None) -> None:
        """Keep the loss of a step: a tensor of one element on any device, or a number.

        It is copied at once, so that a step captured in a CUDA graph may overwrite its own loss.

        Raises:
            InvalidArgument: it is neither, or on the meta device.
        """
        if isinstance(loss, Tensor):
            if loss.numel() != 1:
                allowed = "a scalar, such as losses.mean()"
                raise InvalidArgument("loss", allowed, f"a tensor of shape {tuple(loss.shape)}")
            if not loss.is_floating_point():  # a count of errors, say, or a complex number
                raise InvalidArgument("loss", "a scalar of a floating-point dtype", f"a tensor of {loss.dtype}")
            if loss.is_cpu and self._values.is_cpu:
                self._numbers[self._length] = loss.item()
            else:
                self._append_on_device(loss.detach().reshape(()))
        elif self._values.is_cpu:
            self._numbers[self._length] = _number(loss)
        else:
            self._values[self._length] = _number(loss)
        self._length += 1

    def append_part(self, loss: Loss | None) -> None:
        """Keep the loss of a part of a step, such as a micro-batch, until :meth:`join`.

        Raises:
            InvalidArgument: as of :meth:`append`.
        """
        self.append(loss)
        self._length -= 1
        part = self._values[self._length].clone()
        self._parts = part if self._parts is None else self._parts.to(part.device) + part
        self._part_count += 1

    def take_parts(self) -> Tensor | None:
        """The mean of the parts, which are forgotten; None if there are none."""
        if self._parts is None:
            return None
        mean = self._parts / self._part_count
        self.drop_parts()
        return mean

    def join(self, *, repeated: int = 0) -> None:
        """The step is taken: its loss is the mean of the last one appended and the parts before.

        Args:
            repeated: for how many more steps, whose losses nobody gave, it stands.
        """
        if self._parts is not None:
            last = self._values[self._length - 1]
            last.copy_((self._parts.to(last.device) + last) / (self._part_count + 1))
            self.drop_parts()
        self.reserve(self._length + repeated)
        self._values[self._length : self._length + repeated] = self._values[self._length - 1]
        self._length += repeated

    def drop_parts(self) -> None:
        """Forget the parts."""
        self._parts, self._part_count = None, 0

    def _append_on_device(self, loss: Tensor) -> None:
        if loss.is_meta:
            raise InvalidArgument("loss", "a scalar that holds a number", "one on the meta device")
        if self._length == 0 and loss.device != self._values.device:
            self._make_room(len(self._values), loss.device)
        self._values[self._length] = loss

    @torch.inference_mode(False)  # or it could not be written outside that mode
    def _make_room(self, length: int, device: torch.device) -> None:
        self._numbers = array("f", bytes(4 * (length + 1)))  # the same memory, if the losses are on the CPU
        self._values = torch.frombuffer(self._numbers, dtype=torch.float32)
        if device.type != "cpu":
            self._values = torch.empty(length + 1, dtype=torch.float32, device=device)

    @property
    def has_parts(self) -> bool:
        """Whether there are parts of a step that is not taken yet."""
        return self._parts is not None

    @property
    def values(self) -> Float[Tensor, " step"]:
        """The losses so far, float32: a view."""
        return self._values[: self._length]

    def state_dict(self) -> StateDict:
        """A copy of the losses so far, and of the parts of a step that is not taken yet."""
        parts = None if self._parts is None else self._parts.clone()
        return {"values": self.values.clone(), "parts": parts, "part_count": self._part_count}

    def load_state_dict(self, state: StateDict) -> None:
        """Take up what :meth:`state_dict` gave, into the room that there is or more."""
        values: Tensor = state["values"]
        if values.device != self._values.device:
            self._make_room(len(self._values), values.device)
        self.begin(len(values))
        self._length = len(values)
        self._values[: self._length] = values
        self._parts, self._part_count = state["parts"], state["part_count"]


def _number(loss: object) -> float:
    if loss is None:
        raise InvalidArgument("loss", "a scalar: call pilot.step(loss)", loss)
    if isinstance(loss, float):
        return loss
    if isinstance(loss, type) or not isinstance(loss, SupportsFloat) or getattr(loss, "size", 1) != 1:
        raise InvalidArgument("loss", "a scalar tensor or a number", type(loss).__name__)
    number: object = loss.item() if hasattr(loss, "item") else loss  # type: ignore[attr-defined] - NumPy's, of any shape
    return as_float("loss", "a scalar tensor or a number that a float holds", number)
