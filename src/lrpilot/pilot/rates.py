"""The learning rate as the pilot writes it, and as it is used: not the same where somebody else writes it too."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lrpilot.core.knobs import Knobs, LearningRate
from lrpilot.core.state import StateDict

from .optimizers import members_of

if TYPE_CHECKING:
    from jaxtyping import Float


BELOW = 10.0
"""A run begins at the given rate divided by this: one that is too high can harm a network for good and not show in the
loss, one that is too low costs a few steps."""

WIDEST = 14.0
"""The pilot raises the log rate no farther than this above the given one, six decades, and lowers it twice as far."""

STEEP = 10.0
"""A group that joins at more than so many times the first group's rate was hardly meant to."""

Place = tuple[int, int]
"""Of a group: the number of its optimizer, and its place there."""


class Rates:
    """Writes the rate into an optimizer's groups, and knows which rate each step was made at.

    A rate is that of the first group, without its ``lr_scale``.

    Attributes:
        rate: as written last.
        written: the very number that stands in the first group since; None if a tensor does, which is filled in place.
        highest_joined: how many times the rate a group got that had joined by then; 0 if none had.
    """

    def __init__(self, knobs: Knobs) -> None:
        self.rate = knobs.read("learning_rate")[0]
        self.written: float | None = None
        self.highest_joined = 0.0
        self._knobs = knobs
        self._version: tuple[int, int] | None = None
        self._standing = self._read()
        self._others: dict[int, float] = {}  # by step the rate that it was made at, where that was not ours
        self._before: tuple[int, dict[Place, float]] = (-1, {})  # the last step at the rates before, and these
        self._joined: dict[Place, float] = {}  # the rates of groups that had joined in a state taken up since

    def write(self, rate: float, *, step: int) -> None:
        """Write a rate for the steps after ``step``."""
        self._before = (step, self._used(step))
        self.rate, self._others, self._joined = rate, {}, {}
        self.write_again()

    def write_again(self) -> None:
        """Write the rate once more, where something else has been written over it."""
        known = set(self._standing)
        self._knobs.write({"learning_rate": self.rate})
        held = self._held
        self.written = None if isinstance(held, Tensor) else held
        self._version = (id(held), held._version) if isinstance(held, Tensor) else None
        self._standing = self._read()
        joined = [rate for place, rate in self._standing.items() if place not in known]
        self.highest_joined = max(joined, default=0.0) / self.rate
        self._leave_joined()

    def _leave_joined(self) -> None:
        """Groups that had just joined as a state was saved keep their own rate until the next decision."""
        for (number, place), rate in self._joined.items():
            groups = members_of(self._knobs.optimizer)[number].param_groups
            if place < len(groups):
                LearningRate().write(groups[place], rate)
                self._standing.pop((number, place), None)

    def notice(self, step: int) -> None:
        """Read the rate that ``step`` has just been made at, which may be somebody else's."""
        held = self._held
        if isinstance(held, Tensor) and (id(held), held._version) == self._version:
            return
        if float(held) != self._standing[0, 0]:
            self._others[step] = float(held) / self._factor

    def disturbed(self) -> bool:
        """Whether somebody else has written the rates since."""
        now = self._read()
        return bool(self._others) or any(now.get(place, rate) != rate for place, rate in self._standing.items())

    def used(self, step: int) -> list[float]:
        """The rates of all groups in the last step, which was ``step``; of one that has joined since, as it stands."""
        return list(self._used(step).values())

    def _used(self, step: int) -> dict[Place, float]:
        now = self._read()
        if self._before[0] == step:
            return {place: self._before[1].get(place, rate) for place, rate in now.items()}
        share = self.at(step) / self.rate  # which is mostly 1
        return {place: self._standing.get(place, rate) * share for place, rate in now.items()}

    def at(self, step: int) -> float:
        """The rate of a step since the last writing."""
        return self._others.get(step, self.rate)

    def column(self, first: int, count: int) -> Float[Tensor, " step"]:
        """The rates of ``count`` steps since the last writing, float64."""
        rates = torch.full((count,), self.rate, dtype=torch.float64, device="cpu")
        for step, rate in self._others.items():
            if first <= step < first + count:
                rates[step - first] = rate
        return rates

    def _read(self) -> dict[Place, float]:
        """The rate of each group as it stands."""
        knob = LearningRate()
        return {
            (number, place): knob.read(group)
            for number, member in enumerate(members_of(self._knobs.optimizer))
            for place, group in enumerate(member.param_groups)
            if knob.holders([group])
        }

    @property
    def _held(self) -> float | Tensor:
        return self._knobs.optimizer.param_groups[0]["lr"]

    @property
    def _factor(self) -> float:
        return LearningRate().factor(self._knobs.optimizer.param_groups[0])

    def state_dict(self) -> StateDict:
        """The rates of the steps since the last writing, of the step before it, and of groups that have joined."""
        joined = {place: rate for place, rate in self._read().items() if place not in self._standing}
        return {"others": dict(self._others), "before": [self._before[0], dict(self._before[1])], "joined": joined}

    def load_state_dict(self, state: StateDict) -> None:
        """Take up what :meth:`state_dict` gave."""
        self._others = dict(state["others"])
        step, before = state["before"]
        # Up to version 0.2 the rates stood in a list, in the order of the groups.
        self._before = (step, dict(before if isinstance(before, dict) else zip(self._read(), before, strict=False)))
        self._joined = dict(state.get("joined", {}))  # 0.2 did not keep them
        self._leave_joined()


def bounded(log_rate: float) -> float:
    """A log rate (0: that of the first step), held between twice `WIDEST` below the given rate and `WIDEST` above."""
    return min(max(log_rate, math.log(BELOW) - 2 * WIDEST), math.log(BELOW) + WIDEST)
