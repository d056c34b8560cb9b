"""Hyperparameters of many groups, moved together."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR

import lrpilot
from lrpilot import InvalidArgument
from lrpilot.core.history import History
from lrpilot.core.knobs import Beta, Dropout, Knobs, LearningRate, Momentum, WeightDecay
from scripted import Scripted


def parameter() -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.zeros(1))


def optimizer(*rates: object, **rest: object) -> torch.optim.Optimizer:
    groups = [{"params": [parameter()], "lr": rate} for rate in rates]
    return torch.optim.SGD(groups, lr=0.1, **rest)  # type: ignore[arg-type]


def rate_of(driven: torch.optim.Optimizer) -> Knobs:
    return Knobs(driven, (LearningRate(),))


def test_ratios_are_kept() -> None:
    knobs = rate_of(optimizer(0.1, 0.01))
    knobs.write({"learning_rate": torch.tensor(0.5)})
    assert knobs.read("learning_rate") == pytest.approx([0.5, 0.05])


def test_a_tensor_is_filled_in_place() -> None:
    held = torch.tensor(0.1)
    driven = optimizer(held, 0.2)
    knobs = rate_of(driven)
    knobs.write({"learning_rate": torch.tensor(0.4)})
    assert driven.param_groups[0]["lr"] is held
    assert knobs.read("learning_rate") == pytest.approx([0.4, 0.8])


@pytest.mark.parametrize("leaf", [True, False])
def test_a_rate_that_is_learned_already_is_refused(leaf: bool) -> None:
    """As hypergradient methods do: it could not be filled in place."""
    held = torch.tensor(0.1, requires_grad=True)
    with pytest.raises(lrpilot.InvalidArgument, match=r"must be a tensor .* that requires no gradient"):
        rate_of(optimizer(held if leaf else held * 2))


def test_a_tensor_rate_does_not_depend_on_the_default_dtype() -> None:
    held = torch.tensor(0.1)
    knobs = rate_of(optimizer(held))
    torch.set_default_dtype(torch.bfloat16)
    try:
        knobs.write({"learning_rate": 0.1234567})
    finally:
        torch.set_default_dtype(torch.float32)
    assert held == torch.tensor(0.1234567)


def test_a_group_that_joins_later_keeps_its_ratio_to_the_rate_that_was_given() -> None:
    """Case L5: given 1e-3, joined by 1e-4 when the rate stands at 0.54: a tenth, as the user meant it."""
    driven = optimizer(1e-3)
    knobs = rate_of(driven)
    knobs.write({"learning_rate": 0.54})
    driven.add_param_group({"params": [parameter()], "lr": 1e-4})
    knobs.write({"learning_rate": 0.54})
    assert knobs.read("learning_rate") == pytest.approx([0.54, 0.054])


@pytest.mark.parametrize("scale", [1.0, 0.25])
@pytest.mark.parametrize("share", [1.0, 0.1, 2.0, 1e-3, 1e-4, 3.0 + 0.95e-9, 3.0 - 0.95e-9])
def test_a_group_that_joins_at_a_share_of_the_present_rate_keeps_that(share: float, scale: float) -> None:
    """As Lightning's fine-tuning callbacks add one, and whoever copies ``param_groups[0]["lr"]``; also where the group
    that it is copied from has a scale of its own."""
    driven = optimizer(1e-3)
    driven.param_groups[0]["lr_scale"] = scale
    knobs = Knobs(driven, (LearningRate(),))
    knobs.write({"learning_rate": 0.0307})
    driven.add_param_group({"params": [parameter()], "lr": driven.param_groups[0]["lr"] * share})
    knobs.write({"learning_rate": 0.02})
    assert knobs.read("learning_rate") == pytest.approx([0.02 * scale, 0.02 * scale * share])


@pytest.mark.parametrize("share", [3.0 + 1.05e-9, 3.0 - 1.05e-9, 2.5, 0.0])
def test_a_group_that_joins_at_another_rate_was_given_it(share: float) -> None:
    """Rounding leaves far less than a billionth of the present rate, and no rate that a user gives comes so near."""
    driven = optimizer(1e-3)
    knobs = rate_of(driven)
    knobs.write({"learning_rate": 0.0307})
    driven.add_param_group({"params": [parameter()], "lr": 0.0307 * share})
    knobs.write({"learning_rate": 0.02})
    assert knobs.read("learning_rate") == pytest.approx([0.02, 0.02 * 30.7 * share])


def test_a_share_of_both_rates_is_one_of_the_rate_that_was_given() -> None:
    """1e-4 when 1e-3 was given and a tenth of it stands there: the tenth that the user wrote."""
    driven = optimizer(1e-3)
    knobs = Knobs(driven, (LearningRate(),))
    knobs.write({"learning_rate": 1e-4})
    driven.add_param_group({"params": [parameter()], "lr": 1e-4})
    knobs.write({"learning_rate": 0.02})
    assert knobs.read("learning_rate") == pytest.approx([0.02, 0.002])


def test_a_momentum_that_joins_as_it_stands_is_the_others() -> None:
    driven = optimizer(1e-3, momentum=0.9)
    knobs = Knobs(driven, (Momentum(),))
    knobs.write({"momentum": 0.973})
    driven.add_param_group({"params": [parameter()], "momentum": driven.param_groups[0]["momentum"]})
    knobs.write({"momentum": 0.99})
    assert knobs.read("momentum") == pytest.approx([0.99, 0.99])


@pytest.mark.parametrize("first_factor", [1e-2, 0.0])
def test_after_a_warm_up_has_begun_the_rate_given_counts(first_factor: float) -> None:
    """Case L7."""
    driven = optimizer(0.1, 0.01)
    LambdaLR(driven, lambda _: first_factor)
    knobs = rate_of(driven)
    assert knobs.given == {"learning_rate": 0.1}
    knobs.write({"learning_rate": 0.1})
    assert knobs.read("learning_rate") == pytest.approx([0.1, 0.01])


@pytest.mark.parametrize(
    "start",
    [
        lambda driven: lrpilot.Pilot(driven, 100, policy=Scripted(0.0)).knobs.given["learning_rate"],
        lambda driven: lrpilot.OnlineActorCritic(driven).controls.given[0],
    ],
)
def test_a_controller_made_again_begins_at_the_same_rate(start) -> None:
    """Case L23: the notebook cell that is run four times."""
    driven = optimizer(1e-2)
    starts = [start(driven) for _ in range(4)]
    assert starts == [1e-2] * 4


def test_layer_decay_is_multiplied_in() -> None:
    """Case L27: timm's groups share one rate, and carry their factor beside it."""
    groups = [{"params": [parameter()], "lr_scale": scale} for scale in (0.25, 0.5, 1.0)]
    driven = torch.optim.SGD(groups, lr=0.1)
    knobs = rate_of(driven)
    knobs.write({"learning_rate": 0.2})
    assert knobs.read("learning_rate") == [0.05, 0.1, 0.2]
    history = History("rate")
    history.append(rate=0.2)
    fresh = torch.optim.SGD([{**group, "params": [parameter()]} for group in groups], lr=0.1)
    assert history.export_schedule(fresh).get_last_lr() == pytest.approx([0.05, 0.1, 0.2])


@pytest.mark.parametrize("rate", [math.nan, math.inf, -0.1, 1e39])
@pytest.mark.parametrize("as_tensor", [False, True])
def test_a_rate_that_no_optimizer_should_see_is_refused_and_nothing_written(rate: float, as_tensor: bool) -> None:
    """1e39 is finite, and infinite in the second group's float32."""
    driven = optimizer(0.1, torch.tensor(0.1))
    knobs = rate_of(driven)
    value = torch.tensor(rate, dtype=torch.float64) if as_tensor else rate
    with pytest.raises(InvalidArgument, match="the learning rate to write must be a finite number of at least 0, got"):
        knobs.write({"learning_rate": value})
    assert knobs.read("learning_rate") == pytest.approx([0.1, 0.1])


def test_the_largest_rate_that_there_is_can_be_written() -> None:
    knobs = rate_of(optimizer(torch.tensor(0.1)))
    knobs.write({"learning_rate": torch.finfo(torch.float32).max})
    assert knobs.read("learning_rate") == [torch.finfo(torch.float32).max]


def test_a_group_far_above_the_first_must_stay_finite_too() -> None:
    knobs = rate_of(optimizer(1e-4, 1e4))
    with pytest.raises(InvalidArgument, match="got inf"):
        knobs.write({"learning_rate": 1e303})
    assert knobs.read("learning_rate") == [1e-4, 1e4]


@pytest.mark.parametrize("rate", [0.0, math.nan, math.inf])
def test_a_start_rate_that_cannot_be_scaled_is_refused(rate: float) -> None:
    driven = optimizer(0.1)
    driven.param_groups[0]["lr"] = rate
    with pytest.raises(InvalidArgument, match="the optimizer's learning rate must be a finite number above 0"):
        rate_of(driven)


@pytest.mark.mistyped
def test_what_is_no_optimizer_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"optimizer must be a torch\.optim\.Optimizer, got 'list'"):
        rate_of([])  # type: ignore[arg-type]


def test_several_knobs_are_written_by_name() -> None:
    groups = [{"params": [parameter()], "weight_decay": decay} for decay in (0.1, 0.0)]
    driven = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99))
    knobs = Knobs(driven, (LearningRate(), Beta(1), Beta(2), WeightDecay()))
    assert knobs.given == {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.99, "weight_decay": 0.1}
    knobs.write({"beta1": 0.95, "weight_decay": 0.2})
    assert [group["betas"] for group in driven.param_groups] == [(0.95, 0.99)] * 2
    assert [group["weight_decay"] for group in driven.param_groups] == [0.2, 0.0]
    assert knobs.read("learning_rate") == [1e-3, 1e-3]


def test_momenta_keep_the_ratio_of_their_distances_to_one() -> None:
    """0.9 and 0.99: ten times as long a memory, and still after the first has gone to 0.95."""
    groups = [{"params": [parameter()], "momentum": momentum} for momentum in (0.9, 0.99)]
    knobs = Knobs(torch.optim.SGD(groups, lr=0.1), (Momentum(),))
    knobs.write({"momentum": 0.95})
    assert knobs.read("momentum") == pytest.approx([0.95, 0.995])
    for outside in (1.0, -0.1, math.nan):
        with pytest.raises(InvalidArgument, match=r"the momentum to write must be a number in \[0, 1\)"):
            knobs.write({"momentum": outside})
    assert knobs.read("momentum") == pytest.approx([0.95, 0.995])


def test_decays_keep_the_ratio_of_their_distances_to_one() -> None:
    """As momenta do: 0.9 and 0.99 are memories of ten and of a hundred steps."""
    groups = [{"params": [parameter()], "betas": (beta, 0.999)} for beta in (0.9, 0.99)]
    driven = torch.optim.Adam(groups, lr=0.1)
    knobs = Knobs(driven, (Beta(1),))
    knobs.write({"beta1": 0.8})
    assert [group["betas"] for group in driven.param_groups] == [
        pytest.approx(pair) for pair in ((0.8, 0.999), (0.98, 0.999))
    ]
    for outside in (1.0, -0.1):
        with pytest.raises(InvalidArgument, match=r"the beta1 to write must be a number in \[0, 1\)"):
            knobs.write({"beta1": outside})


def test_dropouts_keep_the_ratio_of_what_they_let_through() -> None:
    """As momenta do: 0.5 and 0.8 let a half and a fifth through."""
    layers = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Dropout(0.8))
    knobs = Knobs(optimizer(0.1), (Dropout(layers),))
    knobs.write({"dropout": 0.25})
    assert knobs.read("dropout") == pytest.approx([0.25, 0.7])
    with pytest.raises(InvalidArgument, match="the knob must be one with a dropout, got 'Dropout'"):
        Knobs(optimizer(0.1), (Dropout(torch.nn.Linear(1, 1)),))


def test_what_was_given_is_written_down_at_once() -> None:
    """So that it counts, whatever somebody writes before the first decision."""
    driven = optimizer(0.1, 0.01)
    knobs = rate_of(driven)
    assert [group["initial_lr"] for group in driven.param_groups] == [0.1, 0.01]
    driven.param_groups[0]["lr"] = 7.0
    knobs.write({"learning_rate": 0.2})
    assert knobs.read("learning_rate") == pytest.approx([0.2, 0.02])


def test_one_refused_value_of_several_leaves_all_as_they_were() -> None:
    driven = optimizer(0.1, momentum=0.9)
    knobs = Knobs(driven, (LearningRate(), Momentum()))
    with pytest.raises(InvalidArgument):
        knobs.write({"learning_rate": 0.2, "momentum": 1.5})
    assert (driven.param_groups[0]["lr"], driven.param_groups[0]["momentum"]) == (0.1, 0.9)


def test_unknown_knobs_are_refused_by_name() -> None:
    with pytest.raises(InvalidArgument, match="optimizer must be one with a momentum, got 'Adam'"):
        Knobs(torch.optim.Adam([parameter()]), (Momentum(),))
    with pytest.raises(InvalidArgument, match="a knob must be one of learning_rate, got 'momentum'"):
        rate_of(optimizer(0.1)).write({"momentum": 0.9})
    with pytest.raises(InvalidArgument, match="number must be 1 or 2, got 0"):
        Beta(0)
    with pytest.raises(InvalidArgument, match="the saved knobs must be learning_rate as here, got 'momentum'"):
        rate_of(optimizer(0.1)).load_state_dict(Knobs(optimizer(0.1, momentum=0.9), (Momentum(),)).state_dict())


def test_a_state_is_a_value_and_goes_with_the_optimizers_own() -> None:
    one, two = optimizer(0.1, 0.01), optimizer(0.3, 0.03)
    knobs, resumed = rate_of(one), rate_of(two)
    knobs.write({"learning_rate": 0.7})
    state = copy.deepcopy((one.state_dict(), knobs.state_dict()))
    two.load_state_dict(state[0])
    resumed.load_state_dict(state[1])
    assert resumed.given == {"learning_rate": 0.1}
    resumed.given["learning_rate"] = 9.0
    assert state[1]["given"] == {"learning_rate": 0.1}
    resumed.write({"learning_rate": 0.5})
    assert resumed.read("learning_rate") == pytest.approx([0.5, 0.05])
