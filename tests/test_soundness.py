"""What a sound run does not do: at the very edge, and among many runs."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from lrpilot.pilot.interval import Interval
from lrpilot.pilot.memory import Memory
from lrpilot.pilot.soundness import another_loss, blown_up, fitted, lost, step_ceiling, takes_back

LEARNED, HALF = math.log(0.97), math.log(0.5)


def seen(*losses: float, **known: float) -> Interval:
    return Interval.unmeasured(torch.tensor(losses, dtype=torch.float64), **known)


def remembered(**known: float) -> Memory:
    """Of one run, whose first loss was 1."""
    return Memory.of_one_run()._replace(first=1.0, **known)


EDGES: dict[str, Callable[[float], object]] = {
    "half above the first loss": lambda more: takes_back(seen(1.0, 1.5 + more), remembered(), closing=False),
    "one a hundredfold": lambda more: takes_back(seen(100.0 + more, 1.0, 1.0), remembered(), closing=False),
    "three hundredths were learned": lambda more: takes_back(
        seen(1.0), remembered(best=LEARNED + more, highest=9.0), closing=True
    ),
    "three times the rate": lambda more: takes_back(seen(1.0), remembered(highest=math.log(3.0) + more), closing=True),
    "a hundredth of the last loss": lambda more: another_loss(
        seen(1.0 - more, weight_norm=1.0), remembered(last=math.log(100.0), gradient_norm=0.1)
    ),
    "an eighth could be gained": lambda more: another_loss(
        seen(1e-3, weight_norm=4.0), remembered(gradient_norm=0.125 / 4 - more)
    ),
    "half was left": lambda more: lost(seen(*[1.0] * 8), remembered(short=HALF - more), half=False),
    "half was left, a few steps": lambda more: lost(seen(1.0, 2.0, 2.0), remembered(best=HALF - more), half=False),
    "all but three hundredths are back": lambda more: lost(
        seen(*[0.97 + more] * 8), remembered(short=-1.0), half=False
    ),
    "half above the first loss, a few steps": lambda more: lost(
        seen(1.0, 1.5 + more, 1.5 + more), remembered(best=-1.0), half=False
    ),
    "half of the way back": lambda more: lost(seen(*[0.5 + more] * 8), remembered(short=2 * HALF), half=True),
    "had learned three hundredths": lambda more: lost(seen(*[2.0] * 8), remembered(short=LEARNED - more), half=True),
    "worse than untrained by half": lambda more: lost(seen(*[1.5 + more] * 8), remembered(short=-0.1), half=True),
    "tenfold": lambda more: blown_up(seen(10.0 + more), remembered()),
    "too little learned for a loss of nothing": lambda more: not fitted(seen(0.0), remembered(best=LEARNED + more)),
    "too little learned for a free rate": lambda more: math.isfinite(
        step_ceiling(seen(1.0, tensor_update=0.01), remembered(best=LEARNED + more))
    ),
}


@pytest.mark.parametrize("edge", EDGES)
def test_what_lies_just_at_an_edge_is_not_beyond_it(edge: str) -> None:
    """Losses may be shares of a few examples, and the guard itself cuts a rate by just three."""
    assert not EDGES[edge](0.0)
    assert EDGES[edge](1e-9)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("steps", [2, 3, 9])
def test_losses_of_many_runs_are_judged_as_those_of_each(steps: int, half: bool) -> None:
    levels = (0.3, 0.65, 0.99, 1.4, 1.6, 12.0)
    losses = torch.tensor(levels).unsqueeze(-1) * torch.linspace(1.0, 1.001, steps)
    many = Memory.fresh((6,))._replace(first=torch.ones(6), short=torch.full((6,), -1.0), best=torch.full((6,), -1.0))
    one = remembered(short=-1.0, best=-1.0)
    gone = [lost(seen(*row), one, half=half) for row in losses.tolist()]
    assert lost(Interval.unmeasured(losses), many, half=half).tolist() == gone
    assert set(gone) == ({False} if steps == 2 else {False, True})  # the second of two losses alone tells nothing
    assert blown_up(Interval.unmeasured(losses), many).tolist() == [level > 10 for level in levels]


def test_what_is_lost_is_lost_by_two_standard_errors() -> None:
    """Four late losses whose logs lie 0.3 below and above a mean: a deviation of 0.3 sqrt(4 / 3), half of it that of
    the mean. So this must lie 0.346 above log(0.97) = -0.030."""
    means = torch.tensor([0.25, 0.29, 0.31, 0.32, 0.40])
    late = (means.unsqueeze(-1) + 0.3 * torch.tensor([-1.0, 1.0, -1.0, 1.0])).exp()
    interval = Interval.unmeasured(torch.cat([torch.ones(5, 4), late], -1))
    memory = Memory.fresh((5,))._replace(first=torch.ones(5), short=torch.full((5,), -1.0))
    assert lost(interval, memory, half=False).tolist() == [False, False, False, True, True]


def test_a_loss_of_nothing_is_one_in_the_last_six_steps() -> None:
    """In which the gradients are measured, which are zero then."""
    learned = remembered(best=-9.0)
    assert fitted(seen(1.0, *[0.0] * 6), learned)
    assert not fitted(seen(*[0.0] * 5, 1.0), learned)
    assert not fitted(seen(1.0, *[0.0] * 5), learned)
