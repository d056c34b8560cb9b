"""Learning rates as a Gymnasium environment: the API, what an episode is, and that an agent learns in it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from lrpilot.errors import InvalidArgument
from lrpilot.learning.population.data import load_sources
from lrpilot.pilot.features import FEATURES
from lrpilot.pilot.timetable import decision_steps
from trainers import example

pytest.importorskip("gymnasium", reason="needs lrpilot[gymnasium]")

import gymnasium
from gymnasium.utils.env_checker import check_env

from lrpilot.integrations.gymnasium import HELD_OUT, LearningRateEnv, LearningRateVectorEnv

NAME = "lrpilot.integrations.gymnasium:lrpilot/LearningRate-v0"
SHORT = {"shortest": 20, "longest": 40}


@pytest.fixture(scope="module")
def sources():
    return load_sources(0, mnist=False, synthetic=1)


def episode(env, act, seed=0):
    """Observations, rewards and infos of an episode."""
    steps = [(*env.reset(seed=seed), 0.0)]
    over = False
    while not over:
        observation, reward, over, _, info = env.step(act(steps[-1][0]))
        steps.append((observation, info, reward))
    observations, infos, rewards = zip(*steps, strict=True)
    return np.stack(observations), infos, rewards


def still(observation):
    return np.zeros(1, np.float32)


def test_the_checker_passes(sources):
    check_env(gymnasium.make(NAME, sources=sources, **SHORT).unwrapped)


def test_many_by_name(sources):
    envs = gymnasium.make_vec(NAME, num_envs=3, vectorization_mode="vector_entry_point", sources=sources, **SHORT)
    observations, _ = envs.reset(seed=0)
    assert envs.observation_space.contains(observations)
    assert isinstance(envs.unwrapped, LearningRateVectorEnv)


def test_an_action_moves_the_rate_by_so_many_decades(sources):
    env = LearningRateEnv(sources, **SHORT)
    _, before = env.reset(seed=0)
    for action, decades in ((0.5, 0.5), (-1.0, -1.0), (3.0, 1.0)):
        observation, _, _, _, after = env.step(np.array([action], np.float32))
        moved = math.log10(after["learning_rate"] / before["learning_rate"])
        assert moved == pytest.approx(decades, rel=1e-3)
        last = np.clip(math.log(10) * decades, -4, 4)
        assert observation[FEATURES.index("last_step")] == pytest.approx(last, rel=1e-4)
        before = after


def test_rewards_sum_up_to_the_fall_of_the_held_out_loss(sources):
    """From after the first interval on; with 0.005 added to the loss relative to the untrained network's."""
    env = LearningRateEnv(sources, **SHORT)
    for seed in range(3):
        _, infos, rewards = episode(env, still, seed)
        untrained = float(env._runs._untrained[0])
        first, last = (min(info["held_out_loss"] / untrained, 1.5) + 0.005 for info in (infos[0], infos[-1]))
        assert sum(rewards) == pytest.approx(math.log(first / last), abs=1e-4)


def test_an_episode_is_a_whole_training(sources):
    env = LearningRateEnv(sources, **SHORT)
    observations, _, rewards = episode(env, still)
    ends = decision_steps(env._runs._trainings.group.steps)
    assert len(rewards) - 1 == len(ends) - 1  # the first interval is trained by `reset`
    progress = observations[:, FEATURES.index("progress")]
    assert progress == pytest.approx([2 * end / ends[-1] - 1 for end in ends], abs=1e-6)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(still(None))


def test_tests_are_not_among_the_data(sources):
    """What a source holds out for tests can be anything: nothing changes."""
    spoiled = [
        replace(s, inputs=torch.cat([s.inputs[: s.training], torch.full_like(s.inputs[s.training :], 1e6)]))
        for s in sources
    ]
    one, other = (episode(LearningRateEnv(data, **SHORT), still) for data in (sources, spoiled))
    assert (one[0] == other[0]).all()
    assert one[2] == other[2]


def test_no_network_is_trained_on_what_is_held_out(sources):
    """Held-out rows of the training set that are changed change rewards and no observation."""
    changed = []
    for s in sources:
        inputs = s.inputs.clone()
        held_out = math.ceil(HELD_OUT * s.training)
        inputs[s.training - held_out : s.training] += 1.0
        changed.append(replace(s, inputs=inputs))
    differ = 0
    for seed in range(6):
        one, other = (episode(LearningRateEnv(data, **SHORT), still, seed) for data in (sources, changed))
        if (one[0] == other[0]).all():  # not where the inputs' mean is taken away, which is that of all
            differ += one[2] != other[2]
    assert differ


def test_a_seed_is_an_episode(sources):
    def act(generator):
        return lambda _: generator.uniform(-1, 1, 1).astype(np.float32)

    env = LearningRateEnv(sources, **SHORT)
    one, again, other = (episode(env, act(np.random.default_rng(0)), seed) for seed in (7, 7, 8))
    assert (one[0] == again[0]).all()
    assert one[2] == again[2]
    assert one[0].shape != other[0].shape or (one[0] != other[0]).any()
    env.reset(seed=7)
    first, _ = env.reset()  # without a seed: another episode, which follows from the seed given last
    env.reset(seed=7)
    assert (env.reset()[0] == first).all()
    assert not np.array_equal(first, one[0][0])


def test_a_vector_of_one_is_the_single_environment(sources):
    env, envs = LearningRateEnv(sources, **SHORT), LearningRateVectorEnv(1, sources, **SHORT)
    observation, info = env.reset(seed=3)
    observations, infos = envs.reset(seed=3)
    over = False
    while not over:
        assert (observations[0] == observation).all()
        assert infos["learning_rate"][0] == pytest.approx(info["learning_rate"])
        observation, reward, over, _, info = env.step(np.array([0.2], np.float32))
        observations, rewards, terminations, truncations, infos = envs.step(np.array([[0.2]], np.float32))
        assert rewards[0] == reward
        assert terminations.tolist() == [over]
        assert truncations.tolist() == [False]


def test_a_vector_begins_anew_with_the_step_after_an_episode(sources):
    envs = LearningRateVectorEnv(4, sources, **SHORT)
    observations, infos = envs.reset(seed=0)
    assert observations.shape == (4, len(FEATURES))
    assert infos["_learning_rate"].all()
    assert len(set(infos["learning_rate"])) == 4
    over = np.zeros(4, bool)
    while not over.any():
        _, _, over, _, _ = envs.step(envs.action_space.sample())
    assert over.all()
    observations, rewards, over, _, _ = envs.step(envs.action_space.sample())
    assert not rewards.any()
    assert not over.any()
    assert (observations[:, FEATURES.index("progress")] < -0.5).all()


def test_networks_that_are_destroyed_do_not_spoil_what_is_seen(sources):
    envs = LearningRateVectorEnv(8, sources, **SHORT)
    envs.reset(seed=1)
    total, over = np.zeros(8), np.zeros(8, bool)
    while not over.any():
        observations, rewards, over, _, _ = envs.step(np.ones((8, 1), np.float32))
        total += rewards
        assert envs.observation_space.contains(observations)
        assert np.isfinite(rewards).all()
    assert (total < 0).any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LearningRateEnv([], shortest=10, longest=5), "shortest and longest must be"),
        (lambda: LearningRateEnv([], shortest=1, longest=5), "shortest and longest must be"),
        (lambda: LearningRateEnv(shortest=None), "shortest must be a whole number"),
        (lambda: LearningRateEnv(longest=float("inf")), "longest must be a whole number"),
        (lambda: LearningRateEnv(longest=10**400), "longest must be a whole number"),
        (lambda: LearningRateEnv([]), "sources must be data sets"),
        (lambda: LearningRateEnv(torch.ones(2)), "sources must be data sets"),
        (lambda: LearningRateVectorEnv(0), "num_envs must be a whole number"),
        (lambda: LearningRateVectorEnv(None), "num_envs must be a whole number"),
    ],
)
@pytest.mark.mistyped
def test_lengths_that_are_none_are_refused(make, message):
    with pytest.raises(InvalidArgument, match=message):
        make()


@pytest.mark.mistyped
def test_actions_that_are_no_numbers_are_refused(sources):
    env = LearningRateEnv(sources, **SHORT)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(still(None))
    env.reset(seed=0)
    for action in (np.array([np.nan], np.float32), np.ones(2), "up", None, [], 10**400):
        with pytest.raises(InvalidArgument, match="action must be numbers"):
            env.step(action)


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning:stable_baselines3")
def test_ppo_beats_a_random_policy_and_a_rate_that_stays(sources):
    """Forty thousand steps of Stable-Baselines3's PPO; judged over episodes that it has not seen."""
    pytest.importorskip("stable_baselines3", reason="needs stable-baselines3")
    from stable_baselines3 import PPO

    from lrpilot.integrations.stable_baselines3 import BatchedEnvs

    def total_reward(act):
        envs, total = LearningRateVectorEnv(64, sources, **SHORT), 0.0
        envs.action_space.seed(0)
        for seed in range(100, 106):
            observations, _ = envs.reset(seed=seed)
            over = np.zeros(64, bool)
            while not over.any():
                observations, rewards, over, _, _ = envs.step(act(envs, observations))
                total += rewards.mean() / 6
        return total

    torch.manual_seed(0)
    envs = BatchedEnvs(LearningRateVectorEnv(64, sources, **SHORT))
    agent = PPO("MlpPolicy", envs, n_steps=32, batch_size=512, learning_rate=1e-3, gamma=1.0, seed=0, device="cpu")
    agent.learn(40_000)
    learned = total_reward(lambda envs, observations: agent.predict(observations, deterministic=True)[0])
    assert learned > total_reward(lambda envs, observations: envs.action_space.sample()) + 0.3
    assert learned > total_reward(lambda envs, observations: np.zeros((64, 1), np.float32)) + 0.05


@pytest.mark.integration
def test_stable_baselines_gets_what_the_vector_gives(sources):
    pytest.importorskip("stable_baselines3", reason="needs stable-baselines3")
    from lrpilot.integrations.stable_baselines3 import BatchedEnvs

    envs, theirs = LearningRateVectorEnv(3, sources, **SHORT), BatchedEnvs(LearningRateVectorEnv(3, sources, **SHORT))
    theirs.seed(5)
    observations, _ = envs.reset(seed=5)
    assert (theirs.reset() == observations).all()
    action, over = np.full((3, 1), 0.1, np.float32), np.zeros(3, bool)
    while not over.any():
        observations, rewards, over, _, _ = envs.step(action)
        seen, given, done, infos = theirs.step(action)
        assert (given == rewards).all()
        assert (done == over).all()
    assert all((info["terminal_observation"] == last).all() for info, last in zip(infos, observations, strict=True))
    observations, *_ = envs.step(action)
    assert (seen == observations).all()  # theirs has begun the next episode already
    assert theirs.env_method("reset", seed=1)
    assert theirs.get_attr("num_envs") == [3] * 3
    assert theirs.env_is_wrapped(object) == [False] * 3


@pytest.mark.integration
def test_the_example(monkeypatch):
    pytest.importorskip("stable_baselines3", reason="needs stable-baselines3")
    monkeypatch.setattr("sys.argv", ["with_gymnasium.py"])
    assert example("gymnasium")["agent"].num_timesteps == 1024
