"""When the pilot decides, and where in the run each decision stands."""

from __future__ import annotations

import operator

from lrpilot.errors import InvalidArgument

from .features import GUARD_WINDOW, anytime_decision_step, decision_steps

ANYTIME_WINDOW = 12
"""The guard's window where the run's length is unknown, in decisions: as many as `GUARD_WINDOW` holds otherwise."""


class Timetable:
    """The boundaries between a run's intervals. Decisions are counted from 0; decision d ends interval d.

    Args:
        total_steps: of the run; None if unknown.

    Raises:
        InvalidArgument: another number than a whole one of at least 1.
    """

    def __init__(self, total_steps: int | None) -> None:
        self.total_steps = None if total_steps is None else _checked(total_steps)
        self._ends = None if self.total_steps is None else decision_steps(self.total_steps)

    def end(self, decision: int) -> int:
        """The step after which it is taken; for the last interval of a run, the run's end."""
        return anytime_decision_step(decision + 1) if self._ends is None else self._ends[decision]

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
        if self._ends is None or self.total_steps is None:
            return None
        # At the run's end there is no next one, and nobody asks.
        last, now, after = (0, *self._ends, self.total_steps)[decision : decision + 3]
        return last / self.total_steps, now / self.total_steps, after / self.total_steps


def _checked(total_steps: int) -> int:
    try:
        number = operator.index(total_steps)
    except TypeError:
        number = 0
    if number < 1:
        raise InvalidArgument("total_steps", "a whole number, at least 1, or None", total_steps)
    return number
