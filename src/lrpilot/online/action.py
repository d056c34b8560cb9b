"""Actions: what the actor's raw output means, and how the critic sees it. ``raw -> a_t``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from lrpilot.core.arguments import number_in, real
from lrpilot.core.state import StateDict
from lrpilot.errors import InvalidArgument

from .arrays import Array

if TYPE_CHECKING:
    from jaxtyping import Float


@runtime_checkable
class Action(Protocol):
    """A differentiable map from the actor's raw output to a learning rate, element by element.

    Where each place has a rate of its own, the last dimension are the places.
    """

    size: int
    """How many numbers the critic sees of a rate."""

    def rate(self, raw: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """The learning rate, in the optimizer's unit."""
        ...

    def slope(self, raw: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """The derivative of :meth:`rate`."""
        ...

    def describe(self, rate: Float[Array, "*batch"]) -> Float[Array, "*batch a"]:
        """The rate as the critic sees it."""
        ...

    def derivative(self, rate: Float[Array, "*batch"], seen: Float[Array, "*batch a"]) -> Float[Array, "*batch a"]:
        """The derivative of :meth:`describe`, whose answer ``seen`` is."""
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

    def rate(self, raw: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """``|raw|``, at most ``bound``."""
        return np.abs(raw) if self.bound is None else np.minimum(np.abs(raw), self.bound)

    def slope(self, raw: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """The sign of ``raw``; 0 beyond ``bound``."""
        sign = np.sign(raw)
        return sign if self.bound is None else np.where(np.abs(raw) <= self.bound, sign, 0.0)

    def describe(self, rate: Float[Array, "*batch"]) -> Float[Array, "*batch a"]:
        """``[a]``."""
        return rate[..., None]

    def derivative(self, rate: Float[Array, "*batch"], seen: Float[Array, "*batch a"]) -> Float[Array, "*batch a"]:
        """``[1]``."""
        return np.ones_like(seen)

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
        self.unit = number_in("unit", 0, math.inf, unit, ends="()")
        self.ceiling = number_in("ceiling", 1, math.inf, ceiling, ends="(]")
        self.limit = number_in("limit", 0, math.inf, limit, ends="(]")
        self._place([1.0], [math.inf])

    def rate(self, raw: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """``centre * exp(raw)``, bent below the ceiling; 0 stays the centre."""
        if self._bend is not None:
            raw = self._room - np.logaddexp(0.0, self._bend - raw)
        return self._centre * np.exp(raw)

    def slope(self, raw: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """The rate itself, times how much of a step the bend leaves."""
        rate = self.rate(raw)
        return rate if self._bend is None else rate * (1 + np.tanh((self._bend - raw) / 2)) / 2

    def describe(self, rate: Float[Array, "*batch"]) -> Float[Array, "*batch a"]:
        """``[z, z^2]``."""
        z = (np.log(rate) - self._log_centre) / self.unit
        return _pair(z, z * z)

    def derivative(self, rate: Float[Array, "*batch"], seen: Float[Array, "*batch a"]) -> Float[Array, "*batch a"]:
        """``[1, 2 z] / (unit a)``."""
        of_z = 1 / (self.unit * rate)
        return _pair(of_z, 2 * seen[..., 0] * of_z)

    def centre(self, rates: Sequence[float], *, settled: bool = False) -> None:
        """Set the centre, and the ceiling with it once it is settled."""
        ceiling = math.log(self.ceiling) if settled else math.inf
        self._place(rates, [min(ceiling, math.log(self.limit / rate)) for rate in rates])

    def _place(self, centres: Sequence[float], rooms: Sequence[float]) -> None:
        """Set what :meth:`rate` computes with, by place; a room is the way up, in e-folds."""
        bends = [math.log(math.expm1(room)) for room in rooms if math.isfinite(room)]  # softplus(bend) = room
        self._centre, self._room = np.array(centres), np.array(rooms)
        self._log_centre, self._bend = np.log(self._centre), np.array(bends) if bends else None

    def state_dict(self) -> StateDict:
        """Centre and room, by place."""
        return {"centre": self._centre.tolist(), "room": self._room.tolist()}

    def load_state_dict(self, state: StateDict) -> None:
        """Take up what :meth:`state_dict` gave."""
        self._place(state["centre"], state["room"])


def _pair(first: Float[Array, "*batch"], second: Float[Array, "*batch"]) -> Float[Array, "*batch 2"]:
    pair = np.empty((*first.shape, 2))
    pair[..., 0], pair[..., 1] = first, second
    return pair
