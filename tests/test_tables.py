"""Means, intervals, ranks and choices, recomputed by hand; and what a table looks like."""

import pytest
from pandas import Series

from lrpilot.experiments.report.page import Section, write_page
from lrpilot.experiments.report.paper_tables import comparison, overview, paper_form
from lrpilot.experiments.report.tables import Table, count_text, interval, interval_text, mean_text, ranks, steps_text
from lrpilot.experiments.studies.frame import choose, frame
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


def test_mean_spread_and_interval_by_hand():
    assert mean_text([1.0, 2.0, 3.0]) == "2.00 ± 1.00"
    assert mean_text([1.0, 2.0, 3.0], digits=3) == "2.000 ± 1.000"
    # 2 -+ 4.302653 (Student's t, two degrees of freedom) times 1 over the root of 3: 2.484138.
    assert interval([1.0, 2.0, 3.0]) == pytest.approx((-0.484138, 4.484138))
    assert interval_text([1.0, 2.0, 3.0]) == "[0.00, 4.48]"
    assert interval_text([11.0, 12.0, 13.0]) == "[9.52, 14.48]"
    assert interval_text([88.0, 99.0]) == "[23.62, 100.00]"  # 93.5 - 12.706205 * 7.778175 / the root of 2


def test_interval_narrows_with_more_numbers():
    few, many = interval([1.0, 2.0, 3.0]), interval([1.0, 2.0, 3.0] * 20)
    assert many[1] - many[0] < 0.5 * (few[1] - few[0])
    assert many[0] < 2.0 < many[1]


def test_mean_and_interval_of_one_and_of_equal_numbers():
    assert mean_text([2.0]) == "2.00"
    assert interval_text([2.0]) == "-"
    assert interval([2.0, 2.0]) == (2.0, 2.0)


def test_choice_by_test_and_by_validation():
    results = runs("sgd", {0.1: [2.0, 3.0], 0.01: [2.4, 2.4]}, validation={0.1: 1.0, 0.01: 2.0})
    assert set(choose(frame(results), "test_error").setting) == {"lr=0.01"}
    by_validation = choose(frame(results), "validation_error")
    assert set(by_validation.setting) == {"lr=0.1"}
    assert list(by_validation.test_error) == [2.0, 3.0]


def test_after_screening_settings_are_compared_by_the_seeds_they_share():
    # With its further seeds lr=0.1 averages 4.0; by the first seed, which alone tried both, it is the better one.
    results = runs("sgd", {0.1: [2.0, 5.0, 5.0], 0.01: [3.0]})
    choice = choose(frame(results), "test_error")
    assert set(choice.setting) == {"lr=0.1"}
    assert list(choice.test_error) == [2.0, 5.0, 5.0]


def test_a_diverged_run_counts_as_guessing():
    results = [*runs("sgd", {0.1: [2.0]}), result("diverged", trial=trial(method="sgd", setting={"lr": 0.1}, seed=1))]
    choice = choose(frame(results), "test_error")
    assert list(choice.test_error) == [2.0, 90.0]
    assert count_text(choice.finished) == "2 (1 diverged)"


def test_the_length_of_runs_is_the_planned_one_or_its_range():
    runs = [result("diverged", trial=trial(steps=steps)) for steps in (1200, 1200, 40)]
    assert steps_text(frame(runs[:2])) == "1,200 steps"
    assert steps_text(frame(runs)) == "40 to 1,200 steps"


def test_ranks_share_places():
    assert ranks(Series({"a": 2.0, "b": 1.0, "c": 2.0, "d": 3.0})).to_dict() == {"a": 2, "b": 1, "c": 2, "d": 4}


def test_comparison_by_hand():
    results = [
        *runs("adam", {0.1: [2.5, 2.7]}),
        *runs("sgd", {0.1: [2.0, 4.0], 0.01: [5.0, 5.0]}, validation={0.1: 6.0, 0.01: 1.0}),
    ]
    table = comparison("M1", frame(results), {"sgd": 2.34})
    assert table.title == "M1, 40 steps"
    assert [row[0] for row in table.rows] == ["SGD", "Adam"]  # the methods' order, and what has results
    assert table.header[1:4] == ["setting, by test", "error %", "95% interval"]
    assert table.header[7:] == ["setting, by validation", "error %", "rank", "paper"]
    sgd = dict(zip(range(11), table.rows[0], strict=True))
    assert sgd[1] == "lr=0.1"
    assert sgd[2] == "3.00 ± 1.41"
    assert sgd[4] == "2"
    assert sgd[5] == "2.50 ± 1.41"  # the best look at the test set, half a percent below
    assert sgd[6] == "2"  # behind Adam's 2.6
    assert (sgd[7], sgd[8], sgd[9]) == ("lr=0.01", "5.00 ± 0.00", "2")
    assert (table.rows[1][10], sgd[10]) == ("-", "2.34")


def test_the_papers_numbers_stand_beside_ours_in_both_forms():
    tasks, paper = {"m1": frame(runs("sgd", {0.1: [2.0, 2.2]}))}, {"m1": {"sgd": 2.34}}
    table = paper_form("Table 3", tasks, ["adam", "sgd"], paper)
    assert (table.header, table.rows) == (["network", "Adam", "SGD"], [["M1", "-", "2.10 (2.34)"]])
    tasks["m0"] = frame(runs("adam", {0.1: [3.0]}))
    table = overview("All", tasks, {**paper, "m0": {"adam": 8.7, "sgd": 9.0}}, {"m0": 0, "m1": 4, "m2": 2})
    assert table.header == ["method", "M1", "M0"]
    assert table.rows == [["SGD", "2.10 ± 0.14 (2.34)", "- (9.00)"], ["Adam", "-", "3.00 (8.70)"]]
    assert table.note.endswith("Lengths: M1 40 steps, M0 40 steps. Not complete: M1 lacks at least 4 of its runs.")
    table = overview("All", tasks, paper, {"m2": 2})
    assert table.note.endswith("Lengths: M1 40 steps, M0 40 steps.")


def test_tables_are_escaped(tmp_path):
    table = Table("a < b", ["x|y"], [["<script>alert(1)"]], "1 & 2")
    markdown, html = write_page("p", [], [Section("s", [table])], tmp_path)
    assert "| x\\|y |" in table.to_markdown()
    assert table.to_markdown() in markdown.read_text()
    text = html.read_text()
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "a &lt; b" in text
    assert "1 &amp; 2" in text


def test_nothing_to_summarise_is_an_error():
    with pytest.raises(Exception, match="data point"):
        mean_text([])
