"""The metrics against values computed by hand, and the suite's and the comparisons' tables from made-up runs."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from lrpilot.experiments.report import metrics
from lrpilot.experiments.report.conclusions import in_short, on_the_suite
from lrpilot.experiments.report.report import update_readme
from lrpilot.experiments.report.standing import Way
from lrpilot.experiments.report.suite import by_task, compared_rows, overall, profiles, sections, suite_rows
from lrpilot.experiments.runs.store import Store
from lrpilot.experiments.studies.comparison import Comparison
from lrpilot.experiments.studies.suite import trials
from made_up import result

NATURAL = math.log


def test_sensitivity_is_the_mean_capped_loss_less_the_best():
    """(0.5 + 1.0 + 2.3) / 3 - 0.4, the infinite one counting as untrained."""
    losses = np.array([[0.5], [1.0], [math.inf]])
    assert metrics.sensitivity(losses, 2.3, 0.4) == pytest.approx(3.8 / 3 - 0.4)


def test_log_regret_pairs_seeds_and_caps_both():
    regret = metrics.log_regret(np.array([[0.5, math.inf]]), np.array([1.0, 4.0]), 2.0)
    floor = metrics.FLOOR * 2.0
    assert regret.tolist() == [[pytest.approx(NATURAL((0.5 + floor) / (1.0 + floor))), 0.0]]


def test_the_interquartile_mean_leaves_out_a_quarter_at_each_end_of_all_tasks_together():
    tasks = [np.array([[-100.0, 1.0], [2.0, 3.0]]), np.array([[4.0, 5.0], [6.0, 1000.0]])]
    assert metrics.interquartile_mean(tasks) == pytest.approx((2 + 3 + 4 + 5) / 4)


def test_a_task_with_fewer_seeds_weighs_as_much_as_the_others():
    """Of 1, 2, 3, 10, 10, 10 the middle four."""
    tasks = [np.array([[10.0]]), np.array([[1.0, 2.0, 3.0]])]
    assert metrics.interquartile_mean(tasks) == pytest.approx((2 + 3 + 10 + 10) / 4)
    ends = (1 + 1 + 10 + 10) / 4, (3 + 3 + 10 + 10) / 4  # all three seeds alike in 1 of 27 draws each
    assert metrics.bootstrap(tasks) == pytest.approx(ends)


def test_the_bootstrap_draws_seeds_within_tasks():
    same = [np.array([[1.0, 1.0]]), np.array([[3.0, 3.0]])]
    assert metrics.bootstrap(same) == (2.0, 2.0)  # the strata keep both tasks in every draw
    low, high = metrics.bootstrap([np.array([[0.0, 1.0]] * 3)])  # both seeds alike in a quarter of the draws each
    assert (low, high) == (0.0, 1.0)
    assert metrics.bootstrap([np.array([[1.0]])]) is None


def test_tasks_can_be_drawn_anew_too():
    """Both of one task in a quarter of the draws each; of one task the same as the draw of its seeds."""
    assert metrics.bootstrap_over_tasks([np.array([[1.0, 1.0]]), np.array([[3.0, 3.0]])]) == (1.0, 3.0)
    assert metrics.bootstrap_over_tasks([np.array([[0.0, 1.0]] * 3)]) == (0.0, 1.0)
    summary = metrics.Summary.of([(np.array([[level, level]]), np.array([1.0, 1.0]), 9.0) for level in (1.0, 3.0)])
    assert summary is not None
    assert summary.over_tasks == "[1.00, 2.98]"  # (3 + 0.009) / (1 + 0.009)


def test_shares_are_of_starts_by_their_means():
    mine = [np.array([[1.0, 3.0], [2.0, 2.1]]), np.array([[math.inf, 1.0]])]
    theirs = [np.array([2.0, 2.0]), np.array([5.0, 5.0])]
    assert metrics.share_at_or_below(mine, theirs) == pytest.approx(1 / 3)


def test_a_profile_weighs_every_task_the_same():
    shares = metrics.profile([np.array([[0.0, 1.0]]), np.array([[0.5], [0.5], [0.5]])], [0.0, 0.7, 1.0])
    assert shares.tolist() == [0.25, 0.75, 1.0]


LOSSES = {"pilot": 0.5, "constant": 1.0, "cosine": 0.8, "prodigy": 0.6, "dog": 0.4, "untrained": 2.0, "range-test": 1.5}


def pretend(trial):
    """Losses by method; the lowest start is at the untrained level; validation prefers Prodigy to DoG."""
    loss = LOSSES[trial.method] if trial.setting.get("lr") != 1e-4 or trial.method == "pilot" else 2.0
    made = result(trial=trial, errors=(9.0, 9.0, 10 * loss))
    made.evaluations["test_loss"][-1] = loss
    made.evaluations["validation_loss"][-1] = 0.1 if trial.method == "prodigy" else loss
    return replace(made, earlier={"seconds": [0.5], "test_error": [1.0]} if trial.method == "range-test" else {})


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path)
    made.save(*map(pretend, trials(tasks=["two-moons", "sgd-long"], methods=list(LOSSES), seeds=2)))
    return made


def cells(table, name):
    return dict(zip(table.header, next(row for row in table.rows if row[0] == name), strict=True))


def test_the_suites_table(store):
    table = overall("x", suite_rows(store))
    assert [row[0] for row in table.rows][:3] == ["pilot", "constant rate", "constant rate, best of its rates"]
    pilot, constant = cells(table, "pilot"), cells(table, "constant rate")
    assert pilot["LR sensitivity, nats"] == "0.100"  # 0.5 less DoG's 0.4
    assert constant["LR sensitivity, nats"] == "0.800"  # (4 * 1.0 + 2.0) / 5 - 0.4
    against = NATURAL((0.5 + 0.002) / (1.0 + 0.002))
    assert pilot["log-regret to best constant"] == f"{against:+.3f} [{against:+.3f}, {against:+.3f}]"
    peer = NATURAL((0.5 + 0.002) / (0.6 + 0.002))  # the best peer on validation, not on the test set
    assert pilot["log-regret to best peer"].startswith(f"{peer:+.3f}")
    assert pilot["starts at or below constant / cosine / peer, %"] == "100 / 100 / 100"
    assert constant["starts at or below constant / cosine / peer, %"] == "80 / 0 / 0"
    searched = cells(table, "constant rate, best of its rates")
    assert (searched["runs"], searched["time"], searched["LR sensitivity, nats"]) == ("5", "5.00", "0.600")
    tested = cells(table, "range test, one-cycle")
    assert tested["time"] == "1.50"
    assert tested["runs"] == f"{1 + (100 / 300 + 100 / 12_000) / 2:.3g}"


@pytest.fixture
def few_draws(monkeypatch):
    """Of the bootstrap, for runs that are all alike."""
    monkeypatch.setattr(metrics, "DRAWS", 20)


@pytest.mark.usefixtures("few_draws")
def test_the_suite_in_words(store):
    text = on_the_suite(store)
    assert "**On 2 tasks on which no policy was chosen** ([the suite](docs/suite.md), 2 seeds; one rule" in text
    constant, cosine, peer = ((0.5 + 0.002) / (other + 0.002) for other in (1.0, 0.8, 0.6))
    for factor in (constant, cosine, peer):  # the peer is the best on validation
        assert f"{factor:.2f}x [{factor:.2f}, {factor:.2f}]" in text
    alone = (0.4 + 0.002) / (0.8 + 0.002)
    assert f"The best single one, DoG, ends at {alone:.2f}x" in text
    assert "the best cosine's loss, 0 nats above the lowest" in text  # it is the lowest
    assert "its test loss is 0.1 nats above the lowest that any method reached; that of a constant rate 0.8" in text
    assert "50 % of the pilot's is `" in text  # of two tasks alike
    assert "From its worst start it is above the best constant rate on 0 of 2 tasks, above the best cosine on 0" in text
    assert "and above the best of 3 optimizers and searches that need no rate on 0. Against" in text
    assert "0 % of its starts are above it" in text
    assert on_the_suite(Store(store.root / "elsewhere")) == ""


@pytest.mark.usefixtures("few_draws")
def test_in_short_the_suite_and_what_was_compared(store):
    assert in_short(store) == ""  # without comparisons
    store.save(*map(pretend, Comparison.of("m1", seeds=2, methods=[*LOSSES]).trials()))
    text = in_short(store)
    constant, cosine = ((0.5 + 0.002) / (other + 0.002) for other in (1.0, 0.8))
    assert (
        f"typically ends at {constant:.2f}x the test loss of the best of five constant rates and {cosine:.2f}x" in text
    )
    assert "its test loss is 0.1 nats above the lowest of any method; a constant rate's is 0.8, a cosine's 0.64" in text
    assert "above the best constant rate on 0 of the 2 tasks, the best cosine on 0 and the best of 3 rate-free" in text
    assert "The largest network compared has 95,410 weights, the longest run 12,000 steps." in text


def test_a_row_a_task(store):
    table = by_task("x", suite_rows(store))
    assert table.rows == [
        [name, "2.000", "0.500", "0.500", "0.100", "1.000", "0.800", "0.600"] for name in ("sgd-long", "two-moons")
    ]


def test_another_policys_pilot_is_not_the_one_that_is_judged(store):
    one = next(trial for trial in trials(tasks=["two-moons"], methods=["pilot"], seeds=1))
    store.save(result(trial=replace(one, setting={**one.setting, "policy": "0123456789ab"})))
    (_, moons) = suite_rows(store)
    assert len(moons.way(Way("pilot", searched=False))) == 5


def test_the_profile_draws_a_line_a_way(store):
    picture = profiles("suite", suite_rows(store))
    panels = [{line.get_label(): line.get_ydata() for line in axes.lines} for axes in picture.figure.axes]
    grids, own_rate = {"pilot", "constant rate", "cosine"}, {"pilot", "range test, one-cycle", "Prodigy", "DoG"}
    assert [panel.keys() for panel in panels] == [grids, grids, own_rate]
    lines = {**panels[2], **panels[0]}
    assert lines["DoG"][0] == 1.0
    assert lines["pilot"][0] == 0.0
    assert lines["pilot"][-1] == 1.0
    assert lines["constant rate"][-1] == pytest.approx(0.8)
    assert picture.png.startswith(b"\x89PNG")


def test_what_was_not_run_is_a_dash(tmp_path):
    store = Store(tmp_path)
    store.save(*map(pretend, trials(tasks=["two-moons"], methods=["pilot"], seeds=1)))
    rows = suite_rows(store)
    assert by_task("x", rows).rows == [["two-moons", "nan", "0.500", "0.500", "-", "-", "-", "-"]]
    assert cells(overall("x", rows), "pilot")["log-regret to best constant"] == "-"


def test_the_same_over_comparisons(tmp_path):
    store = Store(tmp_path / "results")
    comparison = Comparison.of("m1", seeds=2, methods=[*LOSSES])
    store.save(*map(pretend, comparison.trials()))
    (row,) = compared_rows(store, "test_loss")
    assert (row.title, row.untrained) == ("m1, sgd, 12,000 steps", 2.0)
    assert cells(overall("x", [row]), "pilot")["LR sensitivity, nats"] == "0.100"
    peer = NATURAL((0.5 + 0.002) / (0.4 + 0.002))  # no validation set: the best peer by the measure itself
    assert cells(overall("x", [row]), "pilot")["log-regret to best peer"].startswith(f"{peer:+.3f}")
    (by_error,) = compared_rows(store, "test_error")
    assert by_error.untrained == 20.0
    assert [section.title for section in sections(store)] == ["Over all comparisons"]


def test_the_parts_of_a_page(store, tmp_path):
    page = tmp_path / "docs" / "suite.md"
    page.parent.mkdir()
    page.write_text("<!-- suite:begin -->\n<!-- suite:end -->\n<!-- compared:begin -->\nkept\n<!-- compared:end -->\n")
    update_readme(page, None, compared=store)
    text = page.read_text()
    assert "| pilot | 0.100 |" in text
    assert "](../suite.png)" in text
    assert "kept" in text
