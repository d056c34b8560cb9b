from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from lrpilot.errors import InvalidArgument
from lrpilot.learning.distill import PEAKS, SPACING, Regrets, distillation_loss, peak_grid
from lrpilot.learning.population.data import load_sources
from lrpilot.learning.population.evaluation import Evaluation
from lrpilot.learning.population.flights import Explorer, Flight
from lrpilot.learning.population.trainings import Pool
from lrpilot.learning.ppo import actor_loss, advantages, centre_over_replicas, rewards
from lrpilot.learning.pretrain import PretrainConfig, pretrain
from lrpilot.pilot.policy import LARGEST_STEP, Policy

TINY = PretrainConfig(
    mnist=False,
    width=8,
    shortest=20,
    longest=30,
    distil_groups=3,
    distil_tasks=2,
    distil_flown=2,
    distil_updates=2,
    ppo_iterations=7,
    ppo_groups=2,
    ppo_tasks=2,
    ppo_replicas=3,
    ppo_epochs=1,
)


def valley(lowest: float, best: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A grid and scores with one best peak, steeper above it."""
    index = torch.arange(PEAKS)
    scores = torch.where(index < best, 0.3 * (best - index), 1.0 * (index - best)).float()
    return (lowest + SPACING * index)[None], scores[None]


def test_regret_is_least_at_the_best_peak_and_rises_on_both_sides():
    grid, scores = valley(-5.0, 6)
    regrets = Regrets.from_scores(grid, scores, 1)
    peaks = torch.linspace(-9, 8, 400)[:, None]
    costs = regrets.cost(peaks)[:, 0]
    assert abs(peaks[costs.argmin()].item() - grid[0, 6].item()) < SPACING / 2
    low, high = costs[: costs.argmin()], costs[costs.argmin() + 1 :]
    assert (low.diff() < 1e-6).all()
    assert (high.diff() > -1e-6).all()
    assert regrets.best.item() == pytest.approx(grid[0, 6].item(), abs=SPACING / 2)


def test_descending_the_distillation_loss_finds_the_peak_from_far_away():
    grid, scores = valley(-5.0, 6)
    regrets = Regrets.from_scores(grid, scores, 1)
    for start in (-7.0, 1.0):
        height = torch.full((1, 1), start)
        for _ in range(6):  # six decisions, each with a raw action of its own
            raw = torch.zeros(1, 1, requires_grad=True)
            optimizer = torch.optim.Adam([raw], lr=0.05)
            for _ in range(60):
                optimizer.zero_grad()
                distillation_loss(raw, height, regrets).sum().backward()
                optimizer.step()
            height = height + LARGEST_STEP * raw.detach().tanh()
        assert abs(height.item() - grid[0, 6].item()) < SPACING


def test_grids_are_around_the_usual_peak():
    grid = peak_grid(torch.tensor([0.0, 5.0]), torch.Generator().manual_seed(0))
    assert grid.shape == (2, PEAKS)
    torch.testing.assert_close(grid.diff(dim=1), torch.full((2, PEAKS - 1), SPACING))
    assert (grid.mean(1) - torch.tensor([0.0, 5.0])).abs().max() <= SPACING / 2


def test_advantages_by_hand():
    earned, values = torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([[3.0], [5.0], [6.0]])
    deltas = [1 + 5 - 3, 2 + 6 - 5, 4 - 6]
    last = deltas[2]
    middle = deltas[1] + 0.5 * last
    first = deltas[0] + 0.5 * middle
    result = advantages(earned, values, decay=0.5)
    assert result[:, 0].tolist() == pytest.approx([first, middle, last])
    # With decay 1 they are the returns minus the values, whatever the values in between.
    assert advantages(earned, values, decay=1.0)[:, 0].tolist() == pytest.approx([4.0, 1.0, -2.0])


def test_rewards_telescope_to_the_score():
    logs = torch.tensor([[0.0], [-0.5], [-0.2], [-0.9]])
    empty = torch.zeros(3, 1)
    flight = Flight(empty[..., None], empty, empty, logs, empty.bool(), torch.tensor([-1.5]))
    assert rewards(flight, dense=0.3).sum().item() == pytest.approx(0.3 * 0.9 + 1.5)
    assert rewards(flight, dense=0.0)[:-1].abs().sum() == 0


def test_centring_takes_the_task_away():
    noise = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    easy = noise + torch.tensor([100.0] * 3 + [-7.0] * 3)
    torch.testing.assert_close(centre_over_replicas(easy, 3), centre_over_replicas(noise, 3), atol=1e-4, rtol=0)
    assert not torch.allclose(centre_over_replicas(easy, 6), centre_over_replicas(noise, 6), atol=0.1)


def test_actor_loss_pushes_towards_what_did_better_and_stops_at_the_clip():
    old, actions = torch.zeros(1, 2), torch.tensor([[0.1, -0.1]])
    advantage = torch.tensor([[1.0, -1.0]])
    means = old.clone().requires_grad_()
    settings = {"exploration": 0.1, "clip": 0.2}
    loss = actor_loss(means, old, actions, advantage, **settings)
    loss.backward()
    assert loss.item() == pytest.approx(0)
    assert means.grad is not None
    assert (means.grad < 0).all()  # descending raises both means
    far = torch.tensor([[0.1, 0.1]], requires_grad=True)
    actor_loss(far, old, actions, advantage, **settings).backward()
    assert far.grad is not None
    assert far.grad.abs().max() == 0


@pytest.fixture
def small_evaluation(monkeypatch):
    """The evaluation population, of two tasks, so that the test is quick."""

    def small(pool):
        return Evaluation(pool, groups=1, tasks=2, shortest=20, longest=25)

    monkeypatch.setattr(Evaluation, "usual", small)


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
    with pytest.raises(InvalidArgument, match="config"):
        pretrain(replace(TINY, seed=1), tmp_path / "run", resume=True)


@pytest.mark.usefixtures("small_evaluation")
def test_pretraining_is_a_function_of_its_configuration(tmp_path):
    config = replace(TINY, distil_groups=1, ppo_iterations=6, ppo_groups=1)
    first, second = (pretrain(config, tmp_path / name) for name in "ab")
    other = pretrain(replace(config, seed=1), tmp_path / "c")
    for name, value in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], value)
    assert not torch.equal(other.actor.head.weight, first.actor.head.weight)


@pytest.fixture(scope="module")
def shipped_on_unseen_tasks():
    """Scores of the shipped policy, and of fixed schedules: tasks of its population's kind, no data to download."""
    pool = Pool(load_sources(1, mnist=False))
    evaluation = Evaluation(pool, groups=10, tasks=4, shortest=150, longest=800)
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
