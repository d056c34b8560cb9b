"""Means, intervals, ranks and choices, recomputed by hand; and what a table looks like."""

import pytest

from lrpilot.experiments.report.tables import Summary, Table, choose_setting, comparison, paper_form, ranks
from made_up import result, trial


def runs(method, errors_by_rate, validation=None):
    """Results of a method: by rate, the final test error of each seed."""
    made = []
    for rate, errors in errors_by_rate.items():
        for seed, error in enumerate(errors):
            one = result(trial=trial(method=method, setting={"lr": rate}, seed=seed), errors=(9.0, error - 0.5, error))
            if validation:
                one.evaluations["validation_error"][-1] = validation[rate]
            made.append(one)
    return made


def test_summary_by_hand():
    summary = Summary.of([1.0, 2.0, 3.0])
    assert (summary.mean, summary.spread, summary.count) == (2.0, 1.0, 3)
    # Of the 27 equally likely resamples, one has mean 1 and one mean 3 (3.7% each): both are the 2.5% points.
    assert summary.interval() == (1.0, 3.0)
    assert summary.text() == "2.00 ± 1.00"
    assert summary.interval_text() == "[1.00, 3.00]"


def test_interval_narrows_with_more_numbers():
    few, many = Summary.of([1.0, 2.0, 3.0]), Summary.of([1.0, 2.0, 3.0] * 20)
    assert many.interval()[1] - many.interval()[0] < 0.5 * (few.interval()[1] - few.interval()[0])
    assert many.interval()[0] < 2.0 < many.interval()[1]


def test_summary_of_one_and_of_equal_numbers():
    assert Summary.of([2.0]).text() == "2.00"
    assert Summary.of([2.0]).interval_text() == "-"
    assert Summary.of([2.0, 2.0]).interval() == (2.0, 2.0)


def test_choice_by_test_and_by_validation():
    results = runs("sgd", {0.1: [2.0, 3.0], 0.01: [2.4, 2.4]}, validation={0.1: 1.0, 0.01: 2.0})
    assert choose_setting(results, "test_error").setting == "lr=0.01"
    by_validation = choose_setting(results, "validation_error")
    assert by_validation.setting == "lr=0.1"
    assert by_validation.errors() == [2.0, 3.0]


def test_after_screening_settings_are_compared_by_the_seeds_they_share():
    # With its further seeds lr=0.1 averages 4.0; by the first seed, which alone tried both, it is the better one.
    results = runs("sgd", {0.1: [2.0, 5.0, 5.0], 0.01: [3.0]})
    choice = choose_setting(results, "test_error")
    assert choice.setting == "lr=0.1"
    assert choice.errors() == [2.0, 5.0, 5.0]


def test_a_diverged_run_counts_as_guessing():
    results = [*runs("sgd", {0.1: [2.0]}), result("diverged", trial=trial(method="sgd", setting={"lr": 0.1}, seed=1))]
    choice = choose_setting(results, "test_error")
    assert choice.errors() == [2.0, 90.0]
    assert choice.unfinished == 1


def test_ranks_share_places():
    assert ranks({"a": 2.0, "b": 1.0, "c": 2.0, "d": 3.0}) == {"a": 2, "b": 1, "c": 2, "d": 4}


def test_comparison_by_hand():
    results = [
        *runs("sgd", {0.1: [2.0, 4.0], 0.01: [5.0, 5.0]}, validation={0.1: 6.0, 0.01: 1.0}),
        *runs("adam", {0.1: [2.5, 2.7]}),
    ]
    table = comparison("M1", results, {"adam": "Adam", "sgd": "SGD", "rmsprop": "RMSprop"}, paper={"sgd": 2.34})
    assert [row[0] for row in table.rows] == ["Adam", "SGD"]  # the labels' order, and what has results
    sgd = dict(zip(range(11), table.rows[1], strict=True))
    assert sgd[1] == "lr=0.1"
    assert sgd[2] == "3.00 ± 1.41"
    assert sgd[4] == "2"
    assert sgd[5] == "2.50 ± 1.41"  # the best look at the test set, half a percent below
    assert sgd[6] == "2"  # behind Adam's 2.6
    assert (sgd[7], sgd[8], sgd[9]) == ("lr=0.01", "5.00 ± 0.00", "2")
    assert (table.rows[0][10], sgd[10]) == ("-", "2.34")
    accuracy = comparison("M1", results, {"sgd": "SGD"}, accuracy=True)
    assert accuracy.rows[0][2] == "97.00 ± 1.41"


def test_paper_form_puts_the_papers_number_beside_ours():
    table = paper_form(
        "Table 3", {"m1": runs("sgd", {0.1: [2.0, 2.2]})}, {"sgd": "SGD", "adam": "Adam"}, {"m1": {"sgd": 2.34}}
    )
    assert table.rows == [["M1", "2.10 (2.34)", "-"]]


def test_tables_are_escaped():
    table = Table("a < b", ["x|y"], [["<script>"]], "1 & 2")
    assert "| x\\|y |" in table.to_markdown()
    html = table.to_html()
    assert "<script>" not in html
    assert "a &lt; b" in html
    assert "1 &amp; 2" in html


def test_nothing_to_summarise_is_an_error():
    with pytest.raises(Exception, match="data point"):
        Summary.of([])
