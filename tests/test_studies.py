"""The reviewers' tables, each on results whose answer is known."""

import math

from lrpilot.experiments.report.studies import critic_slope, early_stopping, seconds_to_error, sensitivity, wall_clock
from lrpilot.experiments.studies.frame import frame
from made_up import result, trial


def test_seconds_to_an_error_are_those_of_the_first_look_that_finds_it():
    one = result(errors=(9.0, 2.0, 3.0))  # looked at after 0.2, 0.5 and 1.0 seconds
    assert seconds_to_error(one, 2.5) == 0.5
    assert seconds_to_error(one, 9.0) == 0.2
    assert seconds_to_error(one, 1.0) == math.inf


def test_wall_clock():
    slow = result(trial=trial(method="online-paper"), errors=(9.0, 8.0, 7.0))
    table = wall_clock("M1", frame([slow, result()]), 2.5)
    assert table.rows[0][2:] == ["0.5", "1 of 1", "25.00", "1.00"]
    assert table.rows[1][2:4] == ["never", "0 of 1"]


def test_early_stopping_looks_at_the_least_validation_loss():
    table = early_stopping("M1", frame([result(), result("diverged", trial=trial(seed=4))]))
    # Validation loss 0.5, 0.1, 0.2 at steps 10, 20, 40; test loss 0.5, 0.2, 0.3; test error 9, 2, 3.
    assert table.rows == [["SGD", "lr=0.1,gamma=0.0001", "20", "0.300", "0.200", "3.00", "2.00"]]


def test_sensitivity_has_a_column_for_each_value():
    results = [
        result(trial=trial(setting={"lr": rate}, seed=seed), errors=(9, 9, error))
        for rate, errors in {0.1: (2.0, 4.0), 0.001: (5.0, 7.0)}.items()
        for seed, error in enumerate(errors)
    ]
    results.append(result("diverged", trial=trial(method="online-paper", setting={"lr": 0.1})))
    table = sensitivity("M1", frame(results), "lr")
    assert table.header == ["method", "lr 0.001", "lr 0.1"]
    assert table.rows[0] == ["SGD", "6.00 ± 1.41", "3.00 ± 1.41"]
    assert table.rows[1] == ["actor-critic, paper", "-", "90.00 (1 diverged)"]


def test_critic_slope_counts_signs():
    one = result(trial=trial(method="online-paper", setting={}))
    one.curve["dq_da"] = [math.nan, 1.0, -2.0, -2.0, 7.0]
    one.curve["rate"] = [0.1, 0.1, 0.4, 0.2, 0.1]
    table = critic_slope("M1", frame([one, result()]))
    assert table.rows == [["actor-critic, paper", "default", "3", "1", "50", "2", "0.1 to 0.4", "3.00"]]
