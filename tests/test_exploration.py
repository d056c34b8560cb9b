"""Noise of the right size, and a sweep that finds the edge."""

from __future__ import annotations

import math

import pytest
import torch

from lrpilot import InvalidArgument
from lrpilot.online.exploration import LogNormal, Opening


@pytest.mark.parametrize(("step", "sigma"), [(0, 0.3), (3000, 0.15), (10**6, 0.1)])
def test_log_normal_deviation(step: int, sigma: float) -> None:
    explore, generator = LogNormal(start=0.3, end=0.1, time=1000), torch.Generator().manual_seed(0)
    logs = torch.stack([explore(torch.tensor(0.2), step, generator) for _ in range(2000)]).log()
    assert logs.std().item() == pytest.approx(sigma, rel=0.06)
    assert logs.mean().item() == pytest.approx(math.log(0.2), abs=0.03)


def test_a_deviation_that_grows_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="start"):
        LogNormal(start=0.1, end=0.3)


def sweep(start: float, curvature: float = 0.83, floor: float = 0.0) -> tuple[Opening, torch.Tensor]:
    """Runs the opening on f = curvature w^2 / 2 + floor, whose best rate is 1 / curvature, until it is done.

    Rates and curvature are chosen so that no step of the sweep hits the best rate, and the minimum, exactly.
    """
    w = torch.nn.Parameter(torch.tensor([3.0]))
    optimizer = torch.optim.SGD([w], lr=start)
    opening = Opening()
    f = lambda: float(curvature * w.detach() ** 2 / 2) + floor  # noqa: E731
    for _ in range(300):
        if opening.done:
            break
        opening.attach(start, optimizer, [])
        before, old = f(), w.detach().clone()
        with torch.no_grad():
            w -= opening.rate * curvature * w
        if opening.survived(before, f()):
            moved = old - w.detach()
            opening.climb(float(moved * curvature * w.detach()), float(moved * curvature * old))
    return opening, w


@pytest.mark.parametrize("start", [1e-4, 0.03, 1.0, 1e3])
def test_the_sweep_ends_at_the_edge_from_any_start(start: float) -> None:
    opening, w = sweep(start)
    assert opening.done
    assert 0.25 / 0.83 < opening.rate < 0.6 / 0.83  # a margin of 4 below an edge of one to two best rates
    assert w.item() == 3.0  # and takes the network back


def test_the_sweep_ends_at_the_edge_where_the_loss_cannot_reach_zero() -> None:
    """It converges on its way up; the steps at the edge are too small to count on a plateau, but this is none."""
    opening, w = sweep(1e-4, floor=4.0)
    assert 0.25 / 0.83 < opening.rate < 0.6 / 0.83
    assert w.item() == 3.0


def test_the_sweep_knows_no_scale() -> None:
    assert 0.25e-6 / 0.83 < sweep(1e-3, curvature=0.83e6)[0].rate < 0.6e-6 / 0.83


def test_a_step_that_destroys_is_undone() -> None:
    w = torch.nn.Parameter(torch.tensor([3.0]))
    opening = Opening()
    opening.attach(10.0, torch.optim.SGD([w], lr=10.0), [])
    with torch.no_grad():
        w.fill_(float("nan"))
    assert not opening.survived(4.5, float("nan"))
    assert w.item() == 3.0
    assert opening.rate == pytest.approx(0.01)


def test_the_sweep_begins_well_below_the_optimizers_rate() -> None:
    opening = Opening()
    opening.attach(1.0, torch.optim.SGD([torch.nn.Parameter(torch.tensor([3.0]))], lr=1.0), [])
    assert opening.rate == pytest.approx(0.01)


def test_a_network_whose_loss_has_multiplied_is_taken_back() -> None:
    """Every step lowers its own batch's loss, and yet the losses rise: 3 + 4 + 8 is not three times 6, 4 + 8 + 9 is."""
    w = torch.nn.Parameter(torch.tensor([3.0]))
    opening = Opening()
    opening.attach(1.0, torch.optim.SGD([w], lr=1.0), [])
    with torch.no_grad():
        w.fill_(50.0)
    for loss in (2.0, 1.0, 3.0, 4.0, 8.0):
        assert opening.survived(loss, 0.5 * loss)
        opening.climb(1.0, 1.0)
    rate = opening.rate
    assert not opening.survived(9.0, 4.5)
    assert opening.done
    assert opening.rate == rate / 4
    assert w.item() == 3.0


def test_batches_that_disagree_on_a_plateau_do_not_end_the_sweep() -> None:
    """At a loss of 2.3 a step is small while it promises at most 0.023; what it does to other batches then is noise."""
    opening = Opening()
    opening.attach(1.0, torch.optim.SGD([torch.nn.Parameter(torch.tensor([3.0]))], lr=1.0), [])
    for _ in range(20):
        assert opening.survived(2.3, 2.2999)
        opening.climb(-0.02, 0.02)
        assert not opening.done
    for _ in range(2):  # 0.02 + 0.03 + 0.03 is more than three times 0.023
        assert opening.survived(2.3, 2.2999)
        opening.climb(-0.02, 0.03)
    assert opening.done
