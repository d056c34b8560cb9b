"""Actions: what the actor's raw output means, and how the critic sees it. ``raw -> a_t``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from .errors import InvalidArgument

if TYPE_CHECKING:
    from jaxtyping import Float


class Action(Protocol):
    """A differentiable map from the actor's raw output to a learning rate."""

    size: int
    """How many numbers the critic sees of a rate."""

    def rate(self, raw: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """The learning rate, in the optimizer's unit."""
        ...

    def describe(self, rate: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch a"]:
        """The rate as the critic sees it."""
        ...

    def centre(self, rate: float) -> None:
        """Let a raw output of 0 mean ``rate``; done once, when the controller is attached to an optimizer."""
        ...

    def state_dict(self) -> dict[str, object]:
        """What ``centre`` set."""
        ...

    def load_state_dict(self, state: dict) -> None:
        """Take up what ``state_dict`` gave."""
        ...


class AbsoluteRate:
    """The paper's action (section 4.1): ``a = |raw|``, seen by the critic as it is. The start rate plays no part.

    Args:
        bound: the largest rate, or None (the paper names no bound).
    """

    size = 1

    def __init__(self, bound: float | None = None) -> None:
        if bound is not None and not bound > 0:
            raise InvalidArgument("bound", "None or a rate above 0", bound)
        self.bound = bound

    def rate(self, raw: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """``|raw|``, at most ``bound``."""
        return raw.abs() if self.bound is None else raw.abs().clamp_max(self.bound)

    def describe(self, rate: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch a"]:
        """``[a]``."""
        return rate.unsqueeze(-1)

    def centre(self, rate: float) -> None:
        """Nothing: the actor's own initial weights say where it begins."""

    def state_dict(self) -> dict[str, object]:
        """Empty."""
        return {}

    def load_state_dict(self, state: dict) -> None:
        """Nothing to take up."""


class LogRate:
    """The rate in log space: ``a = centre * exp(raw)``, seen by the critic as ``[z, z^2]``, ``z = log(a / centre) / unit``.

    The scale is absolute: the centre is set once and stays. Equal steps of the raw output are equal ratios of the
    rate, whether it is 1e-4 or 1, and the critic's quadratic can hold a best rate between two bad ones.

    Args:
        unit: how many e-folds of the rate the critic sees as one.
    """

    size = 2

    def __init__(self, unit: float = 2.0) -> None:
        self.unit = unit
        self._centre = 1.0

    def rate(self, raw: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """``centre * exp(raw)``."""
        return self._centre * raw.exp()

    def describe(self, rate: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch a"]:
        """``[z, z^2]``."""
        z = (rate.log() - math.log(self._centre)) / self.unit
        return torch.stack((z, z.square()), dim=-1)

    def centre(self, rate: float) -> None:
        """Set the centre."""
        self._centre = rate

    def state_dict(self) -> dict[str, object]:
        """The centre."""
        return {"centre": self._centre}

    def load_state_dict(self, state: dict) -> None:
        """Take up what :meth:`state_dict` gave."""
        self._centre = state["centre"]
