from __future__ import annotations

import pytest

from lrpilot.errors import InvalidArgument
from lrpilot.pilot.soundness import GUARD_WINDOW
from lrpilot.pilot.timetable import ANYTIME_WINDOW, Timetable, anytime_decision_step, decision_steps


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 100, 12_000])
def test_a_run_of_known_length(steps):
    timetable, ends = Timetable(steps), decision_steps(steps)
    assert [timetable.end(d) for d in range(len(ends))] == list(ends)
    assert ends[-1] == steps
    for d in range(len(ends) - 1):
        last, now, after = timetable.boundaries(d)
        assert 0 <= last < now < after <= 1
        assert now == ends[d] / steps
        assert timetable.opens(d) == (now <= GUARD_WINDOW)
        assert timetable.closes(d) == (now <= GUARD_WINDOW < after)


def test_a_run_of_unknown_length():
    timetable = Timetable(None)
    assert [timetable.end(d) for d in range(3)] == [anytime_decision_step(d) for d in (1, 2, 3)]
    assert timetable.boundaries(5) is None
    assert [d for d in range(20) if timetable.closes(d)] == [ANYTIME_WINDOW - 1]


def test_the_anytime_window_is_as_many_decisions_as_a_long_run_has():
    timetable = Timetable(1_000_000)
    assert timetable.closes(ANYTIME_WINDOW - 1)


def test_the_anytime_window_holds_twelve_decisions_and_does_not_open_again():
    table = Timetable(None)
    assert [table.opens(decision) for decision in (0, 11, 12, 13, 500)] == [True, True, False, False, False]


@pytest.mark.parametrize("wrong", [0, -1, *(pytest.param(w, marks=pytest.mark.mistyped) for w in (2.5, "100"))])
def test_a_length_that_is_no_whole_number_of_at_least_one_is_refused(wrong):
    with pytest.raises(InvalidArgument, match="total_steps must be a whole number, at least 1, or None"):
        Timetable(wrong)
    assert Timetable(1).total_steps == 1
