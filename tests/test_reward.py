"""Rewards by hand, and on a quadratic where every part of them is known exactly."""

from __future__ import annotations

import pytest
import torch

from lrpilot.online.reward import Evidence, LossDecrement, TransferredDecrement


def test_loss_decrement_is_equation_5() -> None:
    reward, slope = LossDecrement()(Evidence(torch.tensor(2.0), torch.tensor(1.5)))
    assert reward.item() == 0.5
    assert slope is None


def evidence(before: float, promised: float, elsewhere: float) -> Evidence:
    before_, promised_, elsewhere_ = (torch.tensor(x) for x in (before, promised, elsewhere))
    return Evidence(before_, None, promised_, elsewhere_)


def test_transferred_decrement_by_hand() -> None:
    # P = 0.7, N = 0.2, mean |f| = 2: r = (0.2 + 0.1 * 0.7) / 2
    measure = TransferredDecrement(own_batch=0.1)
    reward, slope = measure(evidence(2.0, 0.7, 0.2))
    assert reward.item() == pytest.approx(0.135)
    assert slope.item() == pytest.approx(0.135)
    assert measure.scaled(reward).item() == pytest.approx(1.0)  # the first is its own size


def test_a_look_after_the_step_weighs_the_own_batch_by_its_bend() -> None:
    # D = 0.6, P = 0.8: (2 D - P) / P = 0.5; r = (0.2 + 0.1 * 0.5 * 0.8) / 2. The next step has no look: c stays.
    measure = TransferredDecrement(own_batch=0.1)
    reward, _ = measure(Evidence(*(torch.tensor(x) for x in (2.0, 1.4, 0.8, 0.2))))
    assert reward.item() == pytest.approx(0.12)
    reward, _ = measure(evidence(2.0, 0.4, 0.0))
    assert reward.item() == pytest.approx(0.1 * 0.5 * 0.4 / 2)


def test_slope_is_the_derivative_of_the_next_batchs_loss() -> None:
    """f_j = 3 (w + 0.1)^2 / 2 along w - a g_i: N is d/d(log a) of its decrement."""
    w, a = torch.tensor(1.0, dtype=torch.float64), torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    f_j = lambda x: 3.0 * (x + 0.1) ** 2 / 2  # noqa: E731
    g_i = 2.0 * (w - 0.2)
    after = w - a * g_i
    (expected,) = torch.autograd.grad(f_j(w) - f_j(after), a)
    moved = (w - after).detach()
    g_j = 3.0 * (after.detach() + 0.1)
    _, slope = TransferredDecrement(own_batch=0.0)(Evidence(torch.ones_like(w), None, moved * g_i, moved * g_j))
    torch.testing.assert_close(slope, a.detach() * expected)


def test_scaled_rewards_are_bounded_and_follow_their_size() -> None:
    measure = TransferredDecrement(own_batch=0.0, decay=0.0, bound=5.0)
    measure(evidence(1.0, 0.0, 0.01))
    torch.testing.assert_close(measure.scaled(torch.tensor([0.02, -3.0])), torch.tensor([2.0, -5.0]))


def test_rescaling_the_loss_changes_nothing() -> None:
    plain, scaled = TransferredDecrement(), TransferredDecrement()
    for row in ((2.0, 0.7, 0.2), (1.8, 0.1, -0.1)):
        reward, _ = plain(evidence(*row))
        other, _ = scaled(evidence(*(x * 1e6 for x in row)))
        torch.testing.assert_close(reward, other)
