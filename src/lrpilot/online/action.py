"""Actions: what the actor's raw output means, and how the critic sees it. ``raw -> a_t``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional

from lrpilot.core.arguments import real
from lrpilot.core.state import StateDict
from lrpilot.errors import InvalidArgument

if TYPE_CHECKING:
    from jaxtyping import Float


@runtime_checkable
class Action(Protocol):
    """A differentiable map from the actor's raw output to a learning rate, element by element.

    Where each place has a rate of its own, the last dimension are the places.
    """

    size: int
    """How many numbers the critic sees of a rate."""

    def rate(self, raw: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
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

    def centre(self, rates: Sequence[float], *, settled: bool) -> None:
        """Let a raw output of 0 mean the rate of its place; ``settled`` if a sweep has found them, not the user."""
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
        if bound is not None and not real(bound) > 0:
            raise InvalidArgument("bound", "None or a rate above 0", bound)
        self.bound = bound

    def rate(self, raw: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
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

    def centre(self, rates: Sequence[float], *, settled: bool = False) -> None:
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
        limit: the rate stays (smoothly) below this, settled or not: 1 for the distance of a momentum to one.
    """

    size = 2

    def __init__(self, unit: float = 2.0, ceiling: float = 10.0, limit: float = math.inf) -> None:
        self.unit = unit
        self.ceiling = ceiling
        self.limit = limit
        self._place([1.0], [math.inf])

    def rate(self, raw: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """``centre * exp(raw)``, bent below the ceiling; 0 stays the centre."""
        if self._bend is not None:
            raw = self._room.to(raw) - functional.softplus(self._bend.to(raw) - raw)
        return self._centre.to(raw) * raw.exp()

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
        return (rate.log() - self._log_centre.to(rate)) / self.unit

    def centre(self, rates: Sequence[float], *, settled: bool = False) -> None:
        """Set the centre, and the ceiling with it once it is settled."""
        ceiling = math.log(self.ceiling) if settled else math.inf
        self._place(rates, [min(ceiling, math.log(self.limit / rate)) for rate in rates])

    def _place(self, centres: Sequence[float], rooms: Sequence[float]) -> None:
        """Set what :meth:`rate` computes with, from numbers in double precision; a room is the way up, in e-folds."""
        bends = [math.log(math.expm1(room)) for room in rooms if math.isfinite(room)]  # softplus(bend) = room
        self._centre, self._room, self._log_centre = (
            torch.tensor(numbers, dtype=torch.float64, device="cpu").squeeze()
            for numbers in (centres, rooms, [math.log(centre) for centre in centres])
        )
        self._bend = torch.tensor(bends, dtype=torch.float64, device="cpu").squeeze() if bends else None

    def state_dict(self) -> StateDict:
        """Centre and room, by place."""
        return {"centre": self._centre.flatten().tolist(), "room": self._room.flatten().tolist()}

    def load_state_dict(self, state: StateDict) -> None:
        """Take up what :meth:`state_dict` gave."""
        self._place(state["centre"], state["room"])
