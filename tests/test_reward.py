"""Rewards by hand, and on a quadratic where every part of them is known exactly."""

from __future__ import annotations

import pytest
import torch

from lrpilot.reward import Evidence, LossDecrement, TransferredDecrement


def test_loss_decrement_is_equation_5() -> None:
    reward, slope = LossDecrement()(Evidence(torch.tensor(2.0), torch.tensor(1.5)))
    assert reward.item() == 0.5
    assert slope is None


def test_transferred_decrement_by_hand() -> None:
    # D = 0.5, P = 0.7, N = 0.2, mean |f| = 2: r = (0.2 + 0.1 * 0.5) / 2; slope = (0.2 + 0.1 * (1.0 - 0.7)) / 2
    measure = TransferredDecrement(own_batch=0.1)
    reward, slope = measure(Evidence(*map(torch.tensor, (2.0, 1.5, 0.7, 0.2))))
    assert reward.item() == pytest.approx(0.125)
    assert slope.item() == pytest.approx(0.115)
    assert measure.scaled(reward).item() == pytest.approx(1.0)  # the first is its own size


def test_slope_is_the_derivative_of_the_losses_on_a_quadratic() -> None:
    """f_i = h_i (w - c_i)^2 / 2: the measured slope is d/d(log a) of f_j's and (weighted) f_i's decrement."""
    w, a = torch.tensor(1.0, dtype=torch.float64), torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    f_i = lambda x: 2.0 * (x - 0.2) ** 2 / 2  # noqa: E731
    f_j = lambda x: 3.0 * (x + 0.1) ** 2 / 2  # noqa: E731
    g_i = 2.0 * (w - 0.2)
    after = w - a * g_i
    weighted = f_j(w) - f_j(after) + 0.5 * (f_i(w) - f_i(after))
    (expected,) = torch.autograd.grad(weighted, a)
    g_j = 3.0 * (after.detach() + 0.1)
    moved = (w - after).detach()
    evidence = Evidence(f_i(w), f_i(after).detach(), moved * g_i, moved * g_j)
    _, slope = TransferredDecrement(own_batch=0.5)(evidence)
    torch.testing.assert_close(slope * f_i(w), a.detach() * expected)


def test_scaled_rewards_are_bounded_and_follow_their_size() -> None:
    measure = TransferredDecrement(own_batch=0.0, decay=0.0, bound=5.0)
    measure(Evidence(*map(torch.tensor, (1.0, 1.0, 0.0, 0.01))))
    torch.testing.assert_close(measure.scaled(torch.tensor([0.02, -3.0])), torch.tensor([2.0, -5.0]))


def test_rescaling_the_loss_changes_nothing() -> None:
    plain, scaled = TransferredDecrement(), TransferredDecrement()
    for row in ((2.0, 1.5, 0.7, 0.2), (1.8, 1.9, 0.1, -0.1)):
        reward, _ = plain(Evidence(*map(torch.tensor, row)))
        other, _ = scaled(Evidence(*(torch.tensor(x * 1e6) for x in row)))
        torch.testing.assert_close(reward, other)
