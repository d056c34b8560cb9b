"""Each claim on results whose verdict is known."""

import math

import pytest

from lrpilot.experiments.report import claims
from lrpilot.experiments.report.evidence import Evidence
from lrpilot.experiments.runs.store import Store
from lrpilot.experiments.studies.catalogue import EXPERIMENTS
from lrpilot.experiments.studies.profiles import SMOKE
from made_up import result


def rows(store):
    return {(row[0], row[1]): row[2:] for row in claims.verdicts(Evidence.load(SMOKE, store).runs).rows}


@pytest.fixture
def fill(tmp_path):
    """Makes all runs of some experiments, with what a function of the trial says, and gives the verdicts."""
    store = Store(tmp_path)

    def filled(make, *experiments):
        for name in experiments:
            while missing := store.missing(EXPERIMENTS[name].plan(SMOKE, store)):
                for trial in missing:
                    store.save(make(trial))
        return rows(store)

    return filled


def with_error(errors, otherwise=3.0):
    def make(trial):
        return result(trial=trial, errors=(9, 4, errors.get(trial.method, otherwise)))

    return make


def test_nothing_is_said_without_results(tmp_path):
    assert rows(Store(tmp_path)) == {}


def test_the_lowest_error_is_the_least_mean_of_all(fill):
    found = fill(with_error({"online-paper": 3.5, "online-stable": 2.5, "rmsprop": 2.9}), "table1")
    assert found["the lowest test error, MNIST CNN", "Table 1"] == [
        "does not hold: 3.50% against 2.90% (RMSprop)",
        "holds: 2.50% against 2.90% (RMSprop)",
    ]


def test_rivals_of_later_years_do_not_count_against_the_paper(fill):
    found = fill(with_error({"online-paper": 2.5, "schedule-free-sgd": 1.0}), "table1")
    assert found["the lowest test error, MNIST CNN", "Table 1"][0].startswith("holds")


def test_what_is_learned_must_beat_both_controls(fill):
    errors = {"online-paper": 2.0, "frozen-paper": 2.5, "mean-rate-paper": 2.2}
    errors |= {"online-stable": 2.0, "frozen-stable": 2.5, "mean-rate-stable": 1.9}
    (paper, stable) = next(
        found for (claim, _), found in fill(with_error(errors), "table1").items() if "both controls" in claim
    )
    assert paper.startswith("holds: 2.00%; its untrained actor 2.50%")
    assert stable.startswith("does not hold")


@pytest.mark.parametrize(
    ("worst", "status", "verdict"),
    [
        (
            4.3,
            "finished",
            "holds: from the worst of 2 starts 4.30%, the best constant rate 4.00%; the worst of 2 runs 4.30%, 0 diver",
        ),
        (4.5, "finished", "does not hold"),
        (4.0, "diverged", "does not hold"),
    ],
)
def test_a_learned_rate_is_sound_if_its_worst_start_is_and_nothing_diverges(fill, worst, status, verdict):
    def make(trial):
        lowest = "start" in trial.experiment and trial.setting["lr"] == min(SMOKE.rates)
        error = worst if lowest else 4.0 if trial.method == "sgd" else 3.0
        return result(status=status if lowest else "finished", trial=trial, errors=(9, 4, error))

    found = fill(make, "table3", "start")
    paper, stable = found["(ours) sound from any starting rate: within 1.1x the best constant rate's error, M1", ""]
    assert paper == claims.UNKNOWN
    assert stable.startswith(verdict)


def test_overfitting_is_a_test_loss_that_rises_again(fill):
    def make(trial):
        one = result(trial=trial)
        rises = {"sgd": (0.5, 0.2, 0.4), "online-stable": (0.5, 0.2, 0.4)}.get(trial.method, (0.5, 0.3, 0.2))
        one.evaluations["test_loss"][:] = rises
        return one

    found = fill(make, "table2", "figure4")
    paper, stable = next(found[key] for key in found if key[1] == "Figure 4")
    assert paper.startswith("holds: test loss ends at 1.00x its least; SGD 2.00x")
    assert stable.startswith("does not hold: test loss ends at 2.00x its least")


def test_a_run_that_diverged_has_not_been_kept_from_overfitting(fill):
    def make(trial):
        one = result(status="diverged" if trial.method == "online-paper" else "finished", trial=trial)
        one.evaluations["test_loss"][:] = [math.nan] * 3 if one.status == "diverged" else [0.5, 0.2, 0.4]
        return one

    found = fill(make, "table2", "figure4")
    paper, _ = next(found[key] for key in found if key[1] == "Figure 4")
    assert paper.startswith("does not hold: test loss ends at infx its least")


def test_convergence_is_the_mean_training_loss(fill):
    def make(trial):
        one = result(trial=trial)
        one.curve["train_loss"] = {"adam": [1.0, 0.6], "online-stable": [1.0, 0.7]}.get(trial.method, [1.2, 1.0])
        return one

    paper, stable = next(found for key, found in fill(make, "table1").items() if key[1] == "Figure 2")
    assert paper == "does not hold: mean training loss 1.100, the best baseline's 0.800"
    assert stable.startswith("holds: mean training loss 0.850")


def test_the_range_of_rates_is_that_of_every_run(fill):
    def make(trial):
        one = result(trial=trial)
        one.curve["rate"] = [0.02, 0.05 if trial.method == "online-stable" else 0.06]
        return one

    paper, stable = fill(make, "table2")["the learned rate stays between 0.01 and 0.055 on CIFAR-10", "Figure 5"]
    assert paper == "does not hold: between 0.02 and 0.06 in 1 runs"
    assert stable == "holds: between 0.02 and 0.05 in 1 runs"


def test_the_other_batch_and_the_offline_version_stand_beside_their_opposites(fill):
    def make(trial):
        better = trial.method.startswith("offline") or trial.setting.get("actor_batch") == "same"
        return result(trial=trial, errors=(9, 4, 2.0 if better else 3.0))

    found = fill(make, "table1", "table2", "figure4", "figure6", "appendix")
    (figure6,) = (found[key] for key in found if key[1] == "Figure 6")
    assert figure6 == ["does not hold: test error 3.00% with another batch, 2.00% with the same"] * 2
    offline = [found[key] for key in found if key[1] == "appendix"]
    assert offline == [["holds: 2.00% offline, 3.00% online"] * 2] * 2
