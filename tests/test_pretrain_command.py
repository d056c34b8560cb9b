"""The command that learns a policy: what it hands on, what it shows, how it ends."""

import inspect
import os
import shlex
import signal
from functools import partial

import pytest

from lrpilot.cli import main
from lrpilot.learning import pretrain as module
from lrpilot.learning.bank import store
from lrpilot.learning.population.evaluation import EvaluationPopulation
from lrpilot.learning.pretrain import PretrainConfig
from lrpilot.pilot.policy import Policy

pytestmark = pytest.mark.integration

TINY = {
    "width": 8,
    "shortest": 20,
    "longest": 30,
    "distil_tasks": 2,
    "distil_driven": 2,
    "distil_updates": 2,
    "ppo_groups": 2,
    "ppo_tasks": 2,
    "ppo_replicas": 3,
    "ppo_epochs": 1,
}


def command(*arguments):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    return left.value.code


@pytest.fixture
def calls(monkeypatch):
    """What the command calls `pretrain` with; nothing is learned."""
    calls, signature = [], inspect.signature(module.pretrain)

    def remember(*arguments, **options):
        signature.bind(*arguments, **options)  # as the real one would
        calls.append((arguments, options))
        return "a policy"

    monkeypatch.setattr(module, "pretrain", remember)
    return calls


def test_what_is_not_given_is_as_for_the_shipped_policy(calls, tmp_path):
    assert command("pretrain", "--out", str(tmp_path)) == 0
    (((config, out), options),) = calls
    bank = store.read("results/bank.jsonl")
    assert config == PretrainConfig()
    assert (out, options["resume"], options["workers"]) == (tmp_path, False, 1)
    assert [entry.task for entry in options["bank"]] == [entry.task for entry in bank]
    assert options["commit"]


def test_budget_and_seed_reach_the_configuration(calls, tmp_path):
    given = ("--groups", "7", "--iterations", "0", "--seed", "5", "--no-mnist", "--resume")
    assert command("pretrain", "--out", str(tmp_path), *given) == 0
    (((config, _), options),) = calls
    assert (config.distil_groups, config.ppo_iterations, config.seed, config.mnist) == (7, 0, 5, False)
    assert options["resume"]


def test_ctrl_c_says_how_to_go_on(monkeypatch, tmp_path, capsys):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "pretrain", interrupt)
    assert command("pretrain", "--out", str(tmp_path)) == 130
    assert "--resume" in capsys.readouterr().out


def test_it_learns_a_little_and_says_where_the_policy_is(monkeypatch, tmp_path, capsys):
    small = partial(EvaluationPopulation, groups=1, tasks=2, shortest=20, longest=25)
    monkeypatch.setattr(EvaluationPopulation, "usual", small)
    monkeypatch.setattr(module, "PretrainConfig", lambda: PretrainConfig(**TINY))
    budget = ("--groups", "2", "--iterations", "1", "--rounds", "0", "--no-mnist")
    assert command("pretrain", "--out", str(tmp_path), *budget) == 0
    shown = capsys.readouterr().out
    assert "mean final log loss" in shown
    assert str(tmp_path / "policy.safetensors") in shown.replace("\n", "")
    policy = Policy.load(tmp_path / "policy.safetensors")
    assert policy.provenance["done"] == {"distil": 2, "ppo": 1, "bank": 0}
    assert (tmp_path / "curves.png").exists()


def test_the_bank_grows_to_what_is_asked_for(monkeypatch, tmp_path, capsys):
    out = tmp_path / "new" / "bank.jsonl"
    monkeypatch.setattr(store, "search", lambda score, usual: score(store.Schedule(usual, 0.0, 1.0, 0.0)))
    for tasks in ("1", "2", "2"):
        assert command("pretrain", "bank", "--tasks", tasks, "--out", str(out)) == 0
    assert [entry.task.index for entry in store.read(out)] == [0, 1]
    assert f"2 tasks in {out}." in capsys.readouterr().out.replace("\n", "")


def test_a_line_cut_short_by_a_kill_is_made_again_and_a_damaged_one_is_named(monkeypatch, tmp_path, capsys):
    out = tmp_path / "bank.jsonl"
    monkeypatch.setattr(store, "search", lambda score, usual: score(store.Schedule(usual, 0.0, 1.0, 0.0)))
    grow = ("pretrain", "bank", "--tasks", "2", "--out", str(out))
    assert command(*grow) == 0
    out.write_bytes(out.read_bytes()[:-30])
    assert command(*grow) == 0
    assert [entry.task.index for entry in store.read(out)] == [0, 1]
    out.write_text("{}\n" + out.read_text())
    capsys.readouterr()
    assert command(*grow) == 2
    assert capsys.readouterr().err == f"lrpilot: {out}, line 1 is no task of a bank: remove it\n"


def test_the_bank_refuses_nothing_to_do(tmp_path, capsys):
    assert command("pretrain", "bank", "--tasks", "0", "--out", str(tmp_path / "bank.jsonl")) == 2
    assert "tasks must be a whole number of at least 1, got 0" in capsys.readouterr().err


def test_a_bank_that_is_not_there_is_told_in_one_line(tmp_path, capsys):
    assert command("pretrain", "--out", str(tmp_path / "run"), "--bank", str(tmp_path / "none.jsonl")) == 2
    assert "--bank must be a file that `lrpilot pretrain bank` made, or --rounds 0" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_nothing_to_resume_and_a_folder_in_use_are_told_in_one_line(tmp_path, capsys):
    assert command("pretrain", "--out", str(tmp_path / "none"), "--no-mnist", "--resume") == 2
    assert "there is nothing to resume" in capsys.readouterr().err
    (tmp_path / "hours").mkdir()
    (tmp_path / "hours" / "curves.jsonl").write_text("{}\n")
    assert command("pretrain", "--out", str(tmp_path / "hours"), "--no-mnist") == 2
    assert "a new or an empty directory" in capsys.readouterr().err
    assert (tmp_path / "hours" / "curves.jsonl").read_text() == "{}\n"


def test_a_signal_saves_and_prints_the_command_that_goes_on(monkeypatch, tmp_path, capsys):
    small = partial(EvaluationPopulation, groups=1, tasks=2, shortest=20, longest=25)
    monkeypatch.setattr(EvaluationPopulation, "usual", small)
    monkeypatch.setattr(module, "PretrainConfig", lambda: PretrainConfig(**TINY))
    log = module.Pretraining._log

    def hang_up(self, event):
        log(self, event)
        if event["stage"] == "distil" and event["index"] == 1:
            os.kill(os.getpid(), signal.SIGHUP)

    out = tmp_path / "my policy"
    with monkeypatch.context() as patch:
        patch.setattr(module.Pretraining, "_log", hang_up)
        assert (
            command("pretrain", "--groups", "2", "--iterations", "0", "--rounds", "0", "--no-mnist", "--out", str(out))
            == 130
        )
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "Resume with: " in line]
    _, *words = shlex.split(line.partition("Resume with: ")[2])
    budget = ["--groups", "2", "--iterations", "0", "--rounds", "0", "--no-mnist"]
    assert words == ["pretrain", *budget, "--out", str(out), "--resume"]
    assert command(*words) == 0
    assert Policy.load(out / "policy.safetensors").provenance["done"]["distil"] == 2
