"""The two memories of transitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lrpilot import InvalidArgument
from lrpilot.online.replay import LastTransition, Replay, Transition


def transition(k: float, slope: bool = True) -> Transition:
    number = np.array([k])
    return Transition(np.array([k, -k]), number, k + 0.1, np.array([k, k]), number, number if slope else None)


def test_last_transition_is_a_batch_of_one() -> None:
    batch = LastTransition().learn_from(transition(3.0, slope=False), torch.Generator())
    assert batch.observation.tolist() == [[3.0, -3.0]]
    assert batch.rate.tolist() == [[3.0]]
    assert batch.reward.tolist() == [3.1]
    assert batch.slope is None


def test_replay_draws_whole_transitions_newest_first() -> None:
    replay, generator = Replay(capacity=10, batch=6), torch.Generator().manual_seed(0)
    for k in range(25):
        batch = replay.learn_from(transition(float(k)), generator)
        assert batch.rate[0, 0] == k
        assert batch.rate.min() >= max(0, k - 9)  # the older ones are forgotten
    rates = batch.rate[:, 0]
    assert np.array_equal(batch.observation, np.stack((rates, -rates), axis=-1))
    assert np.array_equal(batch.reward, rates + 0.1)
    assert np.array_equal(batch.slope, batch.rate)
    assert len(set(rates.tolist())) > 1


def test_replay_without_slopes() -> None:
    batch = Replay(capacity=4, batch=2).learn_from(transition(1.0, slope=False), torch.Generator())
    assert batch.slope is None
    assert batch.next_rate.tolist() == [[1.0], [1.0]]


def test_replay_resumes() -> None:
    one, two = Replay(10, 4), Replay(10, 4)
    for k in range(7):
        one.learn_from(transition(float(k)), torch.Generator().manual_seed(0))
    two.load_state_dict(one.state_dict())
    drawn = [r.learn_from(transition(9.0), torch.Generator().manual_seed(5)).rate for r in (one, two)]
    assert np.array_equal(*drawn)


def test_a_batch_of_nothing_or_larger_than_the_capacity_is_refused() -> None:
    assert Replay(capacity=1, batch=1).batch == 1
    for batch in (5, 0):
        with pytest.raises(InvalidArgument, match=f"batch must be between 1 and the capacity of 4, got {batch}"):
            Replay(capacity=4, batch=batch)


def test_replay_holds_two_thousand_and_draws_sixty_four() -> None:
    """As many as a loss changes little over; a batch large enough that one transition's noise is drowned."""
    replay, generator = Replay(), torch.Generator().manual_seed(0)
    assert replay.capacity == 2000
    for k in range(2500):
        batch = replay.learn_from(transition(float(k)), generator)
    assert batch.rate.shape == (64, 1)
    seen = np.concatenate([replay.learn_from(transition(1e6), generator).rate for _ in range(100)])
    assert 500 <= seen.min() < 700  # 2,000 back when the drawing began, a hundred less at its end
