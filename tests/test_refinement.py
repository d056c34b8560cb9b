"""The pilot's policy refined over repeated runs."""

from __future__ import annotations

import copy
import io
import itertools

import pytest
import torch

import lrpilot
from lrpilot.errors import InvalidArgument
from lrpilot.learning.refinement import ExploringPolicy, RefinementConfig, _log_losses
from lrpilot.pilot.controller import Pilot
from lrpilot.pilot.features import FEATURES
from lrpilot.pilot.policy import Policy, bounded_step

STEPS = 60


def untrained():
    torch.manual_seed(0)
    return Policy(width=8)


def new_study(seed=0, **changes):
    return lrpilot.Refinement(untrained(), generator=torch.Generator().manual_seed(seed), **changes)


class Quadratic:
    """A noisy quadratic of eight curvatures, and an optimizer that starts far too low."""

    def __init__(self):
        self.curvatures = torch.logspace(-1, 0, 8)
        self.w = torch.nn.Parameter(torch.ones(8))
        self.optimizer = torch.optim.SGD([self.w], lr=3e-3)

    def train(self, pilot, seed, steps=STEPS):
        """Returns the loss without noise at the end."""
        generator = torch.Generator().manual_seed(seed)
        for _ in range(steps):
            target = 0.1 * torch.randn(8, generator=generator)
            loss = (self.curvatures * (self.w - target).square()).sum()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            pilot.step(loss)
        return (self.curvatures * self.w.detach().square()).sum().item()


def drive(study, seed, steps=STEPS):
    task = Quadratic()
    with study.run(task.optimizer, total_steps=steps) as pilot:
        task.train(pilot, seed, steps)
    return pilot


def parameters(network):
    return [value.clone() for value in network.state_dict().values()]


def same(before, network):
    return all(torch.equal(old, new) for old, new in zip(before, network.state_dict().values(), strict=True))


def test_the_first_run_teaches_the_critic_and_the_second_the_actor():
    study = new_study()
    actor, critic = parameters(study.policy.actor), parameters(study.policy.critic)
    drive(study, 0)
    assert same(actor, study.policy.actor)
    assert not same(critic, study.policy.critic)
    drive(study, 1)
    assert not same(actor, study.policy.actor)
    assert study.runs == 2
    assert study.policy.provenance["refined"]["runs"] == 2


def test_the_given_policy_is_left_alone():
    given = untrained()
    before = parameters(given)
    study = lrpilot.Refinement(given)
    drive(study, 0)
    assert same(before, given)


def test_runs_of_another_length_are_not_compared():
    study = new_study()
    drive(study, 0)
    actor = parameters(study.policy.actor)
    drive(study, 1, steps=30)
    assert same(actor, study.policy.actor)


def test_exploration_is_noise_on_the_raw_action():
    policy, features = untrained(), torch.linspace(-1, 1, len(FEATURES))
    explorer = ExploringPolicy(policy, 0.3, torch.Generator().manual_seed(0))
    step, state = explorer.act(features, explorer.initial_memory())
    quiet, quiet_state = policy.act(features, policy.initial_memory())
    noise = 0.3 * torch.randn((), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(explorer.raw[0], explorer.means[0] + noise)
    torch.testing.assert_close(step, bounded_step(explorer.raw[0], features[2]))
    torch.testing.assert_close(bounded_step(explorer.means[0], features[2]), quiet)
    assert torch.equal(state, quiet_state)


def test_log_losses_of_the_intervals():
    study = new_study()
    pilot = drive(study, 0)
    losses, ends = pilot.history["loss"], [0, *(d.step for d in pilot.history.decisions), STEPS]
    by_hand = [(losses[a:b] / losses[0]).log().mean() for a, b in itertools.pairwise(ends)]
    torch.testing.assert_close(_log_losses(pilot.history, len(ends) - 2), torch.stack(by_hand))


@pytest.mark.integration
def test_a_score_of_ones_own_counts():
    """Of two runs alike but for their scores, the actor moves towards the better one, whichever that is."""
    moved = []
    for better in (0, 1):
        study = new_study()
        for run in (0, 1):
            task = Quadratic()
            with study.run(task.optimizer, total_steps=STEPS) as pilot:
                task.train(pilot, 0)
                study.score(-10.0 if run == better else 10.0)
        first = study._records[0]
        means, _ = study.policy.actor(first.observations.unsqueeze(1))
        towards = (first.raw - first.means)[-10:]
        moved.append(((means[:, 0] - first.means)[-10:] * towards).sum().item())
    assert moved[0] > 0 > moved[1]


def test_a_run_that_fails_or_stops_early_teaches_nothing():
    study = new_study()
    before = parameters(study.policy.critic)
    task = Quadratic()

    def fail():
        with study.run(task.optimizer, total_steps=STEPS):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    def stop():
        with study.run(task.optimizer, total_steps=STEPS) as pilot:
            task.train(pilot, 0, STEPS - 1)

    with pytest.raises(InvalidArgument, match="the run's steps must be 60"):
        stop()
    assert study.runs == 0
    assert same(before, study.policy.critic)


def test_an_anytime_run():
    study = new_study()
    drive(study, 0, steps=STEPS)
    for seed in (1, 2):
        task = Quadratic()
        with study.run(task.optimizer) as pilot:
            task.train(pilot, seed, 50)
        assert pilot.history.decisions[-1].observation()["anytime"] == 1
    assert study.runs == 3


@pytest.mark.integration
def test_resume_between_runs_is_exact():
    one, two = new_study(), new_study(seed=5)
    drive(one, 0)
    drive(one, 1)
    file = io.BytesIO()
    torch.save(one.state_dict(), file)
    file.seek(0)
    two.load_state_dict(torch.load(file, weights_only=True))
    assert drive(one, 2).history["rate"].tolist() == drive(two, 2).history["rate"].tolist()
    assert same(parameters(one.policy), two.policy)
    assert two.runs == 3


def test_the_saved_policy_drives(tmp_path):
    study = new_study()
    drive(study, 0)
    drive(study, 1)
    study.save(tmp_path / "mine.safetensors")
    ends = []
    for policy in (tmp_path / "mine.safetensors", copy.deepcopy(study.policy)):
        task = Quadratic()
        ends.append(task.train(Pilot(task.optimizer, STEPS, policy=policy), 9))
    assert ends[0] == ends[1]


def test_a_state_is_a_value_and_loading_is_all_or_nothing():
    study, other = new_study(), new_study(seed=5)
    drive(study, 0)
    state = study.state_dict()
    before = copy.deepcopy(state)
    drive(study, 1)
    assert torch.equal(state["policy"]["actor.head.weight"], before["policy"]["actor.head.weight"])
    critic, generator = parameters(other.policy.critic), other.state_dict()["generator"]
    del state["runs"]
    with pytest.raises(InvalidArgument, match="the saved state must be that of a Refinement like this one"):
        other.load_state_dict(state)
    assert same(critic, other.policy.critic)
    assert torch.equal(other.state_dict()["generator"], generator)


def test_it_says_what_it_is():
    study = new_study()
    drive(study, 0)
    assert repr(study).startswith("Refinement(runs=1, remembered=1, RefinementConfig(exploration=0.08, ")


@pytest.mark.integration
def test_it_learns_to_leave_a_rate_that_is_far_too_low():
    """An untrained policy decays from where it starts; after some runs it climbs first. Exploration alone does not."""
    study = new_study(config=RefinementConfig(exploration=0.3, actor_rate=3e-3))

    def ends(policy):
        results = []
        for seed in (100, 101, 102):
            task = Quadratic()
            results.append(task.train(Pilot(task.optimizer, STEPS, policy=policy), seed))
        return sum(results) / len(results)

    before = ends(study.policy)
    for seed in range(25):
        drive(study, seed)
    assert ends(study.policy) < 0.5 * before
