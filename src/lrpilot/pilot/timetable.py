"""When the pilot decides, and where in the run each decision stands."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import count

from lrpilot.core.arguments import whole
from lrpilot.core.state import StateDict
from lrpilot.errors import InvalidArgument

from .soundness import GUARD_WINDOW

ANYTIME_WINDOW = 12
"""The guard's window where the run's length is unknown, in decisions: as many as `GUARD_WINDOW` holds otherwise."""

COOLING = 20
"""A run that is ended early cools down over so many intervals of one length (fewer steps have fewer)."""


def decision_steps(total_steps: int, count: int = 50, power: float = 2.2) -> tuple[int, ...]:
    """The boundaries of the intervals, T (d / count)^power rounded up for d = 1..count, without repetitions.

    A decision is taken after each of these many steps, but the last, which ends the run. The first one in a
    hundred steps of the run already sees six of fifty.

    >>> decision_steps(100, count=5)
    (3, 14, 33, 62, 100)
    """
    if total_steps < 1:
        raise InvalidArgument("total_steps", "at least 1", total_steps)
    # The small subtraction keeps T (count/count)^power from being rounded up past T.
    steps = {max(1, math.ceil(total_steps * (d / count) ** power - 1e-9)) for d in range(1, count + 1)}
    return tuple(sorted(steps))


def anytime_decision_step(decision: int, scale: float = 0.5, power: float = 2.2) -> int:
    """The step after which decision 1, 2, ... is taken when the length of the run is unknown."""
    return math.ceil(scale * decision**power)


class Timetable:
    """The boundaries between a run's intervals. Decisions are counted from 0; decision d ends interval d.

    Args:
        total_steps: of the run; None if unknown.

    Raises:
        InvalidArgument: another number than a whole one from 1 to `lrpilot.core.arguments.LONGEST`.
    """

    def __init__(self, total_steps: int | None) -> None:
        self.total_steps = None if total_steps is None else whole("total_steps", total_steps)
        self._ends: Sequence[int] | None = None if self.total_steps is None else decision_steps(self.total_steps)

    def cooling(self, step: int, steps: int) -> Timetable:
        """This one up to ``step``, and an end ``steps`` later."""
        past = [self.end(decision) for decision in range(self.decisions_by(step))]
        new = Timetable(step + whole("steps", steps))
        new._ends = sorted({*past, *(step + math.ceil(steps * i / COOLING) for i in range(COOLING + 1))})
        return new

    def end(self, decision: int) -> int:
        """The step after which it is taken; for the last interval of a run, the run's end."""
        return anytime_decision_step(decision + 1) if self._ends is None else self._ends[decision]

    def decisions_by(self, step: int) -> int:
        """How many decisions are due up to a step, the step's own included."""
        if self._ends is None:
            return next(decision for decision in count() if self.end(decision) > step)
        return bisect_right(self._ends, step)

    def opens(self, decision: int) -> bool:
        """Whether it is taken within the guard's window, in which a network may be taken back to its start."""
        if self.total_steps is None:
            return decision < ANYTIME_WINDOW
        return self.end(decision) / self.total_steps <= GUARD_WINDOW

    def closes(self, decision: int) -> bool:
        """Whether it is the last one within the window."""
        return self.opens(decision) and not self.opens(decision + 1)

    def boundaries(self, decision: int) -> tuple[float, float, float] | None:
        """The last decision, this one and the next as fractions of the run; None if its length is unknown."""
        if self._ends is None:
            return None
        end = self._ends[-1]
        # At the run's end there is no next one, and nobody asks.
        last, now, after = (0, *self._ends, end)[decision : decision + 3]
        return last / end, now / end, after / end

    def linear(self, decision: int) -> float:
        """The mean of a linear decay from 1 to 0 over the interval that a decision ends; 1 if no end is known."""
        marks = self.boundaries(decision)
        return 1.0 if marks is None else 1 - (marks[0] + marks[1]) / 2

    def state_dict(self) -> StateDict:
        """Its length and, of one that knows it, its boundaries."""
        return {"total_steps": self.total_steps, "ends": None if self._ends is None else list(self._ends)}

    @classmethod
    def of(cls, state: StateDict) -> Timetable:
        """The one that gave a state."""
        new = cls(state["total_steps"])
        new._ends = state["ends"]
        return new
