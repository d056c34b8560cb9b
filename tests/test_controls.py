"""Knobs in their places: which there are, what is written where, what each shows."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import lrpilot
from lrpilot import Dropout, InvalidArgument, Knob, LearningRate, Momentum, WeightDecay
from lrpilot.online.controls import Controls, Layout

LIKE = torch.empty(0, dtype=torch.float64)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.5), nn.Linear(6, 3), nn.Dropout(0.2)).double()


def optimizer(model: nn.Sequential) -> torch.optim.Optimizer:
    groups = [
        {"params": model[0].parameters(), "momentum": 0.9},
        {"params": model[2].parameters(), "lr": 0.02, "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=0.1, momentum=0.5, weight_decay=0.3)


def test_one_place_keeps_the_ratios_of_groups() -> None:
    model = network()
    driven = optimizer(model)
    controls = Controls(driven, (LearningRate(), Momentum(), Dropout(model)), "global", like=LIKE)
    assert controls.names == ["rate", "momentum", "dropout"]
    assert controls.given == pytest.approx([0.1, 0.1, 0.5])
    # A rate has none. A distance to one is at most one, in the holder that was given the largest.
    assert controls.layout.limits == pytest.approx((math.inf, 0.1 / 0.5, 0.5 / 0.8))
    controls.write([0.2, 0.05, 0.25])
    assert [group["lr"] for group in driven.param_groups] == pytest.approx([0.2, 0.04])
    assert [group["momentum"] for group in driven.param_groups] == pytest.approx([0.95, 0.75])
    assert model[1].p == 0.5  # what works in the forward pass has its own time
    controls.write([0.2, 0.05, 0.25], in_step=False)
    assert (model[1].p, model[3].p) == pytest.approx((0.75, 1 - 0.8 / 2))


def test_each_group_has_its_own_and_a_knob_given_as_nothing_stays_so() -> None:
    model = network()
    driven = optimizer(model)
    controls = Controls(driven, (LearningRate(), WeightDecay(), Dropout(model)), "group", like=LIKE)
    assert controls.names == ["rate", "rate/1", "weight_decay", "dropout/2"]
    assert controls.given == pytest.approx([0.1, 0.02, 0.3, 0.5])
    controls.write([0.3, 0.001, 0.7, 0.9])
    assert [group["lr"] for group in driven.param_groups] == pytest.approx([0.3, 0.001])
    assert [group["weight_decay"] for group in driven.param_groups] == pytest.approx([0.7, 0.0])
    assert controls.at(0.5) == pytest.approx([0.5, 0.1, 0.3, 0.5])


def test_tensors_become_groups_of_their_own_and_train_as_before() -> None:
    model, twin = network(), network()
    driven, plain = optimizer(model), optimizer(twin)
    controls = Controls(driven, (LearningRate(), Momentum()), "tensor", like=LIKE)
    assert controls.given == pytest.approx([0.1, 0.1, 0.02, 0.02, 0.1, 0.1, 0.5, 0.5])
    assert [len(group["params"]) for group in driven.param_groups] == [1] * 4
    for each, made in ((model, driven), (twin, plain)):
        for t in range(3):
            made.zero_grad()
            each[2](each[0](torch.ones(2, 4, dtype=torch.float64) * t)).square().sum().backward()
            made.step()
    for mine, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_what_a_place_shows_by_hand() -> None:
    """Root mean squares 3 and 4 over one and three numbers; of the whole sqrt((9 + 3 * 16) / 4)."""
    parts = [nn.Parameter(torch.zeros(n, dtype=torch.float64)) for n in (1, 3, 2)]
    parts[0].grad, parts[1].grad = torch.full((1,), 3.0).double(), torch.full((3,), -4.0).double()
    driven = torch.optim.SGD(parts, lr=0.1)
    dropout = nn.Dropout(0.5)
    shown = Controls(driven, (LearningRate(), Dropout(dropout)), "tensor", like=LIKE).look()
    whole = math.sqrt((9 + 48) / 6)
    assert shown[:, 0].tolist() == pytest.approx([math.log(3 / whole), math.log(4 / whole), -5.0, 0.0])
    assert shown[:, 1].tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])


def test_the_rate_alone_is_the_layout_of_a_learner_that_is_told_nothing_else() -> None:
    """In one place nothing is shown of it: there is none other to be told from."""
    assert Controls(optimizer(network()), (LearningRate(),), "global", like=LIKE).layout == Layout()
    assert [Layout(places=places).shown for places in (1, 2, 3)] == [0, 2, 2]


def test_what_holds_in_the_forward_pass_was_decided_a_step_before() -> None:
    model = network()
    controls = Controls(optimizer(model), (LearningRate(), Dropout(model)), "group", like=LIKE)
    decided, before = np.array([1.0, 2.0, 0.3]), np.array([5.0, 6.0, 0.7])
    assert controls.in_force(decided, before).tolist() == pytest.approx([1.0, 2.0, 0.7])
    values = controls.values(decided)
    assert values == pytest.approx({"rate": 1.0, "rate/1": 2.0, "dropout/2": 0.7})
    assert controls.action(values) == pytest.approx(decided.tolist())


def test_a_state_is_what_the_user_gave_in_as_many_places() -> None:
    """Though the optimizer of the resumed run was made with other rates."""
    knobs = (LearningRate(), Momentum())
    mine = Controls(optimizer(network()), knobs, "group", like=LIKE)
    weights = [nn.Parameter(torch.ones(2)) for _ in range(2)]
    theirs = Controls(
        torch.optim.SGD([{"params": [w]} for w in weights], lr=7.0, momentum=0.1), knobs, "group", like=LIKE
    )
    theirs.load_state_dict(mine.state_dict())
    assert theirs.given == mine.given
    with pytest.raises(InvalidArgument, match="the saved places must be 1 as here, got 2"):
        Controls(optimizer(network()), knobs, "global", like=LIKE).load_state_dict(mine.state_dict())


def test_two_knobs_of_one_name_are_refused() -> None:
    class Moment(Momentum):
        """Another class, for the same number."""

    for other in (Momentum(), Moment()):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(3))], lr=0.1, momentum=0.9)
        with pytest.raises(
            InvalidArgument,
            match=r"knobs of different names, none of them dq_da, .*, td_error, got \['learning_rate', ",
        ):
            lrpilot.OnlineActorCritic(optimizer, controls=(LearningRate(), Momentum(), other))
        assert "initial_momentum" not in optimizer.param_groups[0]


def test_what_cannot_be_driven_is_refused() -> None:
    model = network()
    with pytest.raises(InvalidArgument, match="granularity must be one of global, group, tensor, got 'layer'"):
        Controls(optimizer(model), (LearningRate(),), "layer", like=LIKE)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="the knob must be one with a dropout, got 'Dropout'"):
        Controls(optimizer(model), (LearningRate(), Dropout(nn.Linear(1, 1))), "global", like=LIKE)
    driven = optimizer(model)
    controls = Controls(driven, (LearningRate(),), "group", like=LIKE)
    driven.add_param_group({"params": [nn.Parameter(torch.zeros(1))]})
    with pytest.raises(
        InvalidArgument, match=r"the optimizer's groups must be the 2 that have a place each, got '[13] groups'"
    ):
        controls.write([0.1, 0.2])
    learner = lrpilot.OfflineActorCritic().learner
    with pytest.raises(InvalidArgument, match="controls and granularity must be those of the learner"):
        lrpilot.OnlineActorCritic(optimizer(model), learner=learner, granularity="group")
    several = lrpilot.OnlineActorCritic(optimizer(model), granularity="group")
    with pytest.raises(InvalidArgument, match="what export_schedule repeats must be one rate everywhere, got 'rate, r"):
        several.export_schedule(optimizer(model))
    with pytest.raises(
        InvalidArgument, match=r"setting must be one that explores, for the slope along dropout is not m"
    ):
        lrpilot.OnlineActorCritic(optimizer(model), controls=(LearningRate(), Dropout(model)))


@pytest.mark.parametrize("given", [(0.9, 0.5), (0.5, 0.9), (0.1, 0.3, 0.2)])
def test_no_holder_leaves_its_range_however_far_the_first_is_moved(given: tuple[float, ...]) -> None:
    """All keep the ratio of their distances to one; the farthest of them may reach one, and the first no more."""
    groups = [{"params": [nn.Parameter(torch.ones(1))], "momentum": momentum} for momentum in given]
    driven = torch.optim.SGD(groups, lr=0.1)
    controls = Controls(driven, (LearningRate(), Momentum()), "global", like=LIKE)
    highest = controls.layout.limits[1]
    margin = 0 if min(given) == given[0] else 1e-9  # where rounding could take the farthest beyond
    assert highest == pytest.approx((1 - given[0]) / (1 - min(given)) * (1 - margin), rel=1e-12, abs=0)
    controls.write([0.1, highest])
    momenta = [group["momentum"] for group in driven.param_groups]
    assert min(momenta) == pytest.approx(0.0, abs=1e-8)
    assert [(1 - momentum) / (1 - momenta[0]) for momentum in momenta] == pytest.approx(
        [(1 - momentum) / (1 - given[0]) for momentum in given]
    )
    action = lrpilot.LogRate(limit=highest)
    action.centre([controls.given[1]], settled=False)
    assert action.rate(np.array([50.0])) <= highest


@pytest.mark.parametrize("granularity", ["global", "group", "tensor"])
@pytest.mark.parametrize("knob", ["momentum", "dropout", "weight decay"])
def test_what_was_given_as_0_is_not_driven_and_nothing_is_changed(knob: str, granularity: Any) -> None:
    layer = nn.Sequential(nn.Dropout(0.0))
    driven = torch.optim.SGD(network().parameters(), lr=0.1)
    before = copy.deepcopy(driven.state_dict())
    own = {"momentum": Momentum(), "dropout": Dropout(layer), "weight decay": WeightDecay()}[knob]
    said = f"the {knob} to drive must be given as a number in \\(0, 1\\), got 0"
    if knob == "weight decay":
        said = "the (optimizer's )?weight decay (to drive )?must be (given as )?a finite number above 0, got 0"
    with pytest.raises(InvalidArgument, match=said):
        Controls(driven, (LearningRate(), own), granularity, like=LIKE)
    assert len(driven.param_groups) == 1
    assert driven.state_dict()["param_groups"][0].items() >= before["param_groups"][0].items()


def test_holders_that_move_together_were_all_given_something() -> None:
    groups = [{"params": [nn.Parameter(torch.ones(1))], "momentum": momentum} for momentum in (0.9, 0.0)]
    with pytest.raises(InvalidArgument, match="the momentum to drive must be given as"):
        Controls(torch.optim.SGD(groups, lr=0.1), (LearningRate(), Momentum()), "global", like=LIKE)


@pytest.mark.parametrize("first", [0, 1])
def test_a_group_that_has_none_keeps_none_whichever_it_is(first: int) -> None:
    groups = [
        {"params": [nn.Parameter(torch.ones(1))], "momentum": 0.9 * (first == n), "weight_decay": 0.1 * (first == n)}
        for n in range(2)
    ]
    driven = torch.optim.SGD(groups, lr=0.1)
    controls = Controls(driven, (LearningRate(), Momentum(), WeightDecay()), "group", like=LIKE)
    assert controls.given == pytest.approx([0.1, 0.1, 0.1, 0.1])  # two rates, and in one place the rest
    controls.write([0.1, 0.1, 0.3, 0.2])
    assert [group["momentum"] for group in driven.param_groups] == pytest.approx([0.7 * (first == n) for n in range(2)])
    assert [group["weight_decay"] for group in driven.param_groups] == [0.2 * (first == n) for n in range(2)]


@pytest.mark.mistyped
@pytest.mark.parametrize(
    ("knobs", "came"),
    [
        ((Momentum(),), r"\['momentum'\]"),
        ((Momentum(), LearningRate()), r"\['momentum', 'learning_rate'\]"),
        ((), r"\[\]"),
        ((LearningRate(), 1), r"\(<.*>, 1\)"),
        (LearningRate(), "<.*>"),
        ({LearningRate()}, "{<.*>}"),
    ],
)
def test_knobs_are_given_in_order_and_the_rate_first(knobs: Any, came: str) -> None:
    said = rf"controls must be knobs, of which LearningRate\(\) is the first, in a list or tuple, got {came}$"
    with pytest.raises(InvalidArgument, match=said):
        Controls(optimizer(network()), knobs, "global", like=LIKE)


@pytest.mark.parametrize("change", ["joins", "leaves"])
@pytest.mark.parametrize("setting", ["paper", "stable"])
def test_groups_that_join_or_leave_places_are_refused_before_anything_moves(change: str, setting: str) -> None:
    weights = nn.Parameter(torch.ones(3))
    driven = torch.optim.SGD([{"params": [weights]}, {"params": [nn.Parameter(torch.ones(1))]}], lr=0.1)
    drive = lrpilot.OnlineActorCritic(driven, setting, granularity="group")
    drive.step(lambda _: weights.square().sum(), None)
    if change == "joins":
        driven.add_param_group({"params": [nn.Parameter(torch.zeros(1))]})
    else:
        driven.param_groups.pop()
    before = weights.detach().clone()
    with pytest.raises(
        InvalidArgument, match=r"the optimizer's groups must be the 2 that have a place each, got '[13] groups'"
    ):
        drive.step(lambda _: weights.square().sum(), None)
    assert torch.equal(weights, before)


# docs/algorithm.md and CONTRIBUTING show this one.
class LabelSmoothing(Knob):
    """The share of each target that is spread over all classes."""

    name = key = "label_smoothing"
    mirrored = True  # on the scale of log(1 - value)
    in_step = False  # in the forward pass

    def __init__(self, loss: nn.CrossEntropyLoss) -> None:
        self._loss = loss

    def holders(self, groups):
        return [vars(self._loss)]


class Dampening(Knob):
    """SGD's."""

    name = key = "dampening"
    mirrored = True


@pytest.mark.parametrize("setting", ["paper", lrpilot.deviating("D2", "D3", "D4", "D5", "D6", "D7", "D8")])
def test_a_users_own_knobs_are_ten_lines(setting: str | lrpilot.Setting) -> None:
    torch.manual_seed(0)
    model, loss = nn.Linear(4, 3), nn.CrossEntropyLoss(label_smoothing=0.2)
    driven = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, dampening=0.4)
    drive = lrpilot.OnlineActorCritic(
        driven,
        setting,
        controls=(LearningRate(), Dampening(), LabelSmoothing(loss)),
        generator=torch.Generator().manual_seed(1),
    )
    used: list[float] = []

    def loss_fn(inputs: torch.Tensor) -> torch.Tensor:
        used.append(loss.label_smoothing)
        return loss(model(inputs), inputs[:, :3].argmax(-1))

    first_call = []
    for t in range(80):
        first_call.append(len(used))
        drive.step(loss_fn, torch.randn(16, 4, generator=torch.Generator().manual_seed(t)))
        assert driven.param_groups[0]["dampening"] == pytest.approx(drive.history["dampening"][-1].item(), rel=1e-5)
    in_passes = [used[call] for call in first_call]
    assert drive.history["label_smoothing"].tolist() == pytest.approx(in_passes, rel=1e-4)
    assert len(set(in_passes)) > 20
    assert all(0 <= value < 1 for value in in_passes)
    assert {"dq_da", "dq_da/dampening", "dq_da/label_smoothing"} <= set(drive.history.keys())


@pytest.mark.parametrize("knobs", [1, 2, 3])
@pytest.mark.parametrize("setting", ["stable", "paper", dataclasses.replace(lrpilot.PAPER, critic_batch="other")])
def test_a_slope_is_measured_along_each_number_where_there_are_several(
    setting: str | lrpilot.Setting, knobs: int
) -> None:
    """One rate alone is what the whole step is proportional to; and the paper's reward has no slope."""
    weights = nn.Parameter(torch.ones(3))
    driven = torch.optim.SGD([weights], lr=0.1, momentum=0.5, weight_decay=0.01)
    controls = (LearningRate(), Momentum(), WeightDecay())[:knobs]
    drive = lrpilot.OnlineActorCritic(driven, setting, controls=controls)
    slopes: list[np.ndarray | None] = []
    remember = drive.learner.remember
    drive.learner.remember = lambda transition: slopes.append(transition.slope) or remember(transition)
    for _ in range(3):
        drive.step(lambda _: weights.square().sum(), None)
    assert ("sensitivity" in drive.state_dict()) == (setting == "stable" and knobs > 1)
    for slope in slopes:
        assert slope is None if setting != "stable" else slope.shape == (knobs,)
    assert len(slopes) == 2
    if setting == "stable":  # the opening begins at a hundredth of the rate, whatever else is driven
        assert drive.history["rate"][0].item() == pytest.approx(0.001)


EVERYTHING = {
    "tensors": {"granularity": "tensor"},
    "groups, momentum": {"granularity": "group", "controls": (LearningRate(), Momentum())},
    "momentum, weight decay": {"controls": (LearningRate(), Momentum(), WeightDecay())},
}


@pytest.mark.parametrize("setting", ["paper", "stable"])
@pytest.mark.parametrize("asked", EVERYTHING.values(), ids=EVERYTHING)
def test_resume_is_exact(setting: str, asked: dict) -> None:
    def begin() -> tuple[nn.Module, torch.optim.Optimizer, lrpilot.OnlineActorCritic]:
        model = network()
        groups = [{"params": model[0].parameters()}, {"params": model[2].parameters(), "lr": 0.02}]
        driven = torch.optim.SGD(groups, lr=0.05, momentum=0.5, weight_decay=1e-3)
        generator = torch.Generator().manual_seed(5)
        return model, driven, lrpilot.OnlineActorCritic(driven, setting, generator=generator, **asked)

    def drive(parts: tuple, steps: range) -> torch.Tensor:
        model, _, controller = parts
        for t in steps:
            inputs = torch.randn(8, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(t))
            controller.step(lambda x: (model[2](model[0](x)) - x[:, :3]).square().mean(), inputs)
        return torch.stack([controller.history[name] for name in controller.controls.names])

    straight = drive(begin(), range(100))
    assert (straight[:, 99] != straight[:, 60]).all()
    for pause in (7, 75):
        first, second = begin(), begin()
        drive(first, range(pause))
        for part, saved in zip(second, first, strict=True):
            part.load_state_dict(copy.deepcopy(saved.state_dict()))
        assert torch.equal(drive(second, range(pause, 100)), straight)


@pytest.mark.integration
def test_the_rates_of_two_tensors_part_where_their_curvatures_differ_a_hundredfold() -> None:
    """A noisy quadratic: 10 along one tensor, 0.1 along the other, which wants the larger rate."""
    steep, flat = (nn.Parameter(torch.full((10,), 2.0)) for _ in range(2))
    drive = lrpilot.OnlineActorCritic(
        torch.optim.SGD([steep, flat], lr=0.01), granularity="tensor", generator=torch.Generator().manual_seed(1)
    )
    for t in range(3000):
        noise = 0.1 * torch.randn(2, 10, generator=torch.Generator().manual_seed(t))
        drive.step(lambda n: 5 * (steep - n[0]).square().sum() + 0.05 * (flat - n[1]).square().sum(), noise)
    assert drive.history["rate/1"][-1] > 5 * drive.history["rate"][-1]
