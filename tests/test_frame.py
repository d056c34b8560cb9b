"""The one table of all runs: what stands in a row, and a grouping of five of them recomputed by hand."""

import math

import pytest

from lrpilot.experiments.report.paper_tables import comparison
from lrpilot.experiments.report.tables import interval, mean_text, ranks
from lrpilot.experiments.studies.frame import COLUMNS, chosen, frame, groups
from made_up import result, trial


def test_a_row_is_a_run():
    one = result(errors=(9.0, 2.0, 3.0))
    (row,) = frame([one]).to_dict("records")
    assert (
        row
        | {
            "experiment": "table3",
            "task": "m1",
            "method": "sgd",
            "label": "SGD",
            "setting": "lr=0.1,gamma=0.0001",
            "setting_lr": 0.1,
            "setting_gamma": 1e-4,
            "seed": 3,
            "planned_steps": 40,
            "steps": 40,
            "status": "finished",
            "finished": True,
            "seconds": 1.0,
            "test_error": 3.0,
            "best_test_error": 2.0,
            "test_loss": 0.3,
            "best_test_loss": 0.2,
            "validation_error": 3.0,
            "validation_loss": 0.2,
            "run": one,
        }
        == row
    )


def test_a_run_that_did_not_finish_counts_as_guessing():
    (row,) = frame([result("diverged")]).to_dict("records")
    assert (row["finished"], row["test_error"], row["validation_error"]) == (False, 90.0, 90.0)
    assert row["test_loss"] == math.inf
    assert row["best_test_error"] == 2.0


def test_rows_stand_in_the_order_of_methods_and_no_run_makes_an_empty_table():
    runs = frame(
        [result(trial=trial(method=method, seed=seed)) for seed in (2, 1) for method in ("pilot", "adam", "sgd")]
    )
    assert list(zip(runs.method, runs.seed, strict=True)) == [
        *(("sgd", 2), ("sgd", 1), ("adam", 2), ("adam", 1), ("pilot", 2), ("pilot", 1))
    ]
    assert list(groups(runs)) == ["SGD", "Adam", "pilot"]
    assert list(frame([]).columns) == list(COLUMNS)
    assert chosen(frame([])).empty


@pytest.fixture
def five():
    """SGD at two rates and Adam at one."""
    errors = [
        ("sgd", 0.1, 0, 2.0),
        ("sgd", 0.1, 1, 5.0),
        ("sgd", 0.01, 0, 6.0),
        ("sgd", 0.01, 1, 7.0),
        ("adam", 0.1, 0, 3.0),
    ]
    return frame(
        result(trial=trial(method=method, setting={"lr": rate}, seed=seed), errors=(9.0, 9.0, error))
        for method, rate, seed, error in errors
    )


def test_mean_spread_interval_and_rank_of_five_rows_by_hand(five):
    best = chosen(five)
    assert list(zip(best.label, best.setting, best.seed, strict=True)) == [
        *(("SGD", "lr=0.1", 0), ("SGD", "lr=0.1", 1), ("Adam", "lr=0.1", 0))
    ]
    sgd, adam = (own.test_error for own in groups(best).values())
    assert mean_text(sgd) == "3.50 ± 2.12"  # (2 + 5) / 2; the square root of 1.5^2 + 1.5^2
    assert mean_text(adam) == "3.00"
    # 3.5 -+ 12.706205 (Student's t, one degree of freedom) times 2.12132 over the root of 2.
    assert interval(list(sgd)) == pytest.approx((-15.559307, 22.559307))
    assert interval(list(adam)) is None
    assert ranks(best.groupby("label").test_error.mean()).to_dict() == {"Adam": 1, "SGD": 2}
    table = comparison("five", five, {})
    assert [row[:7] for row in table.rows] == [
        ["SGD", "lr=0.1", "3.50 ± 2.12", "[0.00, 22.56]", "2", "3.50 ± 2.12", "2"],
        ["Adam", "lr=0.1", "3.00", "-", "1", "3.00", "1"],
    ]
