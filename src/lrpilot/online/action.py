"""Actions: what the actor's raw output means, and how the critic sees it. ``raw -> a_t``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional

from lrpilot.core.state import StateDict
from lrpilot.errors import InvalidArgument

if TYPE_CHECKING:
    from jaxtyping import Float


@runtime_checkable
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

    def chain(self, rate: Float[Tensor, "*batch"], along: Float[Tensor, "*batch a"]) -> Float[Tensor, "*batch"]:
        """The chain rule: a derivative ``along`` :meth:`describe` as one along the rate."""
        ...

    def unchain(self, rate: Float[Tensor, "*batch"], along: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch a"]:
        """The transpose of :meth:`chain`: ``along`` times the derivative of :meth:`describe`."""
        ...

    def centre(self, rate: float, *, settled: bool = False) -> None:
        """Let a raw output of 0 mean ``rate``; ``settled`` if a sweep has found it, not the user."""
        ...

    def state_dict(self) -> StateDict:
        """What ``centre`` set."""
        ...

    def load_state_dict(self, state: StateDict) -> None:
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

    def chain(self, rate: Float[Tensor, "*batch"], along: Float[Tensor, "*batch a"]) -> Float[Tensor, "*batch"]:
        """The one number."""
        return along.squeeze(-1)

    def unchain(self, rate: Float[Tensor, "*batch"], along: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch a"]:
        """``[along]``."""
        return along.unsqueeze(-1)

    def centre(self, rate: float, *, settled: bool = False) -> None:
        """Nothing: the actor's own initial weights say where it begins."""

    def state_dict(self) -> StateDict:
        """Empty."""
        return {}

    def load_state_dict(self, state: StateDict) -> None:
        """Nothing to take up."""


class LogRate:
    """The rate in log space: ``a = centre * exp(raw)``.

    The critic sees it as ``[z, z^2]`` with ``z = log(a / centre) / unit``.
    The scale is absolute: the centre is set once and stays. Equal steps of the raw output are equal ratios of the
    rate, whether it is 1e-4 or 1, and the critic's quadratic can hold a best rate between two bad ones.

    Args:
        unit: how many e-folds of the rate the critic sees as one.
        ceiling: once the centre is settled, the rate stays (smoothly) below this multiple of it.
    """

    size = 2

    def __init__(self, unit: float = 2.0, ceiling: float = 10.0) -> None:
        self.unit = unit
        self.ceiling = ceiling
        self._centre = 1.0
        self._room = math.inf

    def rate(self, raw: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """``centre * exp(raw)``, bent below the ceiling; 0 stays the centre."""
        if math.isfinite(self._room):
            bend = math.log(math.expm1(self._room))  # softplus(bend) = room
            raw = self._room - functional.softplus(bend - raw)
        return self._centre * raw.exp()

    def describe(self, rate: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch a"]:
        """``[z, z^2]``."""
        z = self._z(rate)
        return torch.stack((z, z.square()), dim=-1)

    def chain(self, rate: Float[Tensor, "*batch"], along: Float[Tensor, "*batch a"]) -> Float[Tensor, "*batch"]:
        """``along . [1, 2 z] / (unit a)``."""
        return (along[..., 0] + along[..., 1] * (2 * self._z(rate))) / self.unit / rate

    def unchain(self, rate: Float[Tensor, "*batch"], along: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch a"]:
        """``along [1, 2 z] / (unit a)``."""
        along_z = along / rate / self.unit
        return torch.stack((along_z, along_z * (2 * self._z(rate))), dim=-1)

    def _z(self, rate: Tensor) -> Tensor:
        return (rate.log() - math.log(self._centre)) / self.unit

    def centre(self, rate: float, *, settled: bool = False) -> None:
        """Set the centre, and the ceiling with it once it is settled."""
        self._centre = rate
        self._room = math.log(self.ceiling) if settled else math.inf

    def state_dict(self) -> StateDict:
        """The centre."""
        return {"centre": self._centre, "room": self._room}

    def load_state_dict(self, state: StateDict) -> None:
        """Take up what :meth:`state_dict` gave."""
        self._centre, self._room = state["centre"], state["room"]
