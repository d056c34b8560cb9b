"""Equations 5 to 9 against values worked out by hand, and their signs against what ascent must do."""

from __future__ import annotations

import torch

from lrpilot.online import losses


def test_reward_is_the_decrement() -> None:
    assert losses.reward(torch.tensor(2.5), torch.tensor(2.25)).item() == 0.25


def test_td_target_and_error_by_hand() -> None:
    # y = 0.5 + 0.9 * 2 = 2.3; delta = 2.3 - 1.8 = 0.5
    y_t = losses.td_target(torch.tensor(0.5), torch.tensor(2.0), 0.9)
    torch.testing.assert_close(y_t, torch.tensor(2.3))
    torch.testing.assert_close(losses.td_error(y_t, torch.tensor(1.8)), torch.tensor(0.5))


def test_no_gradient_flows_out_of_the_target() -> None:
    q_tp1 = torch.tensor(2.0, requires_grad=True)
    assert not losses.td_target(torch.tensor(0.5), q_tp1, 0.9).requires_grad


def test_the_critic_descends_along_equation_8() -> None:
    # Q(s, a) = phi . (s, a) with phi = (1, -2), (s, a) = (3, 0.5): Q = 2, grad Q = (3, 0.5), delta = 5 - 2 = 3
    phi = torch.tensor([1.0, -2.0], requires_grad=True)
    q_t = (phi @ torch.tensor([3.0, 0.5])).unsqueeze(0)
    q_t.backward(losses.descent(losses.td_error(torch.tensor([5.0]), q_t.detach())))
    torch.testing.assert_close(-phi.grad, torch.tensor([9.0, 1.5]))  # delta * grad Q


def test_the_descent_is_that_of_half_the_mean_square() -> None:
    y, x = torch.tensor([1.0, 4.0, -2.0]), torch.tensor([0.0, 1.0, 0.5], requires_grad=True)
    (0.5 * (y - x).square().mean()).backward()
    torch.testing.assert_close(losses.descent(y - x.detach()), x.grad)


def test_actor_loss_descends_along_equation_9() -> None:
    # pi(s) = theta s with s = 2, theta = 0.5; Q(s, a) = -(a - 3)^2: dQ/da at a = 1 is 4, grad pi = 2, product 8
    theta = torch.tensor(0.5, requires_grad=True)
    a = theta * 2.0
    losses.actor_loss(a, torch.tensor(4.0)).backward()
    torch.testing.assert_close(-theta.grad, torch.tensor(8.0))


def test_following_the_printed_signs_with_a_minimiser_inverts_learning() -> None:
    """Negative control: one step along the loss nears the best action 3, one step against it leaves it."""

    def distance_after(sign: float) -> float:
        theta = torch.tensor(0.5, requires_grad=True)
        a = theta * 2.0
        (sign * losses.actor_loss(a, torch.tensor(4.0))).backward()
        return abs(float((theta.detach() - 0.01 * theta.grad) * 2.0) - 3.0)

    assert distance_after(1.0) < 2.0 < distance_after(-1.0)


def test_run_weight() -> None:
    assert [losses.run_weight(t) for t in (1, 2, 5)] == [1.0, 0.5, 0.2]
