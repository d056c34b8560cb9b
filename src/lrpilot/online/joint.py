"""Joint actions: those of several knobs in several places as one vector. ``raw -> a_t``, ``a_t -> what is seen``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lrpilot.core.state import StateDict

from .action import Action, LogRate

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
        self._limits = [layout.limits[knob] for knob in self._knobs]
        self._all = all(count == layout.places for count in self._counts)
        self._widths = [action.size * count for action, count in zip(self._actions, self._counts, strict=True)]
        self.size = sum(self._widths)
        """How many numbers the critic sees."""

    def pick(self, outputs: Float[Tensor, "*batch place knob"]) -> Float[Tensor, "*batch action"]:
        """Of what the actor puts out for each knob in each place, the numbers that there are."""
        return outputs.mT.flatten(-2) if self._all else outputs[..., self._places, self._knobs]

    def rate(self, raw: Float[Tensor, "*batch action"]) -> Float[Tensor, "*batch action"]:
        """The action of raw outputs."""
        return self._each(lambda action, raw: action.rate(raw), raw)

    def within(self, rate: Float[Tensor, "*batch action"]) -> Float[Tensor, "*batch action"]:
        """An action that exploration has moved, at most at its limits."""
        return torch.minimum(rate, rate.new_tensor(self._limits))

    def describe(self, rate: Float[Tensor, "*batch action"]) -> Float[Tensor, "*batch a"]:
        """The action as the critic sees it, number by number."""
        return self._each(lambda action, rate: action.describe(rate).flatten(-2), rate)

    def chain(
        self, rate: Float[Tensor, "*batch action"], along: Float[Tensor, "*batch a"]
    ) -> Float[Tensor, "*batch action"]:
        """The chain rule: a derivative ``along`` :meth:`describe` as one along each number of the action."""
        parts = iter(along.split(self._widths, dim=-1))
        return self._each(lambda action, rate: action.chain(rate, next(parts).unflatten(-1, (-1, action.size))), rate)

    def unchain(
        self, rate: Float[Tensor, "*batch action"], along: Float[Tensor, "*batch action"]
    ) -> Float[Tensor, "*batch a"]:
        """The transpose of :meth:`chain`."""
        parts = iter(along.split(self._counts, dim=-1))
        return self._each(lambda action, rate: action.unchain(rate, next(parts)).flatten(-2), rate)

    def _each(self, call: Callable[[Action, Tensor], Tensor], numbers: Tensor) -> Tensor:
        rates, *others = self._actions
        if not others:
            return call(rates, numbers)
        parts = iter(numbers.split(self._counts, dim=-1))
        return torch.cat([call(action, next(parts)) for action in self._actions], dim=-1)

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
