"""Joint actions: those of several knobs in several places as one vector. ``raw -> a_t``, ``a_t -> what is seen``."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from lrpilot.core.state import StateDict

from .action import Action, LogRate
from .arrays import Array

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Float

    from .controls import Layout


class JointAction:
    """The rates as ``action`` has them; all other numbers on a log scale around what was given, below their limit.

    Args:
        action: of the learning rates.
        layout: which numbers there are.
    """

    def __init__(self, action: Action, layout: Layout) -> None:
        self._actions: list[Action] = [action, *(LogRate(limit=limit) for limit in layout.limits[1:])]
        self._counts = layout.counts
        self._places, self._knobs = [place for place, _ in layout.seats], [knob for _, knob in layout.seats]
        self._shape = layout.places, len(layout.limits)
        self._limits = [layout.limits[knob] for knob in self._knobs]
        self._all = all(count == layout.places for count in self._counts)
        widths = [action.size * count for action, count in zip(self._actions, self._counts, strict=True)]
        self.size = sum(widths)
        """How many numbers the critic sees."""
        self._numbers, self._seen = (list(accumulate(sizes))[:-1] for sizes in (self._counts, widths))  # split by knob

    def pick(self, outputs: Float[Array, "*batch place knob"]) -> Float[Array, "*batch action"]:
        """Of what the actor puts out for each knob in each place, the numbers that there are."""
        if self._all:
            return outputs.swapaxes(-1, -2).reshape(*outputs.shape[:-2], -1)
        return outputs[..., self._places, self._knobs]

    def unpick(self, along: Float[Array, "*batch action"]) -> Float[Array, "*batch place knob"]:
        """The transpose of :meth:`pick`: zeros where it picks nothing."""
        everywhere = np.zeros((*along.shape[:-1], *self._shape))
        everywhere[..., self._places, self._knobs] = along
        return everywhere

    def rate(self, raw: Float[Array, "*batch action"]) -> Float[Array, "*batch action"]:
        """The action of raw outputs."""
        return self._each(lambda action, raw: action.rate(raw), raw)

    def slope(self, raw: Float[Array, "*batch action"]) -> Float[Array, "*batch action"]:
        """How each number changes with its raw output."""
        return self._each(lambda action, raw: action.slope(raw), raw)

    def within(self, rate: Float[Array, "*batch action"]) -> Float[Array, "*batch action"]:
        """An action that exploration has moved, at most at its limits."""
        return np.minimum(rate, self._limits)

    def describe(self, rate: Float[Array, "*batch action"]) -> Float[Array, "*batch a"]:
        """The action as the critic sees it, number by number."""
        return self._each(lambda action, rate: _flat(action.describe(rate)), rate)

    def derivative(
        self, rate: Float[Array, "*batch action"], seen: Float[Array, "*batch a"]
    ) -> Float[Array, "*batch a"]:
        """How what the critic sees changes with the number that it tells of; ``seen`` is what :meth:`describe` says."""
        parts = iter(self._by_knob(seen))
        return self._each(lambda action, rate: _flat(action.derivative(rate, next(parts))), rate)

    def gather(self, along: Float[Array, "*batch a"]) -> Float[Array, "*batch action"]:
        """The sum of ``along`` over what tells of each number."""
        return _joined([part.sum(-1) for part in self._by_knob(along)])

    def spread(self, along: Float[Array, "*batch action"]) -> Float[Array, "*batch a"]:
        """The transpose of :meth:`gather`: each number in the place of all that tells of it."""
        return self._each(lambda action, along: along.repeat(action.size, axis=-1), along)

    def _each(self, call: Callable[[Action, Array], Array], numbers: Array) -> Array:
        parts = iter(_split(numbers, self._numbers))
        return _joined([call(action, next(parts)) for action in self._actions])

    def _by_knob(self, seen: Float[Array, "*batch a"]) -> list[Array]:
        """Of each knob what tells of it, ``[*batch, number, a]``."""
        parts = zip(self._actions, _split(seen, self._seen), strict=True)
        return [part.reshape(*part.shape[:-1], -1, action.size) for action, part in parts]

    def centre(self, action: Sequence[float], *, settled: bool = False) -> None:
        """Let raw outputs of 0 mean ``action``; ``settled`` if a sweep has found its rates, not the user."""
        numbers = iter(action)
        for number, (each, count) in enumerate(zip(self._actions, self._counts, strict=True)):
            each.centre([next(numbers) for _ in range(count)], settled=settled and number == 0)

    def state_dict(self) -> StateDict:
        """What ``centre`` set, by knob."""
        return {"actions": [action.state_dict() for action in self._actions]}

    def load_state_dict(self, state: StateDict) -> None:
        """Take up what :meth:`state_dict` gave."""
        for action, saved in zip(self._actions, state["actions"], strict=True):
            action.load_state_dict(saved)


def _flat(described: Float[Array, "*batch number a"]) -> Float[Array, "*batch a"]:
    return described.reshape(*described.shape[:-2], -1)


def _split(numbers: Array, ends: list[int]) -> list[Array]:
    return np.split(numbers, ends, axis=-1) if ends else [numbers]


def _joined(parts: Sequence[Array]) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)
