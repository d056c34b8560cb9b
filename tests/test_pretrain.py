from __future__ import annotations

import errno
import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lrpilot.errors import InvalidArgument, Unusable
from lrpilot.learning import stages
from lrpilot.learning.bank import store
from lrpilot.learning.population.data import load_sources
from lrpilot.learning.population.evaluation import EvaluationPopulation
from lrpilot.learning.population.rollouts import Explorer
from lrpilot.learning.population.trainings import Pool
from lrpilot.learning.pretrain import PretrainConfig, Pretraining, pretrain
from lrpilot.pilot.policy import Policy

TINY = PretrainConfig(
    mnist=False,
    width=8,
    shortest=20,
    longest=30,
    distil_groups=3,
    distil_tasks=2,
    distil_driven=2,
    distil_updates=2,
    ppo_iterations=7,
    ppo_groups=2,
    ppo_tasks=2,
    ppo_replicas=3,
    ppo_epochs=1,
    bank_rounds=0,
)


@pytest.fixture
def small_evaluation(monkeypatch):
    """The evaluation population, of two tasks, so that the test is quick."""

    def small(pool):
        return EvaluationPopulation(pool, groups=1, tasks=2, shortest=20, longest=25)

    monkeypatch.setattr(EvaluationPopulation, "usual", small)


def test_a_policy_that_has_not_changed_is_not_evaluated_again(tmp_path, monkeypatch):
    """Runs of the bank are made for many minutes before the policy learns from them."""

    class Waiting:
        name, total, done, advances = "waiting", 2, 0, 0

        def advance(self, learner):
            self.advances += 1
            self.done += self.advances % 3 == 0
            return {}

    evaluated: list[int] = []
    waiting = Waiting()
    run = Pretraining(replace(TINY, evaluate_every=0.0), tmp_path)
    monkeypatch.setattr(run, "_stages", (waiting,))
    monkeypatch.setattr(run, "evaluate", lambda: evaluated.append(waiting.advances))
    run.finish()
    assert evaluated == [3, 6, 6]  # and at the end


@pytest.mark.integration
@pytest.mark.usefixtures("small_evaluation")
def test_pretraining_ends_in_a_policy_and_resumes(tmp_path):
    events: list[dict[str, Any]] = []
    policy = pretrain(TINY, tmp_path / "run", report=events.append, commit="abc")
    loaded = Policy.load(tmp_path / "run" / "policy.safetensors")
    for name, value in policy.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)
    assert loaded.provenance["commit"] == "abc"
    assert loaded.provenance["configuration"]["seed"] == 0
    assert [event["stage"] for event in events].count("ppo") == 7
    lines = (tmp_path / "run" / "curves.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == events
    assert all(math.isfinite(event["score"]) for event in events if event["stage"] == "evaluation")
    assert (tmp_path / "run" / "curves.png").stat().st_size > 1000

    with (tmp_path / "run" / "curves.jsonl").open("a") as file:
        file.write("written after the checkpoint, before the power failed\n")
    again: list[dict[str, Any]] = []
    pretrain(TINY, tmp_path / "run", resume=True, report=again.append)
    assert [event["stage"] for event in again] == ["evaluation"]
    assert again[0]["score"] == events[-1]["score"]
    lines = (tmp_path / "run" / "curves.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == events + again
    with pytest.raises(Unusable, match="checkpoint belongs to another configuration"):
        pretrain(replace(TINY, seed=1), tmp_path / "run", resume=True)
    before = {file: file.read_bytes() for file in (tmp_path / "run").iterdir()}
    with pytest.raises(InvalidArgument, match="a new or an empty directory"):
        pretrain(TINY, tmp_path / "run")
    assert {file: file.read_bytes() for file in (tmp_path / "run").iterdir()} == before


@pytest.mark.integration
@pytest.mark.usefixtures("small_evaluation")
def test_pretraining_is_a_function_of_its_configuration(tmp_path):
    config = replace(TINY, distil_groups=1, ppo_iterations=6, ppo_groups=1)
    first, second = (pretrain(config, tmp_path / name) for name in "ab")
    other = pretrain(replace(config, seed=1), tmp_path / "c")
    for name, value in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], value)
    assert not torch.equal(other.actor.head.weight, first.actor.head.weight)


@pytest.mark.integration
@pytest.mark.usefixtures("small_evaluation")
@pytest.mark.parametrize("after", [1, 2, 3, 5])
def test_a_resumed_pretraining_equals_an_undisturbed_one_bit_for_bit(tmp_path, after):
    config = replace(TINY, ppo_iterations=6, ppo_groups=1)
    whole = pretrain(config, tmp_path / "whole")
    asked = iter(range(100))
    assert pretrain(config, tmp_path / "run", stopped=lambda: next(asked) == after) is None
    resumed = pretrain(config, tmp_path / "run", resume=True)
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value)


@pytest.fixture(scope="module")
def small_bank(tmp_path_factory):
    """Two tasks that take a tenth of a second."""
    lines = Path("results/bank.jsonl").read_text().splitlines()
    tasks = [line for line in map(json.loads, lines) if line["task"]["kind"] == "tiny" and line["task"]["index"] < 60]
    file = tmp_path_factory.mktemp("bank") / "bank.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in tasks[:2]))
    entries = store.read(file)
    return [replace(entry, task=replace(entry.task, steps=30)) for entry in entries]


@pytest.mark.integration
@pytest.mark.usefixtures("small_evaluation")
@pytest.mark.parametrize("after", [None, 1, 2, 4])
def test_the_rounds_over_a_bank_are_gone_on_with_bit_for_bit(tmp_path, monkeypatch, small_bank, after):
    monkeypatch.setattr(stages, "BLOCK", 3)
    config = replace(TINY, distil_groups=1, ppo_iterations=0, bank_rounds=2, bank_updates=6, bank_runs=4)
    events: list[dict[str, Any]] = []
    whole = pretrain(config, tmp_path / "whole", bank=small_bank, report=events.append)
    assert [event.get("runs") for event in events if event["stage"] == "bank"] == [2, None, None, 2, None, None]
    assert whole.provenance["done"] == {"distil": 1, "bank": 4, "ppo": 0}
    if after is None:
        only_distilled = pretrain(replace(config, bank_rounds=0), tmp_path / "distilled")
        assert not torch.equal(only_distilled.actor.head.weight, whole.actor.head.weight)
        return
    asked = iter(range(100))
    stopped = pretrain(config, tmp_path / "run", bank=small_bank, stopped=lambda: next(asked) == after)
    assert stopped is None
    grown = [*small_bank, replace(small_bank[0], task=replace(small_bank[0].task, index=1000))]
    if after >= 3:  # updates have begun
        with pytest.raises(Unusable, match="belongs to another bank: give the one that it began with"):
            pretrain(config, tmp_path / "run", bank=grown, resume=True)
    resumed = pretrain(config, tmp_path / "run", bank=small_bank, resume=True)
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value)


@pytest.mark.integration
@pytest.mark.usefixtures("small_evaluation")
def test_each_round_begins_from_the_policy_as_it_came_from_the_population(tmp_path, monkeypatch, small_bank):
    monkeypatch.setattr(stages, "BLOCK", 3)
    config = replace(TINY, distil_groups=1, ppo_iterations=0, bank_rounds=2, bank_updates=3, bank_rate=0.0)
    learned = pretrain(config, tmp_path / "still", bank=small_bank)
    distilled = pretrain(replace(config, bank_rounds=0), tmp_path / "distilled")
    for name, value in distilled.actor.state_dict().items():
        assert torch.equal(learned.actor.state_dict()[name], value)
    run = Pretraining(replace(config, bank_rate=0.1), tmp_path / "moved", bank=small_bank)
    run._learner.begin_again()
    before = run._learner.distilled["head.weight"].clone()
    run.policy.actor.head.weight.data.add_(1.0)
    run._learner.begin_again()
    assert torch.equal(run.policy.actor.head.weight, before)


@pytest.mark.integration
@pytest.mark.usefixtures("small_evaluation")
def test_each_update_of_reinforcement_is_followed_by_some_from_the_bank(tmp_path, monkeypatch, small_bank):
    bank_loss, calls = stages.bank_loss, 0

    def counted(*args: Any, **kwargs: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return bank_loss(*args, **kwargs)

    monkeypatch.setattr(stages, "BLOCK", 3)
    monkeypatch.setattr(stages, "bank_loss", counted)
    config = replace(TINY, distil_groups=1, bank_rounds=1, bank_updates=3)
    config = replace(config, ppo_iterations=7, ppo_groups=2, ppo_epochs=3, ppo_bank=2)
    learned = pretrain(config, tmp_path / "both", bank=small_bank)
    assert calls == 3 + 7 * 3 * 2 * 2  # of the rounds; iterations, epochs, halves, updates after each
    alone = pretrain(replace(config, ppo_bank=0), tmp_path / "alone", bank=small_bank)
    assert not torch.equal(alone.actor.head.weight, learned.actor.head.weight)


def test_rounds_without_a_bank_are_refused(tmp_path):
    with pytest.raises(InvalidArgument, match="bank must be tasks to learn from, or bank_rounds=0"):
        pretrain(replace(TINY, bank_rounds=1), tmp_path)


@pytest.mark.usefixtures("small_evaluation")
def test_a_pretraining_that_dies_before_its_first_evaluation_can_be_resumed(tmp_path):
    def die(event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(TINY, tmp_path / "run", report=die)
    asked = iter(range(100))
    pretrain(TINY, tmp_path / "run", resume=True, stopped=lambda: next(asked) == 1)
    lines = (tmp_path / "run" / "curves.jsonl").read_text().splitlines()
    assert [json.loads(line)["index"] for line in lines] == [1]


def test_a_pretraining_that_cannot_write_its_first_checkpoint_leaves_nothing(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left")))
        with pytest.raises(OSError, match="No space left"):
            pretrain(TINY, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_nothing_to_resume_is_an_error(tmp_path):
    with pytest.raises(InvalidArgument, match="there is nothing to resume"):
        pretrain(TINY, tmp_path / "nothing", resume=True)
    assert not (tmp_path / "nothing").exists()


@pytest.mark.usefixtures("small_evaluation")
@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("checkpoint", lambda raw: raw[:-100]),
        ("checkpoint", lambda raw: raw[:5000] + bytes([raw[5000] ^ 1]) + raw[5001:]),
        ("checkpoint", lambda raw: b""),
        ("curves.jsonl", lambda raw: raw[:20]),
        ("curves.jsonl", lambda raw: raw.replace(b"distil", b"distal", 1)),
    ],
)
def test_a_damaged_pretraining_is_refused_by_file_and_left_as_it_is(tmp_path, name, damage):
    asked = iter(range(100))
    pretrain(TINY, tmp_path / "run", stopped=lambda: next(asked) == 1)
    file = tmp_path / "run" / name
    file.write_bytes(damage(file.read_bytes()))
    before = file.read_bytes()
    with pytest.raises(Unusable, match=rf"^{file} [^\n]*$"):
        pretrain(TINY, tmp_path / "run", resume=True)
    assert file.read_bytes() == before


@pytest.fixture(scope="module")
def shipped_on_unseen_tasks():
    """Scores of the shipped policy, and of fixed schedules: tasks of its population's kind, no data to download."""
    pool = Pool(load_sources(1, mnist=False))
    evaluation = EvaluationPopulation(pool, groups=10, tasks=4, shortest=150, longest=800)
    policy = Policy.load("shipped")
    return evaluation.policy(lambda runs: Explorer(policy, 0.0, None)), evaluation.reference


@pytest.mark.slow
def test_the_shipped_policy_beats_the_best_single_schedule_on_unseen_tasks(shipped_on_unseen_tasks):
    """From each of the starts, over four decades."""
    scores, reference = shipped_on_unseen_tasks
    assert (scores.mean(0) < min(reference.single_decay, reference.single_constant)).all()


@pytest.mark.slow
def test_the_shipped_policy_comes_near_the_best_constant_of_each_unseen_task(shipped_on_unseen_tasks):
    scores, reference = shipped_on_unseen_tasks
    assert scores.mean() < reference.best_constant + 0.1
