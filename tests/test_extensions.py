"""The experiments on the paper's future work: from the runs to the table."""

from __future__ import annotations

import dataclasses

import pytest

from lrpilot.experiments.report import studies
from lrpilot.experiments.runs.methods import EXTENSIONS, METHODS
from lrpilot.experiments.runs.store import Store
from lrpilot.experiments.runs.training import Plan
from lrpilot.experiments.studies.catalogue import EXPERIMENTS
from lrpilot.experiments.studies.frame import frame
from lrpilot.experiments.studies.plans import mean_values
from lrpilot.experiments.studies.profiles import QUICK
from lrpilot.experiments.tasks.catalogue import load_task
from made_up import result, trial

PLAN = Plan(steps=12, batch_size=50, evaluate_every=12)


def test_learned_values_and_their_means_held() -> None:
    task = load_task("digits")
    _, start = EXTENSIONS["tensor"]
    learned = METHODS["online-tensor"].training(task, PLAN, start)
    list(learned.run())
    assert len({len(learned.controller.history[name]) for name in ("rate", "rate/1", "rate/2", "rate/3")}) == 1
    setting = {"lr": 0.1, "rate/1": 0.2, "rate/2": 0.3, "rate/3": 0.4}
    constant = METHODS["mean-tensor"].training(task, PLAN, setting)
    list(constant.run())
    assert [group["lr"] for group in constant.optimizer.param_groups] == [0.1, 0.2, 0.3, 0.4]
    momentum = METHODS["mean-momentum"].training(task, PLAN, {"lr": 0.1, "momentum": 0.75})
    assert momentum.optimizer.param_groups[0]["momentum"] == 0.75


def test_means_are_over_steps_and_of_all_that_is_decided_on() -> None:
    one = result()
    one.curve["step"][:] = [10, 40]
    more = {"rate": [0.1, 0.3], "rate/1": [1.0, 2.0], "dropout": [0.5, 0.1], "dq_da/dropout": [7.0, 7.0]}
    one = dataclasses.replace(one, curve={**one.curve, **more})
    assert mean_values([one]) == pytest.approx({"rate": 0.25, "rate/1": 1.75, "dropout": 0.2})


def test_the_plan_is_each_extension_beside_the_rate_and_both_controls(tmp_path) -> None:
    store, made = Store(tmp_path), []
    while missing := store.missing(EXPERIMENTS["extensions"].plan(QUICK, store)):
        made += missing
        for each in missing:
            one = result(trial=each)
            more = {"momentum": [0.2, 0.4]} if each.method == "online-momentum" else {}
            store.save(dataclasses.replace(one, curve={**one.curve, **more}))
    named = {(each.task, each.method) for each in made}
    assert ("m1", "online-dropout") not in named
    assert ("mnist-cnn", "mean-dropout") in named
    assert {each.setting["lr"] for each in made if each.method.startswith("mean-tensor")} == {0.1}
    (momentum,) = {each.setting_name for each in made if each.method == "mean-momentum"}
    assert momentum == "lr=0.1,momentum=0.3"


def test_differences_are_paired_by_seed() -> None:
    _, start = EXTENSIONS["momentum"]
    errors = {"online-momentum": (2.0, 3.0), "online-stable": (2.5, 3.5), "frozen-momentum": (1.0, 5.0)}
    runs = [
        result(trial=trial(method=method, setting=start, seed=seed), errors=(9.0, 9.0, error))
        for method, both in errors.items()
        for seed, error in enumerate(both)
    ]
    table = studies.beside_the_rate("M1", "momentum", frame(runs))
    assert [row[3] for row in table.rows] == ["-", "[+0.50, +0.50]", "[-18.56, +19.56]"]  # 0.5 -+ 12.706 * 1.5
    assert [row[1] for row in table.rows] == ["2.50 ± 0.71", "3.00 ± 0.71", "3.00 ± 2.83"]


def test_an_optimizer_beside_its_best_constant_rate() -> None:
    def run(method: str, rate: float, seed: int, error: float):
        setting = {"optimizer": "tf-adam", "lr": rate}
        return result(trial=trial(method=method, setting=setting, seed=seed), errors=(9.0, 9.0, error))

    runs = [run("constant", rate, seed, 1 + 100 * rate + seed) for rate in (0.01, 0.02) for seed in (0, 1)]
    runs += [run("online-stable", 0.01, seed, 2.25 + seed) for seed in (0, 1)]
    (row,) = studies.on_optimizers("M1", frame(runs)).rows
    assert row == ["tf-adam", "2.75 ± 0.71", "2", "0.01", "2.50 ± 0.71", "[+0.25, +0.25]"]
