"""Which runs an experiment consists of, as results come in."""

from collections import Counter
from dataclasses import replace

import pytest

from lrpilot.errors import InvalidArgument
from lrpilot.experiments.runs.methods import GRIDS, METHODS, OPPONENTS, SEARCHES
from lrpilot.experiments.runs.store import Store
from lrpilot.experiments.studies.catalogue import EXPERIMENTS, with_needs
from lrpilot.experiments.studies.plans import found, mean_values
from lrpilot.experiments.studies.profiles import LONG, PAPER, PROFILES, QUICK
from made_up import result

BEST_BY_TEST, BEST_BY_VALIDATION = 0.01, 0.1


def pretend(trial):
    """A result whose best rate is one by test error and another by validation error; controllers run at 0.25."""
    rate = trial.setting.get("lr", 1.0)
    made = result(trial=trial, errors=(9.0, 9.0, 2.0 if rate == BEST_BY_TEST else 3.0 + trial.seed))
    made.evaluations["validation_error"][-1] = 1.0 if rate == BEST_BY_VALIDATION else 2.0
    made.curve["rate"][:] = [0.2, 0.3]
    return made


def complete(name, profile, store):
    """Pretend to make all runs of an experiment; returns how many each round added."""
    rounds = []
    while missing := store.missing(EXPERIMENTS[name].plan(profile, store)):
        rounds.append(missing)
        for trial in missing:
            store.save(pretend(trial))
    return rounds


def test_screening_gives_further_seeds_to_the_chosen_settings(tmp_path):
    first, second = complete("table1", QUICK, Store(tmp_path))
    grid = [trial for trial in first if trial.method == "sgd"]
    assert [(t.setting["lr"], t.seed) for t in grid] == [(rate, 0) for rate in QUICK.rates]
    assert Counter(t.seed for t in first if t.method == "prodigy") == {0: 1, 1: 1, 2: 1}
    further = {(t.setting["lr"], t.seed) for t in second if t.method == "sgd"}
    assert further == {(rate, seed) for rate in (BEST_BY_TEST, BEST_BY_VALIDATION) for seed in (1, 2)}
    assert {t.steps for t in first + second} == {2000}


def test_without_screening_every_seed_tries_the_grid(tmp_path):
    first, second = complete("table2", PAPER, Store(tmp_path))
    assert Counter(t.setting["lr"] for t in first if t.method == "adam") == dict.fromkeys(PAPER.rates, 5)
    assert {t.method for t in second} == {"mean-rate-paper", "mean-rate-stable"}


def test_a_task_whose_settings_another_profile_has_chosen_tries_no_other(tmp_path):
    quick, long = Store(tmp_path / "quick"), Store(tmp_path / "long")
    with pytest.raises(InvalidArgument, match="lrpilot reproduce table1 --profile quick first, got 'long'"):
        EXPERIMENTS["table1"].plan(LONG, long)
    complete("table1", QUICK, quick)
    first, controls = complete("table1", LONG, long)
    assert [(t.setting["lr"], t.seed) for t in first if t.method == "sgd"] == [
        (BEST_BY_VALIDATION, n) for n in range(3)
    ]
    assert len(first) == 3 * len({t.method for t in first})
    assert {(t.steps, t.validation) for t in first + controls} == {(20_000, 0)}
    assert {t.method for t in controls} == {"mean-rate-paper", "mean-rate-stable"}


def test_controls_run_at_the_controllers_mean_rate(tmp_path):
    _, second = complete("table1", QUICK, Store(tmp_path))
    controls = [t for t in second if t.method.startswith("mean-rate")]
    assert {(t.method, t.setting["lr"]) for t in controls} == {("mean-rate-paper", 0.25), ("mean-rate-stable", 0.25)}
    assert {t.seed for t in controls} == {0, 1, 2}


def test_mean_rate_weighs_intervals_by_their_steps():
    one = result()
    one.curve["step"][:] = [10, 40]
    one.curve["rate"][:] = [0.1, 0.3]
    assert mean_values([one])["rate"] == pytest.approx(0.25)  # (10 * 0.1 + 30 * 0.3) / 40
    assert mean_values([one, result("diverged")])["rate"] == pytest.approx(0.25)
    assert mean_values([result("diverged")]) == {}


def test_a_fifth_of_the_data_runs_at_the_rates_that_table_2_chose(tmp_path):
    store = Store(tmp_path)
    complete("table2", QUICK, store)
    (runs,) = complete("figure4", QUICK, store)
    assert {t.fraction for t in runs} == {0.2}
    assert {t.setting["lr"] for t in runs if t.method in ("sgd", "adam", "adagrad", "rmsprop")} == {BEST_BY_TEST}
    (same,) = complete("figure6", QUICK, store)
    assert {t.setting["actor_batch"] for t in same} == {"same"}
    assert {t.fraction for t in same} == {0.2}


@pytest.mark.integration
@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_every_plan_ends_and_no_two_trials_share_a_name(profile, tmp_path):
    store = Store(tmp_path / profile.name)
    names = []
    for name in with_needs(EXPERIMENTS):
        for chooses in {size.chosen_by for size in profile.sizes.values() if size.chosen_by}:
            complete(name, PROFILES[chooses], Store(tmp_path / chooses))
        made = complete(name, profile, store)
        names += [trial.name for each in made for trial in each]
        assert len(found(store, EXPERIMENTS[name].plan(profile, store))) == sum(map(len, made))
    assert len(names) == len(set(names))
    elsewhere = {"pilot-refined", "cosine", "untrained", *GRIDS, *SEARCHES, *OPPONENTS}
    assert {name.split("/")[2] for name in names} == set(METHODS) - elsewhere


def test_needs_come_first_and_once():
    order = with_needs(["figure6", "figure2", "table2"])
    assert order == ["table2", "figure4", "figure6", "table1", "figure2"]


def test_the_papers_sizes():
    sizes = PAPER.sizes
    assert (sizes["mnist-cnn"].steps, sizes["cifar10-cnn"].steps, sizes["m1"].batch_size) == (20_000, 10_000, 1)
    assert PAPER.rates == (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    six_epochs = 6 * 60_000
    assert sizes["m2"].steps == six_epochs
    assert QUICK.sizes["m2"].steps * QUICK.sizes["m2"].batch_size == six_epochs
    assert replace(QUICK.sizes["m0"], repeats=2).seeds == range(2)
