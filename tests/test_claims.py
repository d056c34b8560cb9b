"""Each claim on results whose verdict is known."""

import pytest

from lrpilot.experiments.report import claims
from lrpilot.experiments.report.claims import CLAIMS, verdicts
from lrpilot.experiments.studies.frame import frame
from made_up import result, trial

SEEDS = 3
SPREAD = (0.99, 1.0, 1.01)  # of the errors over seeds


def runs(experiment, task, errors, *, steps=40, setting=None, status="finished"):
    """Of each method three runs around an error."""
    return [
        result(
            status,
            trial=trial(experiment=experiment, task=task, method=method, seed=seed, steps=steps, setting=setting or {}),
            errors=(9, 4, error * SPREAD[seed]),
        )
        for method, error in errors.items()
        for seed in range(SEEDS)
    ]


def rows(*results):
    return {(row[0], row[1]): row[2:] for row in verdicts(frame(run for each in results for run in each)).rows}


BASELINES = {"sgd": 4.0, "adam": 3.0, "adagrad": 4.0, "rmsprop": 2.9}


def test_nothing_is_said_without_results():
    assert rows([]) == {}


def test_nothing_is_said_before_every_rival_has_run():
    some = {name: error for name, error in BASELINES.items() if name != "adam"}
    assert rows(runs("table1", "mnist-cnn", {**some, "online-paper": 1.0})) == {}


def test_the_lowest_error_is_below_the_best_rivals():
    found = rows(runs("table1", "mnist-cnn", {**BASELINES, "online-paper": 3.5, "online-stable": 2.5}))
    assert found["the lowest test error, MNIST CNN", "Table 1"] == [
        "40 steps",
        "does not hold: 3.50% against 2.90% (RMSprop), 1.21x [1.21, 1.21]",
        "holds: 2.50% against 2.90% (RMSprop), 0.86x [0.86, 0.86]",
    ]


def test_rivals_of_later_years_do_not_count_against_the_paper():
    found = rows(runs("table1", "mnist-cnn", {**BASELINES, "online-paper": 2.5, "schedule-free-sgd": 1.0}))
    assert found["the lowest test error, MNIST CNN", "Table 1"][1:] == [
        "holds: 2.50% against 2.90% (RMSprop), 0.86x [0.86, 0.86]",
        claims.UNKNOWN,
    ]


def test_what_is_learned_must_beat_the_better_control():
    errors = {"online-paper": 2.0, "frozen-paper": 2.5, "mean-rate-paper": 2.2}
    errors |= {"online-stable": 2.0, "frozen-stable": 2.5, "mean-rate-stable": 1.9}
    (paper, stable) = next(
        found[1:] for (claim, _), found in rows(runs("table3", "m1", errors)).items() if "M1" in claim
    )
    assert paper.startswith("holds: 2.00% against 2.20% (SGD at the mean rate of paper)")
    assert stable.startswith("does not hold: 2.00% against 1.90%")


def test_what_is_learned_over_runs_is_held_against_the_actor_that_the_study_began_with():
    errors = {"offline-paper": 2.0, "untrained-offline-paper": 1.9, "mean-rate-offline-paper": 2.5}
    found = rows(runs("appendix", "mnist-cnn", errors))
    ((claim, _),) = found
    assert claim.startswith("(implied) what is learned over runs matters")
    assert found[claim, ""][1].startswith("does not hold: 2.00% against 1.90% (untrained actor, offline, paper)")


@pytest.mark.parametrize(
    ("worst", "status", "verdict"),
    [
        (4.3, "finished", "holds: 4.30% against 4.00% (SGD), 1.07x"),
        (4.4, "finished", "undecided"),  # 1.1x, the limit itself
        (4.5, "finished", "does not hold"),
        (4.0, "diverged", "does not hold: test error 90.00% against 4.00% (SGD); collapsed: 3 of 3 runs"),
    ],
)
def test_a_learned_rate_is_sound_if_its_worst_start_is(worst, status, verdict):
    constant = runs("table3", "m1", {"sgd": 4.0}, setting={"lr": 0.1})
    bad = runs("start", "m1", {"online-stable": worst}, setting={"lr": 1e-4}, status=status)
    good = runs("start", "m1", {"online-stable": 2.0}, setting={"lr": 0.1})
    if worst == 4.4:
        bad[0].evaluations["test_error"][-1] *= 1.01  # pairs that differ, about the limit
        bad[2].evaluations["test_error"][-1] /= 1.01
    (found,) = rows(constant, bad, good).values()
    assert found[1] == claims.UNKNOWN
    assert found[2].startswith(verdict)


def rise(made, factor):
    """The last test loss as a multiple of the least."""
    for run in made:
        run.evaluations["test_loss"][:] = [0.5, 0.2, 0.2 * factor * SPREAD[run.trial.seed]]
    return made


@pytest.mark.parametrize(
    ("steps", "verdict"),
    [
        (4999, "undecided: 4,999 steps are fewer than the paper's 5,000; test loss ends at 1.10x its least against"),
        (5000, "holds: test loss ends at 1.10x its least against 1.50x (SGD), 0.73x"),
    ],
)
def test_overfitting_is_a_test_loss_that_rises_again_and_short_runs_do_not_tell(steps, verdict):
    parts = [rise(runs("figure4", "cifar10-cnn", {name: 40.0}, steps=steps), 1.5) for name in BASELINES]
    parts.append(rise(runs("figure4", "cifar10-cnn", {"online-stable": 40.0}, steps=steps), 1.1))
    (found,) = rows(*parts).values()
    assert found[0] == f"{steps:,} steps"
    assert found[2].startswith(verdict)


def test_convergence_is_the_mean_training_loss():
    made = runs("table1", "mnist-cnn", {**dict.fromkeys(BASELINES, 3.0), "online-paper": 3.0, "online-stable": 3.0})
    losses = {"adam": [1.0, 0.6], "online-stable": [1.0, 0.7]}
    for run in made:
        run.curve["train_loss"] = [loss * SPREAD[run.trial.seed] for loss in losses.get(run.trial.method, [1.2, 1.0])]
    _, paper, stable = next(found for key, found in rows(made).items() if key[1] == "Figure 2")
    assert paper.startswith("does not hold: mean training loss 1.100 against 0.800 (Adam), 1.38x")
    assert stable.startswith("holds: mean training loss 0.850 against 0.800 (Adam), 1.06x")


def test_the_other_batch_and_the_offline_version_stand_beside_their_opposites():
    other = runs("figure4", "cifar10-cnn", {"online-paper": 30.0, "online-stable": 30.0})
    same = runs("figure6", "cifar10-cnn", {"online-paper": 20.0, "online-stable": 90.0})
    study = runs("appendix", "mnist-cnn", {"offline-paper": 2.0, "offline-stable": 2.0})
    online = runs("table1", "mnist-cnn", {"online-paper": 3.0, "online-stable": 90.0})
    found = rows(other, same, study, online)
    figure6, appendix = (next(found[key] for key in found if key[1] == place) for place in ("Figure 6", "appendix"))
    assert figure6[1].startswith("does not hold: 30.00% against 20.00%")
    assert appendix[1].startswith("holds: 2.00% against 3.00%")
    assert figure6[2].startswith("undecided: test error 30.00% against 90.00%")  # no better than a collapsed run
    assert appendix[2].startswith("undecided: test error 2.00% against 90.00%")


def test_nothing_that_the_papers_text_does_not_say_is_judged():
    assert not [claim for claim in CLAIMS if claim.place == "Figure 5"]
    assert {claim.place for claim in CLAIMS if claim.steps > 1} == {"Figure 4"}
    assert not [claim.statement for claim in CLAIMS if "accuracy" in claim.statement]
