"""Equations 5 to 9 against values worked out by hand, and their signs against what ascent must do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lrpilot.online import losses
from lrpilot.online.actor_critic import ActorCritic
from lrpilot.online.replay import Transition
from lrpilot.online.reward import LossDecrement
from lrpilot.online.settings import PAPER


def test_reward_is_the_decrement() -> None:
    assert losses.reward(2.5, 2.25) == 0.25


def test_td_target_and_error_by_hand() -> None:
    # y = 0.5 + 0.9 * 2 = 2.3; delta = 2.3 - 1.8 = 0.5
    y_t = losses.td_target(0.5, 2.0, 0.9)
    assert y_t == pytest.approx(2.3, rel=1e-12)
    assert losses.td_error(y_t, 1.8) == pytest.approx(0.5, rel=1e-12)
    y_t = losses.td_target(np.array([0.5, 1.0]), np.array([2.0, -1.0]), 0.9)  # 1 - 0.9 = 0.1; 0.1 - 0.4 = -0.3
    np.testing.assert_allclose(losses.td_error(y_t, np.array([1.8, 0.4])), [0.5, -0.3])


def test_no_gradient_flows_out_of_the_target() -> None:
    """The critic's update is that of the target held fixed; that of a target which gives way is another."""
    pair = ActorCritic(PAPER, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    hidden, value = pair.critic.hidden, pair.critic.value
    s, a, r, s_next, a_next = 2.0, 0.1, 0.5, 1.5, 0.2

    def q(s: float, a: float) -> torch.Tensor:
        return value(torch.tanh(hidden(torch.tensor([s, a], dtype=torch.float64)))).squeeze()

    y, parameters = r + PAPER.discount * q(s_next, a_next), list(pair.critic.parameters())
    fixed, giving_way = (
        torch.autograd.grad(0.5 * (target - q(s, a)) ** 2, parameters, retain_graph=True) for target in (y.detach(), y)
    )
    here = Transition(np.array([[s]]), np.array([[a]]), np.array([r]), np.array([[s_next]]), np.array([[a_next]]), None)
    pair.improve_critic(here, LossDecrement())
    for parameter, gradient, other in zip(parameters, fixed, giving_way, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
        assert not torch.allclose(gradient, other)


def test_the_critic_descends_along_equation_8() -> None:
    # Q(s, a) = phi . (s, a) with phi = (1, -2), (s, a) = (3, 0.5): Q = 2, grad Q = (3, 0.5), delta = 5 - 2 = 3
    phi = torch.tensor([1.0, -2.0], requires_grad=True)
    q_t = (phi @ torch.tensor([3.0, 0.5])).unsqueeze(0)
    q_t.backward(torch.tensor(losses.descent(losses.td_error(np.array([5.0]), q_t.detach().numpy()))))
    torch.testing.assert_close(-phi.grad, torch.tensor([9.0, 1.5]))  # delta * grad Q


def test_the_descent_is_that_of_half_the_mean_square() -> None:
    y, x = torch.tensor([1.0, 4.0, -2.0]), torch.tensor([0.0, 1.0, 0.5], requires_grad=True)
    (0.5 * (y - x).square().mean()).backward()
    np.testing.assert_allclose(losses.descent((y - x.detach()).numpy()), x.grad.numpy())


def along(theta: torch.Tensor, dq_da: float, steepness: float = 1.0) -> torch.Tensor:
    """The gradient of equation 9 as a loss, along theta: raw = theta s with s = 2, and a = steepness raw."""
    raw = theta * 2.0
    raw.backward(torch.tensor(losses.policy_gradient(steepness, dq_da)))
    return theta.grad


@pytest.mark.parametrize(("steepness", "product"), [(1.0, 8.0), (-1.5, -12.0)])
def test_policy_gradient_descends_along_equation_9(steepness: float, product: float) -> None:
    # theta = 0.5; dQ/da = 4, as of Q(s, a) = -(a - 3)^2 at a = 1; grad pi = 2 steepness, product 8 steepness
    theta = torch.tensor(0.5, requires_grad=True)
    torch.testing.assert_close(-along(theta, 4.0, steepness), torch.tensor(product))


def test_policy_gradient_is_elementwise() -> None:
    assert losses.policy_gradient(np.array([1.0, 2.0]), np.array([4.0, -3.0])).tolist() == [-4.0, 6.0]


def test_following_the_printed_signs_with_a_minimiser_inverts_learning() -> None:
    """Negative control: one step along the loss nears the best action 3, one step against it leaves it."""

    def distance_after(sign: float) -> float:
        theta = torch.tensor(0.5, requires_grad=True)
        gradient = sign * along(theta, 4.0)
        return abs(float((theta.detach() - 0.01 * gradient) * 2.0) - 3.0)

    assert distance_after(1.0) < 2.0 < distance_after(-1.0)


def test_run_weight() -> None:
    assert [losses.run_weight(t) for t in (1, 2, 5)] == [1.0, 0.5, 0.2]
