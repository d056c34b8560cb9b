"""PPO's parts, each against numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch

from lrpilot.learning.population.rollouts import Rollout
from lrpilot.learning.ppo import advantages, centre_over_replicas, clipped_loss, rewards


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
    rollout = Rollout(empty[..., None], empty, empty, logs, empty.bool(), torch.tensor([-1.5]))
    assert rewards(rollout, dense=0.3).sum().item() == pytest.approx(0.3 * 0.9 + 1.5)
    assert rewards(rollout, dense=0.0)[:-1].abs().sum() == 0


def test_centring_takes_the_task_away():
    noise = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    easy = noise + torch.tensor([100.0] * 3 + [-7.0] * 3)
    torch.testing.assert_close(centre_over_replicas(easy, 3), centre_over_replicas(noise, 3), atol=1e-4, rtol=0)
    assert not torch.allclose(centre_over_replicas(easy, 6), centre_over_replicas(noise, 6), atol=0.1)


def test_clipped_loss_pushes_towards_what_did_better_and_stops_at_the_clip():
    old, actions = torch.zeros(1, 2), torch.tensor([[0.1, -0.1]])
    advantage = torch.tensor([[1.0, -1.0]])
    means = old.clone().requires_grad_()
    settings = {"exploration": 0.1, "clip": 0.2}
    loss = clipped_loss(means, old, actions, advantage, **settings)
    loss.backward()
    assert loss.item() == pytest.approx(0)
    assert means.grad is not None
    assert (means.grad < 0).all()  # descending raises both means
    far = torch.tensor([[0.1, 0.1]], requires_grad=True)
    clipped_loss(far, old, actions, advantage, **settings).backward()
    assert far.grad is not None
    assert far.grad.abs().max() == 0


def test_a_decrease_of_the_log_loss_counts_up_to_one_nat():
    """From a wild start the loss falls by ten nats in one interval: that is no merit ten times as great."""
    logs = torch.tensor([[5.0, 0.0], [2.0, 3.0], [1.5, 3.5]])
    empty = torch.zeros(2, 2)
    rollout = Rollout(empty[..., None], empty, empty, logs, empty.bool(), torch.zeros(2))
    assert rewards(rollout, dense=1.0).flatten().tolist() == pytest.approx([1.0, -1.0, 0.5, -0.5])


def test_advantages_have_a_deviation_of_one_and_reach_four_at_most():
    """One run that explodes must not outweigh all others of an update."""
    values = torch.zeros(1, 100)
    values[0, 0] = 100.0  # 99 above the mean; the deviation is sqrt((99^2 + 99) / 99) = 10
    centred = centre_over_replicas(values, 100)[0]
    assert centred[0] == 4.0
    assert centred[1:].tolist() == pytest.approx([-0.1] * 99)
    assert centre_over_replicas(-values, 100)[0, 0] == -4.0


def test_the_ratio_of_probabilities_counts_up_to_a_hundred():
    """PPO does not clip it for actions that did worse; without a bound one of them could be infinite."""
    worse, action = torch.tensor([[-1.0]]), torch.tensor([[0.0]])
    loss = clipped_loss(action, torch.tensor([[3.0]]), action, worse, exploration=0.1, clip=0.2)
    assert loss.item() == pytest.approx(100.0)  # not exp(9 / 0.02)
