"""Verdicts from paired runs: ratios and intervals computed by hand, and the rules at their borders."""

import math

import pytest

from lrpilot.experiments.report.verdict import (
    FAILS,
    HOLDS,
    RISE,
    TEST_ERROR,
    TRAINING_LOSS,
    UNDECIDED,
    collapsed,
    compare,
    decide,
    mean_ratio,
    paired_ratios,
)
from lrpilot.experiments.studies.frame import frame
from made_up import result, trial


def runs(*errors, method="sgd", status="finished", first_seed=0):
    """A run for each final test error, their seeds in order."""
    return frame(
        result(status, trial=trial(method=method, seed=first_seed + place, setting={}), errors=(9, 9, error))
        for place, error in enumerate(errors)
    )


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ((0.5, 0.999), HOLDS),
        ((0.5, 1.0), UNDECIDED),  # the limit itself is in the interval
        ((0.9, 1.1), UNDECIDED),
        ((1.0, 1.5), UNDECIDED),
        ((1.001, 1.5), FAILS),
        ((1.0, 1.0), UNDECIDED),
        (None, UNDECIDED),
        ((math.nan, math.nan), UNDECIDED),
    ],
)
def test_an_interval_decides_only_if_the_limit_is_outside(ends, said):
    assert decide(ends, 1.0) == said


def test_a_mean_ratio_and_its_interval_by_hand():
    # Logarithms to the base 2: 1, 2, 3, whose interval is 2 -+ 4.302653 / the root of 3.
    mean, (low, high) = mean_ratio([2.0, 4.0, 8.0])
    assert mean == pytest.approx(4.0)
    assert (low, high) == pytest.approx((2**-0.484138, 2**4.484138))
    assert mean_ratio([2.0]) == (pytest.approx(2.0), None)


def test_runs_are_paired_by_their_seed():
    own, rival = runs(2.0, 6.0, 5.0), runs(3.0, 20.0, 7.0, first_seed=1).iloc[::-1]  # seeds 0, 1, 2 and 3, 2, 1
    assert paired_ratios(own, rival, TEST_ERROR) == [2.0, 0.25]


def test_the_means_are_those_of_the_pairs():
    """Of seeds 1 and 2: 6 and 5 against 7 and 20, in which seeds 0 and 3 have no part."""
    own, rival = runs(2.0, 6.0, 5.0), runs(7.0, 20.0, 3.0, first_seed=1)
    assert compare(own, rival, TEST_ERROR).numbers.startswith("5.50% against 13.50% (SGD), 0.46x")


def test_pairs_decide_where_means_and_spreads_would_not():
    # Seed 2 is hard for both. Unpaired, the spread hides a difference that is there in every pair.
    own, rival = runs(2.0, 2.1, 8.0), runs(2.2, 2.31, 8.8, method="adam")
    found = compare(own, rival, TEST_ERROR)
    assert found.said == HOLDS
    assert found.numbers == "4.03% against 4.44% (Adam), 0.91x [0.91, 0.91]"
    assert compare(rival, own, TEST_ERROR).said == FAILS
    shuffled = runs(8.8, 2.2, 2.31, method="adam")
    assert compare(own, shuffled, TEST_ERROR).said == UNDECIDED


def test_a_limit_other_than_one():
    own, rival = runs(1.05, 2.16, 3.15), runs(1.0, 2.0, 3.0)
    assert compare(own, rival, TEST_ERROR).said == FAILS
    assert compare(own, rival, TEST_ERROR, 1.2).said == HOLDS
    assert compare(own, rival, TEST_ERROR, 1.06).said == UNDECIDED


def test_one_seed_decides_nothing_and_no_shared_seed_says_nothing():
    assert str(compare(runs(1.0), runs(50.0), TEST_ERROR)) == "undecided: 1.00% against 50.00% (SGD), 0.02x of one seed"
    assert compare(runs(1.0), runs(2.0, first_seed=7), TEST_ERROR) is None


def test_a_run_collapsed_if_it_did_not_finish_or_ended_near_guessing():
    assert collapsed(runs(80.9, 81.0)).tolist() == [False, True]  # nine tenths of guessing's 90
    assert collapsed(runs(2.0, status="diverged")).tolist() == [True]
    assert collapsed(runs(2.0, status="failed")).tolist() == [True]


def test_nothing_is_better_than_a_collapsed_run():
    sound, lost = runs(2.0, 2.0, 2.0), runs(3.0, 89.0, 3.0, method="adam")
    assert str(compare(sound, lost, TEST_ERROR)) == (
        "undecided: test error 2.00% against 31.67% (Adam); collapsed: 0 of 3 runs against 1 of 3"
    )
    assert compare(lost, sound, TEST_ERROR).said == FAILS
    assert compare(lost, lost, TEST_ERROR).said == UNDECIDED


def test_an_error_of_none_counts_as_one_example():
    assert paired_ratios(runs(0.0), runs(0.02), TEST_ERROR) == [pytest.approx(0.5)]


def test_the_other_measures():
    one, other = result(), result("diverged", trial=trial(seed=4))
    one.curve["train_loss"] = [1.0, math.nan, 0.5]
    both = frame([one, other])
    assert TRAINING_LOSS.of(both).tolist() == [0.75, math.inf]
    assert RISE.of(both).tolist() == [pytest.approx(1.5), math.inf]  # 0.3 at the end, 0.2 at its least
    assert TEST_ERROR.mean(both) == (3 + 90) / 2
