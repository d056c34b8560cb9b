"""Every method makes a run; whatever happens in one is a result."""

import math
import subprocess

import pytest
import torch

from lrpilot.experiments.runs import lessons
from lrpilot.experiments.runs import perform as module
from lrpilot.experiments.runs.methods import METHODS, SEARCHES, Method, only
from lrpilot.experiments.runs.perform import commit, perform
from lrpilot.online.offline import OfflineActorCritic
from made_up import trial

OFFLINE = {"offline-paper", "offline-stable"}
REFINED = {"pilot-refined"}
BEGINS_LATE = {"dog", "ldog", "untrained"}  # DoG's first movements are a millionth of the weights
WATCHES_THE_NETWORK = {"vsgd-l", "vsgd-b", "vsgd-g"}  # bbprop: not for digits' ReLU
DROPOUT = {"online-dropout", "frozen-dropout", "mean-dropout"}  # digits has none
MEANS = {"mean-tensor", "mean-momentum"}  # of other runs: tests/test_extensions.py
OF_THEIR_OWN = WATCHES_THE_NETWORK | DROPOUT | MEANS | OFFLINE | REFINED | {*SEARCHES}


def digits(method, setting=None, **changes):
    if setting is None:
        setting = METHODS[method].settings([0.05])[0]
    return trial(
        method=method,
        setting=setting,
        batch_size=32,
        **{"evaluations": 4, "task": "digits", "validation": 200, "steps": 80, "seed": 0, **changes},
    )


def check_columns(result):
    assert len({len(column) for column in result.curve.values()}) == 1
    assert len({len(column) for column in result.evaluations.values()}) == 1


@pytest.mark.parametrize("method", sorted(METHODS.keys() - OF_THEIR_OWN))
def test_every_method_makes_a_run(method):
    result = perform(digits(method))
    assert (result.status, result.reason, result.steps) == ("finished", None, 80)
    check_columns(result)
    assert result.evaluations["step"] == [20, 40, 60, 80]
    assert result.curve["step"] == list(range(4, 81, 4))
    assert math.isfinite(result.final("test_loss"))
    if not method.endswith("paper") and method not in BEGINS_LATE:  # in the literal setting, 80 steps may teach nothing
        assert result.final("test_error") < 89  # of ten classes
    assert 0 < result.seconds < 60
    assert result.about["commit"]
    assert all(rate >= 0 for rate in result.curve["rate"])


@pytest.mark.integration
def test_dropout_is_driven_on_a_network_that_has_some(data):
    result = perform(digits("online-dropout", task="mnist-cnn", steps=20, evaluations=1), data)
    assert (result.status, result.reason, result.steps) == ("finished", None, 20)
    assert all(0 <= value < 1 for value in result.curve["dropout"])


@pytest.mark.parametrize("method", sorted(WATCHES_THE_NETWORK))
def test_vsgd_makes_a_run_on_mnist(method, data):
    vsgd = trial(task="m0", method=method, setting={"overestimate": 2.0}, steps=60, evaluations=1)
    result = perform(vsgd, data)
    assert result.status == "finished"
    assert result.final("test_error") < 60
    assert result.curve["rate"][-1] > 0


def test_the_same_trial_gives_the_same_run_and_another_seed_another():
    first, again, other = (perform(digits("online-stable", seed=seed)) for seed in (1, 1, 2))
    assert first.evaluations["test_loss"] == again.evaluations["test_loss"]
    assert first.curve["train_loss"] == again.curve["train_loss"]
    assert first.curve["train_loss"] != other.curve["train_loss"]


def test_an_actor_critic_logs_its_own_columns():
    result = perform(digits("online-paper"))
    check_columns(result)
    assert {"dq_da", "td_error"} <= result.curve.keys()
    assert math.isfinite(result.curve["dq_da"][-1])
    assert "dq_da" not in perform(digits("sgd")).curve


@pytest.mark.integration
@pytest.mark.parametrize("setting", ["paper", "stable"])
def test_the_control_of_an_offline_study_runs_the_very_actor_that_then_learns(setting, monkeypatch):
    actors = {}

    class Kept(OfflineActorCritic):
        def run(self, optimizer):
            weights = [weight.detach().clone() for weight in self.learner.actor.parameters()]
            actors.setdefault(method, []).append(weights)
            return super().run(optimizer)

    monkeypatch.setattr(lessons, "OfflineActorCritic", Kept)
    (untrained,) = METHODS[f"untrained-offline-{setting}"].settings([])
    both = {f"untrained-offline-{setting}": untrained, f"offline-{setting}": {**untrained, "runs": 1, "run_steps": 300}}
    results = {}
    for method, of_it in both.items():
        results[method] = perform(digits(method, of_it, seed=3))
    (frozen,), (first, taught) = actors.values()
    assert all(map(torch.equal, frozen, first))
    assert not all(map(torch.equal, frozen, taught))
    control, study = results.values()
    assert control.earlier["test_error"] == []
    assert len(study.earlier["test_error"]) == 1


def test_settings_reach_the_method():
    losses = {
        name: perform(digits("online-paper", setting)).curve["train_loss"]
        for name, setting in (("own", {}), ("same", {"actor_batch": "same"}), ("greedy", {"discount": 0.0}))
    }
    assert losses["own"] != losses["same"]
    assert losses["own"] != losses["greedy"]
    rates = perform(digits("sgd-inverse-time", {"lr": 0.5, "gamma": 1.0})).curve["rate"]
    assert rates[0] == pytest.approx(0.5 / 4)
    assert rates[-1] == pytest.approx(0.5 / 80)


def test_schedule_free_is_evaluated_at_its_average(monkeypatch):
    from contextlib import nullcontext

    from lrpilot.experiments.runs import training

    proper = perform(digits("schedule-free-sgd"))
    monkeypatch.setattr(training, "evaluation_weights", lambda _: nullcontext())
    at_training_weights = perform(digits("schedule-free-sgd"))
    # Swapping the weights back and forth costs the last digits of the training, no more.
    assert proper.curve["train_loss"] == pytest.approx(at_training_weights.curve["train_loss"], rel=1e-4)
    pairs = zip(proper.evaluations["test_loss"], at_training_weights.evaluations["test_loss"], strict=True)
    assert all(abs(a - b) > 1e-3 * b for a, b in pairs)


@pytest.mark.parametrize("method", sorted(OFFLINE))
def test_an_offline_study_makes_its_training_runs_and_one_more(method):
    result = perform(digits(method, {"runs": 3, "run_steps": 80}))
    assert (result.status, result.reason) == ("finished", None)
    assert {name: len(column) for name, column in result.earlier.items()} == {
        "test_error": 3,
        "validation_error": 3,
        "mean_rate": 3,
        "seconds": 3,
    }
    assert len(set(result.earlier["mean_rate"])) == 3
    assert result.evaluations["step"] == [20, 40, 60, 80]
    shorter = perform(digits(method, {"runs": 1, "run_steps": 80}))
    assert shorter.earlier["mean_rate"][0] == result.earlier["mean_rate"][0]
    assert shorter.curve["rate"] != result.curve["rate"]  # two more runs changed actor and critic


def test_an_offline_training_run_that_diverges_is_counted_and_the_study_goes_on():
    result = perform(digits("offline-stable", {"lr": 1e30, "runs": 2, "run_steps": 5}, steps=5))
    assert len(result.earlier["test_error"]) == 2
    assert result.status in ("finished", "diverged")


def test_a_diverged_run_is_a_result():
    result = perform(digits("sgd", {"lr": 1e30}))
    assert result.status == "diverged"
    assert "finite" in result.reason
    assert result.steps < 80
    assert result.final("test_error") == 90.0
    check_columns(result)


def test_a_crashed_run_is_a_result():
    result = perform(digits("vsgd-l"))  # a network that bbprop does not cover
    assert result.status == "failed"
    assert result.reason.startswith("InvalidArgument: network must be")
    assert "\n" not in result.reason
    assert result.final("test_error") == 90.0


def test_ctrl_c_is_not_a_result(monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_task", interrupt)
    with pytest.raises(KeyboardInterrupt):
        perform(digits("sgd"))


def test_one_thread_and_no_denormal_numbers():
    assert torch.tensor(1e-38) * 0.01 > 0
    perform(digits("sgd", steps=1))
    assert torch.get_num_threads() == 1
    assert torch.tensor(1e-38) * 0.01 == 0


@pytest.mark.integration
def test_a_refined_pilot_is_the_last_of_several_runs():
    start = {"optimizer": "sgd", "lr": 1e-3}
    refined = perform(digits("pilot-refined", {**start, "runs": 2}, validation=0))
    assert (refined.status, refined.reason, refined.steps) == ("finished", None, 80)
    check_columns(refined)
    assert [len(column) for column in refined.earlier.values()] == [2, 2, 2, 2]
    assert all(error < 89 for error in refined.earlier["validation_error"])  # held out, though the trial holds out none
    shipped, untaught = (
        perform(digits("pilot", start, validation=0)),
        perform(digits("pilot-refined", {**start, "runs": 0}, validation=0)),
    )
    assert untaught.curve["rate"] == shipped.curve["rate"]
    assert refined.curve["rate"] != shipped.curve["rate"]


def test_a_refined_pilot_refuses_a_policy_that_is_not_there():
    gone = perform(digits("pilot-refined", {"optimizer": "sgd", "lr": 0.1, "runs": 1, "policy": "0123456789ab"}))
    assert gone.status == "failed"
    assert "policy must be" in gone.reason


def test_a_method_is_one_record(monkeypatch):
    """Whatever is asked of a method by its name comes from its record: nothing else knows the names."""
    mine = Method("mine", "my optimizer", "rate-free", optimizer="adamw", settings=only({"lr": 0.01}))
    monkeypatch.setitem(METHODS, "mine", mine)
    result = perform(digits("mine"))
    assert (result.status, result.curve["rate"][-1]) == ("finished", 0.01)


def test_a_result_names_the_commit_of_the_package_whatever_else_has_changed(tmp_path):
    """Results are committed too, and change while runs are made."""

    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        return subprocess.run(
            ["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    package = tmp_path / "package"
    package.mkdir()
    assert commit(package) == "unknown"
    (package / "__init__.py").write_text("")
    (tmp_path / "results").write_text("")
    git("init")
    git("add", "results")
    git("commit", "-m", "without the package")
    assert commit(package) == "unknown"
    git("add", "package")
    git("commit", "-m", "with it")
    name = git("rev-parse", "--short", "HEAD").strip()
    (tmp_path / "results").write_text("more")
    assert commit(package) == name
    (package / "__init__.py").write_text("x = 1")
    assert commit(package) == f"{name}-dirty"
