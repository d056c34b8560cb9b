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


def test_decision_steps():
    steps = decision_steps(6000)
    assert len(steps) == 50
    assert steps[:3] == (2, 6, 13)
    assert sum(step <= 60 for step in steps) == 6  # in the first hundredth
    assert steps[-1] == 6000
    short = decision_steps(20)
    assert short[-1] == 20
    assert list(short) == sorted(set(short))
    assert decision_steps(1) == (1,)
    assert decision_steps(1, count=20_000) == (1,)  # no interval is without a step
    with pytest.raises(InvalidArgument, match="total_steps"):
        decision_steps(0)


def test_the_boundaries_by_hand():
    """100 (d / 50)^2.2 is 0.02, 0.08, ... 91.4, 95.7 and 100: the last one is not rounded up past the end."""
    assert decision_steps(100)[:5] == (1, 2, 3, 4, 5)
    assert decision_steps(100)[-3:] == (92, 96, 100)
    assert decision_steps(100, count=2) == (22, 100)  # a half to the power 2.2 is 0.2176


def test_the_boundaries_of_a_run_of_unknown_length_by_hand():
    """d^2.2 / 2: 0.5, 2.30, 5.61, 10.6, 79.2, 364.1 and 2733.4, rounded up."""
    ends = {1: 1, 2: 3, 3: 6, 4: 11, 10: 80, 20: 365, 50: 2734}
    assert {d: anytime_decision_step(d) for d in ends} == ends


def test_the_window_is_a_twentieth_of_the_run():
    """Its end included: 100 (12 / 50)^2.2 is 4.3, so that a decision is taken after the fifth step of a hundred."""
    timetable = Timetable(100)
    assert [timetable.opens(d) for d in range(7)] == [True] * 5 + [False] * 2
    assert [d for d in range(40) if timetable.closes(d)] == [4]


def test_a_run_that_is_ended_early_cools_down_over_twenty_intervals():
    """Ten steps of unknown length have had decisions after 1, 3 and 6."""
    before = [1, 3, 6, 10]
    cooling = Timetable(None).cooling(10, 40)
    assert cooling.total_steps == 50
    assert cooling.decisions_by(50) == 24  # and no further one
    assert [cooling.end(d) for d in range(24)] == before + list(range(12, 51, 2))
    few = Timetable(None).cooling(10, 3)
    assert [few.end(d) for d in range(7)] == [*before, 11, 12, 13]
    assert few.boundaries(4) == (10 / 13, 11 / 13, 12 / 13)
    assert few.decisions_by(10) == 4
    assert few.decisions_by(11) == 5
