"""The map of readings: which runs it consists of, and which of them go on."""

from __future__ import annotations

import dataclasses

import pytest

import lrpilot
from benchmarks import readings
from lrpilot import InvalidArgument
from lrpilot.experiments.runs.store import Store
from made_up import result

AXES = {"initialisation": ("small",), "discount": (0.99, 0.95, 0.9, 0.5)}
RUNGS = (readings.Rung(1, 1.0, ("m0", "m1")), readings.Rung(3, 0.5, ("m0", "m1", "m2")))


@pytest.fixture
def study(tmp_path):
    return readings.Study(("m0", "m1", "m2"), 60, Store(tmp_path), AXES, RUNGS)


def learners(trials):
    return [trial for trial in trials if trial.method == "online-paper"]


def make(study, error):
    for trial in study.store.missing(study.plan()):
        study.store.save(result(trial=trial, errors=(50.0, 50.0, error(trial))))


def test_every_combination_is_a_setting():
    made = readings.Study(("m0",), 60, Store("nowhere")).readings()
    assert len(made) == len({tuple(each.items()) for each in made}) == 256
    settings = {dataclasses.replace(lrpilot.PAPER, **each).name for each in made}
    assert len(settings) == 256


def test_no_two_tasks_share_a_seed_and_all_methods_on_one_do(study):
    seeds = {task: {trial.seed for trial in study.plan() if trial.task == task} for task in ("m0", "m1")}
    assert seeds == {"m0": {100}, "m1": {200}}


def test_the_better_half_goes_on_by_validation_on_all_tasks_together(study):
    assert len(learners(study.plan())) == 8
    # 0.95 is best on M0, yet so bad on M1 that 0.9 and 0.5 are better on the whole; ratios count, not differences
    errors = {0.99: (9.0, 9.0), 0.95: (1.0, 90.0), 0.9: (8.0, 4.0), 0.5: (4.0, 9.0)}
    make(study, lambda trial: errors.get(trial.setting.get("discount"), (7, 7))[trial.task == "m1"])
    more = learners(study.store.missing(study.plan()))
    assert {trial.setting["discount"] for trial in more} == {0.9, 0.5}
    assert {trial.seed for trial in more if trial.task == "m1"} == {201, 202}
    assert {trial.seed for trial in more if trial.task == "m2"} == {300, 301, 302}
    make(study, lambda trial: 99.0)  # as bad as it may turn out: who goes on was decided
    assert not study.store.missing(study.plan())


def test_a_table_has_the_references_and_then_the_readings_best_first(study):
    make(study, lambda trial: 10.0 * trial.setting.get("discount", 0.3))
    rows = study.table("m0").rows
    assert study.table("m0").note.endswith("The same in all: initialisation=small.")
    assert [row[0].split(",")[0] for row in rows[:6]] == ["sgd"] * 5 + ["frozen-paper"]
    assert [row[0] for row in rows[6:]] == [f"discount={discount:g}" for discount in (0.5, 0.9, 0.95, 0.99)]
    assert rows[6][1:] == ["5.00", "5.00", "5.00", "0.1 to 0.1", "1"]


def test_the_rates_that_came_down_are_counted(tmp_path):
    axes = {"critic_activation": ("relu", "tanh"), "critic_batch": ("own",)}
    study = readings.Study(
        ("m0",), 60, Store(tmp_path), axes | {"initialisation": ("small",)}, (readings.Rung(2, 1.0, ("m0",)),)
    )
    rates = {"relu": [0.1, 2.0], "tanh": [1.0, 0.0999]}
    for trial in study.store.missing(study.plan()):
        made = result(trial=trial)
        made.curve["rate"][:] = rates.get(trial.setting.get("critic_activation"), [0.1, 0.1])
        study.store.save(made)
    relu, tanh = study.endings().rows
    assert relu == ["relu", "x_i", "2", "2", "50 %", "0"]
    assert tanh == ["tanh", "x_i", "2", "1", "0 %", "2"]


def test_an_axis_is_narrowed():
    axes = readings.narrowed(["unroll=chunk", "discount=0.99,0.9"])
    assert (axes["unroll"], axes["discount"]) == (["chunk"], [0.99, 0.9])
    assert axes["critic_batch"] == readings.AXES["critic_batch"]
    with pytest.raises(InvalidArgument, match="--fix must be NAME=VALUE"):
        readings.narrowed(["unrol=chunk"])
