from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from lrpilot.errors import InvalidArgument
from lrpilot.pilot.features import FEATURES, observe
from lrpilot.pilot.interval import Interval
from lrpilot.pilot.memory import Memory
from lrpilot.pilot.soundness import step_ceiling, takes_back
from lrpilot.pilot.timetable import decision_steps


def draw_interval(generator: torch.Generator, *, runs: int = 7, steps: int = 9) -> Interval:
    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand(runs, *shape, generator=generator)

    return Interval(
        losses=uniform(0.2, 3.0, steps),
        gradient_cosine=uniform(-1, 1),
        update_cosine=uniform(-1, 1),
        decrease=uniform(-0.01, 0.1),
        next_decrease=uniform(-0.1, 0.1),
        gradient_norm=uniform(0.1, 2),
        update_norm=uniform(0.01, 0.1),
        weight_norm=uniform(1, 5),
        tensor_update=uniform(0.001, 0.1),
        largest_tensor_update=uniform(0.1, 0.3),
        log_rate=uniform(-3, 3),
        last_step=uniform(-1, 1),
        boundaries=(0.1, 0.2, 0.3),
    )


def scale_loss(interval: Interval, factor: float) -> Interval:
    scaled = ("losses", "decrease", "next_decrease", "gradient_norm")
    return replace(interval, **{name: factor * getattr(interval, name) for name in scaled})


def scale_parameters(interval: Interval, factor: float) -> Interval:
    """w -> factor w: gradients shrink by the factor, products with updates stay."""
    return replace(
        interval,
        gradient_norm=interval.gradient_norm / factor,
        update_norm=interval.update_norm * factor,
        weight_norm=interval.weight_norm * factor,
    )


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("factor", [1e-6, 1e6])
@pytest.mark.parametrize("scale", [scale_loss, scale_parameters])
def test_each_feature_is_invariant(feature, factor, scale):
    generator = torch.Generator().manual_seed(0)
    intervals = [draw_interval(generator) for _ in range(3)]
    memory = other = Memory.fresh((7,))
    index = FEATURES.index(feature)
    for interval in intervals:
        plain, memory = observe(interval, memory)
        scaled, other = observe(scale(interval, factor), other)
        torch.testing.assert_close(scaled[:, index], plain[:, index], rtol=1e-3, atol=2e-3)


def test_an_unscaled_gradient_norm_would_break_the_invariance():
    interval = draw_interval(torch.Generator().manual_seed(0))
    wrong = replace(scale_loss(interval, 1e3), gradient_norm=interval.gradient_norm)
    plain, _ = observe(interval, Memory.fresh((7,)))
    broken, _ = observe(wrong, Memory.fresh((7,)))
    assert not torch.allclose(plain, broken, atol=0.1)


def test_values_by_hand():
    losses = torch.tensor([[2.0, 2.0, 1.0, 1.0]])
    first, memory = observe(
        Interval.unmeasured(losses, log_rate=torch.tensor([1.0]), boundaries=(0.0, 0.2, 0.6)),
        Memory.fresh((1,)),
    )
    value = dict(zip(FEATURES, first[0].tolist(), strict=True))
    mean = -math.log(2) / 2
    assert value["below_first"] == pytest.approx(mean / 2)
    assert value["trend"] == pytest.approx(-4 * math.log(2))
    assert value["change"] == value["above_best"] == value["gradient_cosine"] == 0
    assert value["progress"] == pytest.approx(-0.6)
    assert value["linear_decay"] == pytest.approx(math.log(0.6 / 0.9))
    second, memory = observe(Interval.unmeasured(2 * losses, boundaries=(0.2, 0.6, 1.0)), memory)
    value = dict(zip(FEATURES, second[0].tolist(), strict=True))
    assert value["change"] == value["above_best"] == pytest.approx(2 * math.log(2))
    assert value["below_highest"] == pytest.approx(-1 / 3)
    assert memory.best.item() == pytest.approx(mean)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 0.0, -1.0, 1e38])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_any_loss_gives_finite_features_and_memory(bad, position):
    memory = Memory.fresh((1,))
    for interval in range(3):
        losses = torch.ones(1, 3)
        if interval == 1 or position == 0:
            losses[0, position] = bad
        features, memory = observe(Interval.unmeasured(losses), memory)
        assert features.isfinite().all()
        assert features.abs().max() <= 4
    kept = memory._replace(gradient_norm=torch.zeros(1))  # which was never measured
    assert all(value.isfinite().all() for value in kept)


def test_one_step_and_no_leading_dimension():
    features, memory = observe(Interval.unmeasured(torch.tensor([1.5])), Memory.fresh())
    assert features.shape == (len(FEATURES),)
    assert memory.first.item() == 1.5


def test_runs_do_not_see_each_other():
    interval = draw_interval(torch.Generator().manual_seed(1))
    together, _ = observe(interval, Memory.fresh((7,)))
    poisoned, _ = observe(
        replace(interval, losses=interval.losses.index_fill(0, torch.tensor(3), math.nan)), Memory.fresh((7,))
    )
    others = [0, 1, 2, 4, 5, 6]
    torch.testing.assert_close(together[others], poisoned[others])


def test_known_and_unknown_lengths_mix():
    interval = draw_interval(torch.Generator().manual_seed(1), runs=2)
    now = torch.tensor([0.2, math.nan])
    features, _ = observe(replace(interval, boundaries=(0.1, now, 0.3)), Memory.fresh((2,)))
    assert features[:, FEATURES.index("anytime")].tolist() == [0, 1]
    assert features[1, FEATURES.index("linear_decay")] == 0
    alone, _ = observe(replace(interval, boundaries=None), Memory.fresh((2,)))
    torch.testing.assert_close(features[1], alone[1])


def test_takes_back_what_is_worse_than_untrained():
    nan = math.nan
    learned, rising, broken, stalled = [2.0, 1.0, 1.0, 1.0], [2.0, 2.0, 4.0, 8.0], [2.0, 2.0, nan, nan], [2.0] * 4
    spiked, high = [2.0, 201.0, 1.0, 1.0], [2.0, 199.0, 1.0, 1.0]
    interval = Interval.unmeasured(torch.tensor([learned, rising, broken, stalled, spiked, high]))
    memory = Memory.fresh((6,))._replace(highest=torch.full((6,), 2.0))
    assert takes_back(interval, memory, closing=False).tolist() == [False, True, True, False, True, False]
    assert takes_back(interval, memory, closing=True).tolist() == [False, True, True, True, True, True]
    untried = memory._replace(highest=torch.zeros(6))
    assert takes_back(interval, untried, closing=True).tolist() == [False, True, True, False, True, False]
    features, after = observe(replace(interval, taken_back=takes_back(interval, memory, closing=False)), memory)
    assert features[:, FEATURES.index("taken_back")].tolist() == [0, 1, 1, 0, 1, 0]
    assert after.last[1] == 0


def test_decision_steps():
    steps = decision_steps(6000)
    assert len(steps) == 50
    assert steps[:3] == (2, 6, 13)
    assert sum(step <= 60 for step in steps) == 6  # in the first hundredth
    assert steps[-1] == 6000
    short = decision_steps(20)
    assert short[-1] == 20
    assert list(short) == sorted(set(short))
    assert decision_steps(1) == (1,)
    with pytest.raises(InvalidArgument, match="total_steps"):
        decision_steps(0)


def test_the_clock_of_one_run_is_that_of_many():
    boundaries = (0.1, 0.25, 0.995)
    single, _ = observe(Interval.unmeasured(torch.ones(3), boundaries=boundaries), Memory.fresh())
    several = tuple(torch.tensor([value, torch.nan]) for value in boundaries)
    many, _ = observe(Interval.unmeasured(torch.ones(2, 3), boundaries=several), Memory.fresh((2,)))
    torch.testing.assert_close(single, many[0])
    assert not torch.equal(many[0], many[1])


def test_an_untrained_network_is_not_moved_farther_than_its_own_size():
    """16 steps in the next interval, each of a twentieth of the weights: sqrt(16) / 20 = 0.2, so a fivefold rate."""
    interval = replace(
        Interval.unmeasured(torch.ones(2, 8), boundaries=(0.1, 0.2, 0.4)), tensor_update=torch.full((2,), 0.05)
    )
    nothing, learned = 0.0, math.log(0.9)
    memory = Memory.fresh((2,))._replace(best=torch.tensor([nothing, learned]))
    ceiling = step_ceiling(interval, memory)
    assert ceiling[0].item() == pytest.approx(math.log(5.0))
    assert ceiling[1] == math.inf
    wild = replace(interval, tensor_update=torch.tensor([3.0, 3.0]))
    assert step_ceiling(wild, memory)[0] == 0.0
    unmeasured = replace(interval, tensor_update=torch.tensor([math.nan, math.nan]))
    assert step_ceiling(unmeasured, memory)[0] == math.inf
    anytime = replace(interval, boundaries=None)  # the next interval is taken to be as long as this one
    assert step_ceiling(anytime, memory)[0].item() == pytest.approx(math.log(1 / (0.05 * math.sqrt(8))))


def test_rest_and_movement_are_counted_from_the_last_fall():
    memory = Memory.fresh((1,))
    moves = torch.tensor([0.1])
    for level, expected in ((1.0, (2, 0.2)), (0.99, (4, 0.4)), (0.9, (0, 0.0)), (0.9, (2, 0.2))):
        interval = replace(Interval.unmeasured(torch.full((1, 2), level)), tensor_update=moves)
        _, memory = observe(interval, memory)
        assert (memory.rested.item(), memory.moved.item()) == pytest.approx(expected)


PULL = {"gradient_norm": 2.3, "weight_norm": math.e**2, "tensor_update": 0.01}


@pytest.mark.parametrize("offset", [-2.0, -2.3, -5.0, -100.0])
def test_losses_of_any_sign_are_measured_from_a_floor_of_their_own(offset):
    """A loss that falls from 2.3 to 0.5, shifted: what is seen falls as far as e^1 to e^2 and never by the clamp."""
    memory = Memory.fresh()
    pull = {name: torch.tensor(value) for name, value in PULL.items()}
    seen = []
    for level in (2.3, 2.0, 1.5, 1.0, 0.5):
        interval = replace(Interval.unmeasured(torch.full((4,), level + offset)), **pull)
        features, memory = observe(interval, memory)
        seen.append(memory.last.item())
        assert features.isfinite().all()
    assert all(later < earlier for earlier, later in pairwise(seen[1:]))
    assert -3.5 < seen[-1] < -0.5


def test_a_floor_that_moves_leaves_what_is_remembered_in_place():
    """1.3 -> 0.65 -> -0.1: the floor moves below -0.1 by 2, and what was 1.3 and 0.65 is found again from there."""
    memory = Memory.fresh()
    pull = {name: torch.tensor(value) for name, value in (PULL | {"gradient_norm": 2.0}).items()}
    for level in (1.3, 0.65, -0.1):
        before = memory
        _, memory = observe(replace(Interval.unmeasured(torch.tensor([level])), **pull), memory)
    assert before.last.item() == pytest.approx(math.log(0.5))
    assert memory.floor.item() == pytest.approx(-2.1)
    assert memory.best.item() == memory.last.item() == pytest.approx(math.log(2.0 / 3.4))
    long = math.log(2.75 / 3.4) * 0.1 + 0.9 * math.log(3.4 / 3.4)  # of 1.3 and then a tenth of the way to 0.65, in logs
    assert memory.long.item() == pytest.approx(long + 0.1 * (memory.last.item() - long), abs=0.02)


def test_a_first_loss_of_next_to_nothing_is_not_taken_for_the_scale():
    interval = replace(
        Interval.unmeasured(torch.tensor([1e-6, 0.5])),
        gradient_norm=torch.tensor(1.0),
        weight_norm=torch.tensor(20.0),
        tensor_update=torch.tensor(0.01),
    )
    assert not takes_back(interval, Memory.fresh(), closing=False)
    usual = replace(interval, gradient_norm=torch.tensor(1e-6))
    assert takes_back(usual, Memory.fresh(), closing=False)


def test_without_gradients_the_rate_does_not_rise():
    interval = replace(Interval.unmeasured(torch.zeros(3)), gradient_norm=torch.tensor(0.0))
    _, memory = observe(interval, Memory.fresh())
    assert step_ceiling(interval, memory) == 0
