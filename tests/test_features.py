from __future__ import annotations

import math
from dataclasses import fields, replace
from itertools import pairwise

import pytest
import torch

from lrpilot.pilot.features import FEATURES, observe
from lrpilot.pilot.interval import Interval
from lrpilot.pilot.measurement import Measured
from lrpilot.pilot.memory import Memory, anchored, log_losses
from lrpilot.pilot.soundness import step_ceiling, takes_back


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


def test_a_run_in_floats_is_as_it_is_among_others_in_tensors():
    """Over decisions with losses that are not finite or below zero, unmeasured updates, and networks taken back."""
    generator = torch.Generator().manual_seed(0)
    many, single = Memory.fresh((7,)), [Memory.of_one_run()] * 7
    back = torch.zeros(7, dtype=torch.bool)
    for decision in range(8):
        interval = draw_interval(generator)
        losses = interval.losses * (torch.linspace(0.5, 1.5, 7) ** decision).unsqueeze(-1)
        losses[0, decision] = math.nan
        losses[1] -= 0.8 * (decision > 3)
        interval.tensor_update[2] = (math.nan, 0.0)[decision % 2]
        interval.gradient_norm[3] = 0.0
        interval = replace(interval, losses=losses)
        interval = replace(interval, taken_back=takes_back(interval, many, closing=True))
        runs = [(one_run(interval, run), memory) for run, memory in enumerate(single)]
        assert interval.taken_back.tolist() == [takes_back(*run, closing=True) for run in runs]
        features, many = observe(interval, many)
        rows, single = zip(*(observe(*run) for run in runs), strict=True)
        torch.testing.assert_close(torch.stack(rows), features, rtol=1e-3, atol=1e-3)
        for name, values in many._asdict().items():
            floats = torch.tensor([getattr(memory, name) for memory in single])
            torch.testing.assert_close(floats, values, rtol=1e-4, atol=1e-4, equal_nan=True)
        ceilings = [step_ceiling(one, memory) for (one, _), memory in zip(runs, single, strict=True)]
        assert ceilings == pytest.approx(step_ceiling(interval, many).tolist(), rel=1e-4, abs=1e-5)
        back |= interval.taken_back
    assert back.any()
    assert not back.all()


def test_a_floor_too_near_to_be_told_from_the_first_loss_is_seen():
    """In floats nothing is divided by zero: the loss falls below 0 by what no gradient tells of."""
    memory = Memory.of_one_run()
    for losses in ([1.0, 1.0], [-1.0, -1.0], [-1.0, -1.0]):
        measured = {field.name: 1e-12 for field in fields(Measured)}
        interval = Interval(
            losses=torch.tensor(losses).double(), **measured, log_rate=0.0, last_step=0.0, boundaries=None
        )
        features, memory = observe(interval, memory)
        assert features.isfinite().all()


def one_run(interval: Interval, run: int) -> Interval:
    """One of the runs of an interval, in floats."""
    numbers = {f.name: getattr(interval, f.name) for f in fields(interval) if f.name not in ("losses", "boundaries")}
    floats = {name: value[run].item() for name, value in numbers.items()}
    return Interval(losses=interval.losses[run].double(), boundaries=interval.boundaries, **floats)


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
    alone, _ = observe(replace(interval, boundaries=None), Memory.fresh((2,)))
    for boundaries in ((now, 0.3, 0.4), (0.1, now, 0.3), (0.0, 0.1, now)):
        features, _ = observe(replace(interval, boundaries=boundaries), Memory.fresh((2,)))
        assert features[:, FEATURES.index("anytime")].tolist() == [0, 1]
        assert features[0, FEATURES.index("linear_decay")] < 0
        assert features[1, FEATURES.index("linear_decay")] == 0
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
        features, memory = observe(replace(Interval.unmeasured(torch.tensor([level])), **pull), memory)
    assert by_name(features)["gradient_change"] == pytest.approx(0, abs=1e-5)  # it was the same each time
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


def by_name(features: torch.Tensor) -> dict[str, float]:
    return dict(zip(FEATURES, features.tolist(), strict=True))


def usual_interval(**changes: object) -> Interval:
    """Losses of e^0.1, e^0.3, e^0.2 and e^0.6: a mean log of 0.3, halves at 0.2 and 0.4."""
    numbers = {
        "gradient_cosine": 0.3,
        "update_cosine": -0.2,
        "decrease": 0.02,
        "next_decrease": 0.01,
        "gradient_norm": 1.5,
        "update_norm": 0.03,
        "weight_norm": 3.0,
        "tensor_update": 0.02,
        "largest_tensor_update": 0.06,
        "log_rate": 0.5,
        "last_step": 0.7,
    }
    known = {name: torch.tensor(value) for name, value in numbers.items()}
    losses = torch.tensor([0.1, 0.3, 0.2, 0.6]).exp()
    return replace(Interval.unmeasured(losses, **known, boundaries=(0.1, 0.2, 0.4)), **changes)


def known_memory(**changes: float) -> Memory:
    """The memory of a run whose first loss was 1."""
    numbers = {
        "first": 1.0,
        "last": 0.1,
        "short": 0.2,
        "long": 0.15,
        "best": -0.01,
        "gradient_norm": 1.0,
        "highest": 2.0,
        "rested": 10.0,
        "moved": 0.2,
    }
    return Memory.fresh()._replace(**{name: torch.tensor(value) for name, value in (numbers | changes).items()})


NOISE = math.sqrt(0.035)
"""Of the usual interval: the deviations from 0.3 are -0.2, 0, -0.1 and 0.3, their mean square is 0.035."""


@pytest.mark.parametrize(
    ("feature", "expected"),
    [
        ("progress", 2 * 0.2 - 1),
        ("anytime", 0),
        ("linear_decay", math.log(0.7 / 0.85)),  # the decay's mean is 0.85 from 0.1 to 0.2, then 0.7
        ("change", 2 * (0.3 - 0.1)),  # half a log loss is much in one interval: it is seen as 1
        ("change_short", 2 * (0.3 - 0.2)),
        ("change_long", 2 * (0.3 - 0.15)),
        ("above_best", 2 * (0.3 + 0.01)),
        ("below_first", 0.3 / 2),  # runs end three or four e-folds below their first loss
        ("trend", 4 * 0.2),
        ("trend_certainty", 0.2 / (2 * NOISE / math.sqrt(4) + 1e-3) / 3),  # two halves of n / 2 losses each
        ("noise", math.log(NOISE + 1e-4) / 3 + 0.7),  # 0 at a standard deviation of an eighth
        ("worst", 0.6 - 0.3),
        ("gradient_cosine", 2 * 0.3),  # cosines between batches are rarely above a half
        ("update_cosine", 2 * -0.2),
        ("realised", 0.5),
        ("predicted_decrease", (math.log(0.02) - 0.3) / 4 + 1),  # 0 where a step is promised e^-4 of the loss
        ("uphill", -1),
        ("update_ratio", math.log(0.01) / 4 + 1.5),  # 0 at e^-6, a four-hundredth of the weights a step
        ("sensitivity", (math.log(1.5 * 3.0) - 0.3) / 3),
        ("gradient_change", 2 * math.log(1.5)),
        ("last_step", 0.7),
        ("above_start", 0.5 / 4),
        ("below_highest", (0.5 - 2.0) / 3),
        ("steps", math.log(4) / 4 - 0.7),  # 0 at e^2.8, 16 steps
        ("taken_back", 0),
        ("tensor_update", math.log(0.02) / 4 + 1.5),
        ("tensor_spread", math.log(3) / 2),
        ("learned", -0.01 / math.log(0.97)),  # a third of the 3 % that count as progress
        ("rested", math.log(1 + 14) / 4 - 1),  # 10 steps and these 4; 0 after e^4 of them
        ("moved", math.log(0.2 + 4 * 0.02 + 1e-4) / 4 + 0.5),  # 0 where the weights have moved an eighth of their size
    ],
)
def test_each_feature_by_hand(feature: str, expected: float) -> None:
    """Divisors and shifts bring what runs show to within about one of 0, where a policy's first layer tells it apart;
    the shipped weights are made for them."""
    features, _ = observe(usual_interval(), known_memory())
    assert by_name(features)[feature] == pytest.approx(expected, abs=2e-6)


def test_a_feature_by_hand_for_each() -> None:
    (table,) = (mark for mark in test_each_feature_by_hand.pytestmark if mark.name == "parametrize")
    assert tuple(name for name, _ in table.args[1]) == FEATURES


def test_what_is_remembered_by_hand() -> None:
    """The short average forgets four tenths an interval (two or three of them count), the long one a tenth (ten)."""
    _, after = observe(usual_interval(), known_memory())
    expected = {
        "first": 1.0,
        "floor": 0.0,
        "last": 0.3,
        "short": 0.2 + 0.4 * (0.3 - 0.2),
        "long": 0.15 + 0.1 * (0.3 - 0.15),
        "best": -0.01,
        "gradient_norm": 1.5,
        "highest": 2.0,
        "mark": 0.0,
        "rested": 14.0,
        "moved": 0.2 + 4 * 0.02,
        "back": 0.0,
    }
    assert {name: value.item() for name, value in after._asdict().items()} == pytest.approx(expected, abs=1e-6)


def test_a_network_that_is_taken_back_remembers_its_start_alone() -> None:
    """And the highest rate and the gradient of then, and that it was taken back."""
    _, after = observe(usual_interval(taken_back=torch.tensor(True)), known_memory(mark=-0.5))
    kept = {"first": 1.0, "gradient_norm": 1.5, "highest": 2.0, "back": 1.0}
    assert {name: value.item() for name, value in after._asdict().items()} == kept | {
        name: 0.0 for name in Memory._fields if name not in kept
    }


def test_a_fall_by_three_hundredths_ends_the_rest() -> None:
    for loss, rested in ((0.971, 11.0), (0.969, 0.0)):
        _, after = observe(usual_interval(losses=torch.tensor([loss])), known_memory())
        assert after.rested.item() == rested
        assert after.mark.item() == pytest.approx(math.log(loss) if rested == 0 else 0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("extreme", "expected"),
    [
        (
            {"losses": torch.tensor([1e4, 1e4])},  # held at e^7: beyond it nothing more is told
            {"change": 3, "change_short": 3, "change_long": 3, "above_best": 3, "below_first": 3, "noise": -2.3701},
        ),
        ({"losses": torch.tensor([1e-9, 1e-9])}, {"change": -3, "below_first": -4, "above_best": 0, "learned": 1}),
        ({"losses": torch.tensor([1.0, 1.0, 1.0, 1e9])}, {"worst": 3, "trend": 3}),
        ({"losses": torch.tensor([1.0, 1e-9])}, {"trend": -3}),
        ({"last_step": torch.tensor(9.0)}, {"last_step": 4}),  # no step is larger than a factor of 50
        ({"last_step": torch.tensor(-9.0)}, {"last_step": -4}),
        ({"log_rate": torch.tensor(14.0)}, {"above_start": 3, "below_highest": 0}),
        ({"log_rate": torch.tensor(-14.0)}, {"above_start": -3, "below_highest": -3}),
        ({"boundaries": (0.5, 0.99, 1.0)}, {"linear_decay": -2}),  # a sevenfold fall at one decision
        ({"tensor_update": torch.tensor(1e-9)}, {"tensor_update": -3, "tensor_spread": 3}),
        ({"next_decrease": torch.tensor(9.0)}, {"realised": 3}),
        ({"next_decrease": torch.tensor(-9.0)}, {"realised": -3}),
    ],
)
def test_features_are_held_in_their_ranges(extreme: dict, expected: dict) -> None:
    """So that what no run has shown yet looks like the strongest that one has."""
    features, _ = observe(usual_interval(**extreme), known_memory())
    assert {name: by_name(features)[name] for name in expected} == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("decrease", "expected"), [(0.5, -1), (1e-9, -1), (0.0, 0), (-1e-9, 1), (math.nan, 0)])
def test_a_step_is_promised_to_go_down_or_up(decrease: float, expected: float) -> None:
    """Or neither, where no gradient is left."""
    features, _ = observe(usual_interval(decrease=torch.tensor(decrease)), known_memory())
    assert by_name(features)["uphill"] == expected


def test_losses_that_are_all_the_same_have_no_worst() -> None:
    """Exactly: of three times 0.14 the mean is rounded above each."""
    features, _ = observe(usual_interval(losses=torch.full((3,), 0.14)), known_memory())
    assert by_name(features)["worst"] == 0


def test_an_update_of_a_million_times_the_weights_is_as_far_as_it_goes() -> None:
    """So that the sum stays finite whatever a rate has done; by then the feature has long reached its end."""
    for update in (2e6, math.inf):
        _, after = observe(usual_interval(tensor_update=torch.tensor(update)), known_memory())
        assert after.moved.item() == pytest.approx(4e6, rel=1e-4)


def test_a_network_that_has_only_got_worse_has_learned_nothing() -> None:
    features, _ = observe(usual_interval(), Memory.fresh())
    assert by_name(features)["learned"] == -1


def test_losses_that_hardly_differ_have_no_trend_to_be_certain_of() -> None:
    """1 and e^0.001: a trend of 0.001, noise of 0.0005; a thousandth is added to its error, or rounding would count."""
    features, _ = observe(usual_interval(losses=torch.tensor([1.0, math.exp(1e-3)])), known_memory())
    expected = 1e-3 / (2 * 5e-4 / math.sqrt(2) + 1e-3) / 3
    assert by_name(features)["trend_certainty"] == pytest.approx(expected, rel=1e-3)


def test_the_logarithms_of_nothing() -> None:
    """No noise, no movement, no step since the last fall."""
    features, _ = observe(usual_interval(losses=torch.full((4,), 0.9)), known_memory())
    value = by_name(features)
    assert value["noise"] == pytest.approx(math.log(1e-4) / 3 + 0.7, abs=1e-4)
    assert value["moved"] == pytest.approx(math.log(1e-4) / 4 + 0.5, abs=1e-5)
    assert value["rested"] == -1


@pytest.mark.parametrize(
    ("nothing", "feature", "expected"),
    [
        ({"decrease": 0.0}, "predicted_decrease", -3),
        ({"update_norm": 0.0}, "update_ratio", -3),
        ({"weight_norm": 0.0}, "update_ratio", 3),
        ({"gradient_norm": 0.0}, "sensitivity", -3),
        ({"gradient_norm": 0.0}, "gradient_change", -3),
        ({"tensor_update": 0.0}, "tensor_update", -3),
    ],
)
def test_nothing_is_as_low_or_high_as_can_be(nothing: dict[str, float], feature: str, expected: float) -> None:
    """And not unknown, which is seen as 0."""
    features, _ = observe(
        usual_interval(**{name: torch.tensor(value) for name, value in nothing.items()}), known_memory()
    )
    assert by_name(features)[feature] == expected


def test_a_gradient_after_none_has_grown_without_bound() -> None:
    features, _ = observe(usual_interval(), known_memory(gradient_norm=0.0))
    assert by_name(features)["gradient_change"] == 3


def test_intervals_of_more_than_64_steps_look_alike() -> None:
    """Those of the runs that the policy has learned from are no longer."""
    for steps, seen in ((63, 63), (64, 64), (65, 64), (1000, 64)):
        features, _ = observe(usual_interval(losses=torch.ones(steps)), known_memory())
        assert by_name(features)["steps"] == pytest.approx(math.log(seen) / 4 - 0.7, abs=1e-6)


@pytest.mark.parametrize(("decrease", "expected"), [(1.05e-12, 2.0), (0.95e-12, 0.0)])
def test_a_decrease_of_next_to_nothing_is_not_divided_by(decrease: float, expected: float) -> None:
    """A millionth of a millionth of the loss is what rounding leaves of it."""
    interval = usual_interval(
        losses=torch.ones(2), decrease=torch.tensor(decrease), next_decrease=torch.tensor(2 * decrease)
    )
    features, _ = observe(interval, known_memory())
    assert by_name(features)["realised"] == pytest.approx(expected)


@pytest.mark.parametrize("as_tensors", [False, True])
@pytest.mark.parametrize(
    ("boundaries", "decay"), [((0.99, 1.0, 1.0), math.log(1e-3 / 5e-3)), ((0.9995, 1.0, 1.0), 0.0)]
)
def test_a_linear_decay_ends_at_a_thousandth(boundaries: tuple, decay: float, as_tensors: bool) -> None:
    """Its logarithm would have no end; a rate of a thousandth of the first trains no more."""
    marks = tuple(map(torch.tensor, boundaries)) if as_tensors else boundaries
    features, _ = observe(usual_interval(boundaries=marks), known_memory())
    assert by_name(features)["linear_decay"] == pytest.approx(decay, abs=1e-4)
    assert by_name(features)["progress"] == 1


def test_log_losses_are_held_between_a_ten_millionth_and_a_thousandfold() -> None:
    """e^-16 is where float32 ends beside 1; from e^7 on a run is lost, however high its loss is."""
    losses = torch.tensor([0.0, math.exp(-17.0), math.exp(-15.5), 1.0, math.exp(6.9), math.exp(7.1), math.nan])
    expected = [-16.0, -16.0, -15.5, 0.0, 6.9, 7.0, 7.0]
    assert log_losses(losses, known_memory()).tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("first", [1.0, 2.0])
@pytest.mark.parametrize(("back", "times", "expected"), [(1.0, 1.49, 1.0), (1.0, 1.51, 1.51), (0.0, 1.51, 1.0)])
def test_half_as_much_again_at_the_start_is_another_loss(
    back: float, times: float, expected: float, first: float
) -> None:
    """Batches of one loss function differ by less at an untrained network; elsewhere it is the network that differs."""
    memory = anchored(Interval.unmeasured(torch.tensor([times * first])), known_memory(first=first, back=back))
    assert memory.first.item() == pytest.approx(expected * first)


@pytest.mark.parametrize("shift", [-3.0, 5.0])
@pytest.mark.parametrize(
    ("losses", "back"),
    [
        ([1.1, 1.3, 1.2, 1.8], 0.0),
        ([1.1, 1.3, 1.2, -0.5], 0.0),  # the floor moves
        ([2.9, 1.3, 1.2, 1.8], 1.0),
        ([3.1, 1.3, 1.2, 1.8], 1.0),  # another loss
    ],
)
def test_losses_are_measured_from_their_floor_alone(losses: list[float], back: float, shift: float) -> None:
    """A constant added to all of them and to the floor adds it to the first loss that is remembered, no more."""
    (plain, one), (moved, other) = (
        observe(
            usual_interval(losses=torch.tensor(losses) + constant),
            known_memory(first=2.0 + constant, floor=constant, back=back),
        )
        for constant in (0.0, shift)
    )
    torch.testing.assert_close(moved, plain, rtol=0, atol=1e-5)
    expected = {name: value + shift * (name in ("first", "floor")) for name, value in one._asdict().items()}
    torch.testing.assert_close(other._asdict(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("pull", "moves", "floor"),
    [
        (1050.0, 0.01, 0.0),  # below e^7 = 1097, where no network's first loss lies
        (1150.0, 0.01, 1.0 - 1150.0 * math.exp(-2.0)),
        (1150.0, 0.29, 1.0 - 1150.0 * math.exp(-2.0)),
        (1150.0, 0.31, 0.0),  # a step that moves a tensor by three tenths of itself has made another network of it
    ],
)
def test_a_first_loss_far_below_what_its_gradient_says_has_a_floor(pull: float, moves: float, floor: float) -> None:
    """|g| |w| / e^2 below the lowest loss; e^2 is usual."""
    interval = Interval.unmeasured(
        torch.tensor([1.0]),
        gradient_norm=torch.tensor(pull / 5),
        weight_norm=torch.tensor(5.0),
        tensor_update=torch.tensor(moves),
    )
    assert anchored(interval, Memory.fresh()).floor.item() == pytest.approx(floor, rel=1e-5)
    assert anchored(interval, known_memory()).floor.item() == 0.0  # asked at the first loss alone


@pytest.mark.parametrize(
    ("lowest", "pull", "floor"), [(-1.0, 1.1, -1.0 - 1.1), (-1.0, 0.9, -1.0 - 6.0), (-0.1, 0.6, -0.1 - 0.6)]
)
def test_weights_that_began_at_zero_do_not_tell_the_floor(lowest: float, pull: float, floor: float) -> None:
    """From 1 the loss has fallen to -1, or to -0.1: less than half of that below it is too near."""
    losses = torch.tensor([0.5, lowest], dtype=torch.float64)
    seen = {"gradient_norm": 1.0, "weight_norm": pull * math.exp(2.0), "tensor_update": 0.01}
    interval = Interval.unmeasured(losses, **{name: torch.tensor(value) for name, value in seen.items()})
    assert anchored(interval, Memory.of_one_run()._replace(first=1.0)).floor == pytest.approx(floor, rel=1e-6)


@pytest.mark.parametrize("gradient", [math.nan, 0.0, math.inf])
def test_without_a_gradient_the_floor_lies_a_standard_deviation_below(gradient: float) -> None:
    """And a thousandth of the first loss, or a constant loss would be its own floor; next to nothing if that is 0."""
    seen = {"gradient_norm": gradient, "weight_norm": 1.0, "tensor_update": 0.0}
    known = {name: torch.tensor(value) for name, value in seen.items()}
    spread = anchored(Interval.unmeasured(torch.tensor([-1.0, -3.0]), **known), Memory.fresh())
    assert spread.floor.item() == pytest.approx(-3.0 - (1.0 + 1e-3))
    nothing = anchored(Interval.unmeasured(torch.tensor([0.0, 0.0]), **known), Memory.fresh())
    assert nothing.floor.item() == pytest.approx(-1e-30, abs=1e-33)


@pytest.mark.parametrize("memory", [Memory.fresh(), Memory.of_one_run()])
def test_a_first_loss_of_nothing_without_a_gradient_gives_way_to_the_next(memory: Memory) -> None:
    """As of a first batch whose targets are all masked."""
    _, memory = observe(Interval.unmeasured(torch.zeros(2), gradient_norm=torch.tensor(0.0)), memory)
    assert anchored(Interval.unmeasured(torch.tensor([2.0, 1.0])), memory).first == 2.0


def test_a_floor_that_was_found_without_a_finite_loss_stays() -> None:
    """1150 / e^2 below 1, which stands for the first loss until there is one: then that lies well above its floor."""
    pull = {"gradient_norm": 1150.0, "weight_norm": 1.0, "tensor_update": 0.01}
    known = {name: torch.tensor(value) for name, value in pull.items()}
    _, memory = observe(Interval.unmeasured(torch.tensor([math.nan]), **known), Memory.fresh())
    memory = anchored(Interval.unmeasured(torch.tensor([3.0]), **known), memory)
    assert memory.floor.item() == pytest.approx(1.0 - 1150.0 * math.exp(-2.0), rel=1e-5)


def test_the_first_loss_is_the_first_that_is_finite() -> None:
    losses = torch.tensor([[math.nan, 2.0, 3.0], [math.nan, math.inf, math.nan]])
    assert anchored(Interval.unmeasured(losses), Memory.fresh((2,))).first.tolist() == [2.0, 1.0]
    _, after = observe(Interval.unmeasured(losses), Memory.fresh((2,)))
    assert after.first[0] == 2.0
    assert after.first[1].isnan()  # still to come


@pytest.mark.parametrize(("losses", "back"), [([1.0, 1.0, 1.45, 1.45], False), ([1.0, 1.0, 1.55, 1.55], True)])
def test_a_second_half_half_above_the_first_loss_is_taken_back(losses: list[float], back: bool) -> None:
    """Noise lifts no mean of a half so far; three quarters of the harm would be done at twice the first loss."""
    assert takes_back(Interval.unmeasured(torch.tensor(losses)), known_memory(best=0.0), closing=False) == back


@pytest.mark.parametrize(
    ("loss", "above", "back"), [(0.975, 1.15, True), (0.965, 1.15, False), (0.975, 1.05, False), (0.975, 1.1, True)]
)
def test_no_three_hundredths_after_a_threefold_rate_are_no_progress(loss: float, above: float, back: bool) -> None:
    """ln 3 = 1.0986: a rate that was a third higher may still have been the right one."""
    interval = Interval.unmeasured(torch.tensor([loss]), log_rate=torch.tensor(-above))
    memory = known_memory(best=0.0, highest=0.0)
    assert takes_back(interval, memory, closing=True) == back
    assert not takes_back(interval, memory, closing=False)


@pytest.mark.parametrize(("level", "held"), [(0.98, True), (0.96, False)])
def test_the_ceiling_ends_with_the_first_progress(level: float, held: bool) -> None:
    interval = usual_interval(boundaries=None)
    assert step_ceiling(interval, known_memory(best=math.log(level))).isfinite() == held


def test_a_ceiling_of_a_run_of_unknown_length_among_others() -> None:
    """Its next interval is taken to be as long as this one: four steps of 0.02, ln(1 / 0.04)."""
    boundaries = tuple(torch.tensor([math.nan, mark]) for mark in (0.1, 0.2, 0.6))
    interval = Interval.unmeasured(torch.ones(2, 4), tensor_update=torch.full((2,), 0.02), boundaries=boundaries)
    ceiling = step_ceiling(interval, Memory.fresh((2,)))
    assert ceiling.tolist() == pytest.approx([math.log(1 / 0.04), math.log(1 / 0.08)])


def test_a_memory_from_here_keeps_the_highest_rate_alone() -> None:
    """Of a run whose loss has changed; an interval without a finite loss says nothing of the new one."""
    interval = Interval.unmeasured(torch.tensor([math.nan, 5.0, 2.5]))
    memory = known_memory().from_here(interval)
    assert math.isnan(memory.first)
    assert memory.highest == 2.0
    assert {
        name: float(value) for name, value in memory._asdict().items() if name not in ("first", "gradient_norm")
    } == {name: 2.0 if name == "highest" else 0.0 for name in Memory._fields if name not in ("first", "gradient_norm")}
    known = known_memory()
    assert known.from_here(Interval.unmeasured(torch.tensor([math.nan, math.inf]))) is known
