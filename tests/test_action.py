"""Actions: values by hand, gradients by finite differences."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from lrpilot import InvalidArgument
from lrpilot.online.action import AbsoluteRate, LogRate


def test_absolute_rate() -> None:
    action = AbsoluteRate()
    assert action.rate(torch.tensor(-0.25)).item() == 0.25
    assert action.describe(torch.tensor([0.1, 0.2])).tolist() == [[pytest.approx(0.1)], [pytest.approx(0.2)]]
    action.centre([5.0])
    assert action.rate(torch.tensor(-0.25)).item() == 0.25


def test_absolute_rate_has_a_bound_only_when_asked() -> None:
    assert AbsoluteRate().rate(torch.tensor(1e6)).item() == 1e6
    assert AbsoluteRate(bound=2.0).rate(torch.tensor(1e6)).item() == 2.0
    assert AbsoluteRate(bound=0.5).rate(torch.tensor(1.0)).item() == 0.5
    for bound in (-1.0, 0.0):
        with pytest.raises(InvalidArgument, match=f"bound must be None or a rate above 0, got {bound}"):
            AbsoluteRate(bound=bound)


def test_an_action_is_as_many_numbers_as_it_says_and_in_the_optimizers_unit_until_it_is_centred() -> None:
    for action in (AbsoluteRate(), LogRate()):
        assert action.describe(torch.tensor(0.1)).shape == (action.size,)
    assert LogRate().rate(torch.tensor(0.0)).item() == 1.0


def test_log_rate_is_centred_and_logarithmic() -> None:
    action = LogRate(unit=2.0)
    action.centre([0.01])
    assert action.rate(torch.tensor(0.0)).item() == pytest.approx(0.01)
    assert action.rate(torch.tensor(math.log(10.0))).item() == pytest.approx(0.1)
    z, square = action.describe(torch.tensor(0.1)).tolist()
    assert z == pytest.approx(math.log(10) / 2)
    assert square == pytest.approx(z * z, rel=1e-5)


def test_settled_log_rate_keeps_its_centre_and_stays_below_the_ceiling() -> None:
    action = LogRate(ceiling=4.0)
    action.centre([0.1], settled=True)
    assert action.rate(torch.tensor(0.0)).item() == pytest.approx(0.1, rel=1e-5)
    assert 0.39 < action.rate(torch.tensor(30.0)).item() <= 0.4 * (1 + 1e-5)
    assert action.rate(torch.tensor(-6.0)).item() < 0.001


@pytest.mark.parametrize("settled", [False, True])
def test_log_rate_gradient(settled: bool) -> None:
    action = LogRate()
    action.centre([0.3], settled=settled)
    raw = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda r: action.describe(action.rate(r)), raw)


def test_a_ceiling_of_ten_leaves_room_to_climb_and_none_to_run_away() -> None:
    """The opening hands over a quarter of the rate at which it went too far, or less; ten times that is beyond the edge
    on every network, so that no good rate is out of reach, and an actor that climbs without end stops there."""
    action = LogRate()
    action.centre([0.1], settled=True)
    assert action.rate(torch.tensor(50.0)).item() == pytest.approx(10 * 0.1, rel=1e-4)


def test_a_unit_of_two_e_folds_keeps_the_critics_inputs_near_one() -> None:
    """z and z^2 reach about 1 a decade from the centre: neither drowns the other where the best rate may lie."""
    action = LogRate()
    action.centre([0.1])
    assert action.describe(torch.tensor(0.1 * math.exp(2.0))).tolist() == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("make", [AbsoluteRate, LogRate])
def test_the_chain_rule_is_that_of_the_description(make: Callable) -> None:
    action, generator = make(), torch.Generator().manual_seed(0)
    action.centre([0.3])
    rate = torch.rand(5, dtype=torch.float64, generator=generator).requires_grad_()
    seen = action.describe(rate)
    along = torch.randn(seen.shape, dtype=torch.float64, generator=generator)
    (expected,) = torch.autograd.grad((seen * along).sum(), rate)
    at = rate.detach()
    torch.testing.assert_close(action.chain(at, along), expected)
    torch.testing.assert_close(action.chain(at[0], along[0]), expected[0])
    weights = torch.randn(5, dtype=torch.float64, generator=generator)
    torch.testing.assert_close((action.unchain(at, weights) * along).sum(), (weights * expected).sum())  # transposed
    two = action.unchain(at.repeat(2, 1), weights.repeat(2, 1))
    torch.testing.assert_close(two, action.unchain(at, weights).repeat(2, 1, 1))


@pytest.mark.parametrize("settled", [True, False])
def test_a_log_rate_resumes(settled: bool) -> None:
    one, two = LogRate(), LogRate()
    one.centre([0.3, 2.0], settled=settled)
    two.load_state_dict(one.state_dict())
    raw = torch.tensor([5.0, -1.0])
    assert torch.equal(one.rate(raw), two.rate(raw))
    assert torch.equal(one.describe(raw.exp()), two.describe(raw.exp()))
    assert AbsoluteRate().state_dict() == {}


def test_a_limit_holds_whether_the_centre_is_settled_or_not() -> None:
    """And the ceiling, where that is lower: ten times 0.02 is below 1."""
    for settled, highest in ((True, 0.2), (False, 1.0)):
        action = LogRate(limit=1.0)
        action.centre([0.02], settled=settled)
        assert action.rate(torch.tensor([0.0])).item() == pytest.approx(0.02)
        assert action.rate(torch.tensor([60.0])).item() == pytest.approx(highest)
