"""Actions: values by hand, gradients by automatic and by finite differences."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from lrpilot import InvalidArgument
from lrpilot.online.action import AbsoluteRate, Action, LogRate


def centred(action: Action, *rates: float, settled: bool = False) -> Action:
    action.centre(rates, settled=settled)
    return action


def numbers(*shape: int) -> np.ndarray:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).numpy()


def test_absolute_rate() -> None:
    action = AbsoluteRate()
    assert action.rate(np.array([-0.25])).tolist() == [0.25]
    assert action.describe(np.array([0.1, 0.2])).tolist() == [[0.1], [0.2]]
    action.centre([5.0])
    assert action.rate(np.array([-0.25])).tolist() == [0.25]


def test_absolute_rate_has_a_bound_only_when_asked() -> None:
    assert AbsoluteRate().rate(np.array([1e6])).tolist() == [1e6]
    assert AbsoluteRate(bound=2.0).rate(np.array([1e6])).tolist() == [2.0]
    assert AbsoluteRate(bound=0.5).rate(np.array([1.0])).tolist() == [0.5]
    for bound in (-1.0, 0.0):
        with pytest.raises(InvalidArgument, match=f"bound must be None or a rate above 0, got {bound}"):
            AbsoluteRate(bound=bound)


def test_an_action_is_as_many_numbers_as_it_says_and_in_the_optimizers_unit_until_it_is_centred() -> None:
    for action in (AbsoluteRate(), LogRate()):
        assert action.describe(np.array([0.1])).shape == (1, action.size)
    assert LogRate().rate(np.array([0.0])).tolist() == [1.0]


def test_log_rate_is_centred_and_logarithmic() -> None:
    action = LogRate(unit=2.0)
    action.centre([0.01])
    assert action.rate(np.array([0.0])).tolist() == pytest.approx([0.01])
    assert action.rate(np.array([math.log(10.0)])).tolist() == pytest.approx([0.1])
    ((z, square),) = action.describe(np.array([0.1])).tolist()
    assert z == pytest.approx(math.log(10) / 2)
    assert square == pytest.approx(z * z)


def test_settled_log_rate_keeps_its_centre_and_stays_below_the_ceiling() -> None:
    action = LogRate(ceiling=4.0)
    action.centre([0.1], settled=True)
    assert action.rate(np.array([0.0])).tolist() == pytest.approx([0.1])
    assert 0.39 < action.rate(np.array([30.0])).item() <= 0.4 * (1 + 1e-12)
    assert action.rate(np.array([-6.0])).item() < 0.001


def logistic(centre: torch.Tensor | float, ceiling: torch.Tensor | float, raw: torch.Tensor) -> torch.Tensor:
    """``centre exp(raw)`` bent below ``ceiling`` times the centre: exp(room - softplus(bend - raw)), written out."""
    return centre * ceiling / (1 + (ceiling - 1) * (-raw).exp())


CENTRES = torch.tensor([0.3, 0.02], dtype=torch.float64)
FORMULAS = {
    "as it is": (AbsoluteRate(), torch.abs),
    "with a bound": (AbsoluteRate(bound=0.5), lambda raw: raw.abs().clamp(max=0.5)),
    "log": (centred(LogRate(), 0.3), lambda raw: 0.3 * raw.exp()),
    "log with a ceiling": (centred(LogRate(ceiling=4.0), 0.3, settled=True), lambda raw: logistic(0.3, 4.0, raw)),
    "log with a limit": (centred(LogRate(limit=1.0), 0.02), lambda raw: logistic(0.02, 50.0, raw)),
    "log in two places": (centred(LogRate(), *CENTRES.tolist()), lambda raw: CENTRES * raw.exp()),
    "log with a limit in two places": (
        centred(LogRate(limit=1.0), *CENTRES.tolist(), settled=True),  # of 0.3 the limit is the lower, of 0.02 ten
        lambda raw: logistic(CENTRES, torch.tensor([1 / 0.3, 10.0], dtype=torch.float64), raw),
    ),
}


@pytest.mark.parametrize(("action", "formula"), FORMULAS.values(), ids=FORMULAS)
def test_the_slope_is_the_derivative_of_the_rate(action: Action, formula: Callable) -> None:
    raw = 2 * numbers(6, 2)  # to both sides of 0, of the bound and of where a rate bends
    here = torch.tensor(raw, requires_grad=True)
    rate = formula(here)
    (expected,) = torch.autograd.grad(rate.sum(), here)
    np.testing.assert_allclose(action.rate(raw), rate.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(action.slope(raw), expected.numpy(), rtol=1e-12)
    np.testing.assert_allclose(action.slope(raw[0]), expected[0].numpy(), rtol=1e-12)
    step = 1e-6
    differences = (action.rate(raw + step) - action.rate(raw - step)) / (2 * step)
    np.testing.assert_allclose(action.slope(raw), differences, rtol=1e-6)


def test_the_slope_of_an_absolute_rate_in_its_corners() -> None:
    """At 0 it goes neither way. At the bound, from which a raw output can come back, it is that from within."""
    assert AbsoluteRate().slope(np.array([0.0, 7.0, -7.0])).tolist() == [0.0, 1.0, -1.0]
    action, bound = AbsoluteRate(bound=0.5), np.array([0.5, -0.5])
    from_within = (action.rate(bound) - action.rate(bound / 2)) / (bound / 2)
    assert action.slope(bound).tolist() == from_within.tolist() == [1.0, -1.0]
    assert action.slope(np.array([0.0, 0.5 + 1e-9, -0.5 - 1e-9])).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("settled", [False, True])
def test_log_rate_gradient(settled: bool) -> None:
    action = LogRate()
    action.centre([0.3], settled=settled)
    raw, step = np.array([0.7]), 1e-6
    rate = action.rate(raw)
    gradient = action.derivative(rate, action.describe(rate)) * action.slope(raw)[..., None]
    above, below = (action.describe(action.rate(raw + by)) for by in (step, -step))
    np.testing.assert_allclose(gradient, (above - below) / (2 * step), rtol=1e-6)


def test_a_ceiling_of_ten_leaves_room_to_climb_and_none_to_run_away() -> None:
    """The opening hands over a quarter of the rate at which it went too far, or less; ten times that is beyond the edge
    on every network, so that no good rate is out of reach, and an actor that climbs without end stops there."""
    action = LogRate()
    action.centre([0.1], settled=True)
    assert action.rate(np.array([50.0])).tolist() == pytest.approx([10 * 0.1])


def test_a_unit_of_two_e_folds_keeps_the_critics_inputs_near_one() -> None:
    """z and z^2 reach about 1 a decade from the centre: neither drowns the other where the best rate may lie."""
    action = LogRate()
    action.centre([0.1])
    assert action.describe(np.array([0.1 * math.exp(2.0)]))[0].tolist() == pytest.approx([1.0, 1.0])


def log_description(rate: torch.Tensor) -> torch.Tensor:
    z = (rate / CENTRES).log() / 2
    return torch.stack((z, z**2), dim=-1)


@pytest.mark.parametrize(
    ("make", "formula"), [(AbsoluteRate, lambda rate: rate.unsqueeze(-1)), (LogRate, log_description)]
)
def test_the_chain_rule_is_that_of_the_description(make: type, formula: Callable) -> None:
    action = centred(make(), *CENTRES.tolist())
    rate = np.abs(numbers(5, 2))
    at = torch.tensor(rate, requires_grad=True)
    expected = formula(at)
    seen = action.describe(rate)
    np.testing.assert_allclose(seen, expected.detach().numpy(), rtol=1e-12)
    derivative = action.derivative(rate, seen)
    for number in range(action.size):
        (of_one,) = torch.autograd.grad(expected[..., number].sum(), at, retain_graph=True)
        np.testing.assert_allclose(derivative[..., number], of_one.numpy(), rtol=1e-12)
    assert derivative.shape == (5, 2, action.size)
    assert np.array_equal(action.derivative(rate[0], seen[0]), derivative[0])
    two = action.derivative(np.stack((rate, rate)), np.stack((seen, seen)))
    assert np.array_equal(two, np.stack((derivative, derivative)))


@pytest.mark.parametrize("settled", [True, False])
def test_a_log_rate_resumes(settled: bool) -> None:
    one, two = LogRate(), LogRate()
    one.centre([0.3, 2.0], settled=settled)
    two.load_state_dict(one.state_dict())
    raw = np.array([5.0, -1.0])
    assert np.array_equal(one.rate(raw), two.rate(raw))
    assert np.array_equal(one.slope(raw), two.slope(raw))
    assert np.array_equal(one.describe(np.exp(raw)), two.describe(np.exp(raw)))
    assert AbsoluteRate().state_dict() == {}


def test_a_limit_holds_whether_the_centre_is_settled_or_not() -> None:
    """And the ceiling, where that is lower: ten times 0.02 is below 1."""
    for settled, highest in ((True, 0.2), (False, 1.0)):
        action = LogRate(limit=1.0)
        action.centre([0.02], settled=settled)
        assert action.rate(np.array([0.0])).item() == pytest.approx(0.02)
        assert action.rate(np.array([60.0])).item() == pytest.approx(highest)
