"""The rate as it is written, and as it is used where somebody else writes it too."""

from __future__ import annotations

import math

import pytest
import torch

from lrpilot.core.knobs import Knobs, LearningRate
from lrpilot.pilot.optimizers import Several
from lrpilot.pilot.rates import Rates, bounded


def driven(first: object = 0.1, **rest: object) -> tuple[torch.optim.Optimizer, Rates]:
    """Two groups at a rate and a tenth of 0.1; the rate is written for the steps after the fourth."""
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (first, 0.01)]
    groups[0] |= rest
    optimizer = torch.optim.SGD(groups)
    rates = Rates(Knobs(optimizer, (LearningRate(),)))
    rates.write(0.2, step=4)
    return optimizer, rates


@pytest.mark.parametrize("tensor", [True, False])
def test_what_nobody_else_writes(tensor: bool) -> None:
    """The groups keep their ratio; the step right before the writing was made at the rates before."""
    optimizer, rates = driven(torch.tensor(0.1, dtype=torch.float64) if tensor else 0.1)
    assert rates.rate == 0.2
    assert rates.written is (None if tensor else optimizer.param_groups[0]["lr"])
    rates.notice(5)
    assert not rates.disturbed()
    assert rates.used(4) == pytest.approx([0.1, 0.01])
    assert rates.used(5) == pytest.approx([0.2, 0.02])
    assert rates.at(5) == 0.2
    assert rates.column(5, 3).tolist() == [0.2] * 3
    assert rates.column(5, 3).dtype == torch.float64


@pytest.mark.parametrize("tensor", [True, False])
def test_a_step_at_somebody_elses_rate(tensor: bool) -> None:
    """Three times ours at step 6, and ours again: the other group's is three times as high too."""
    optimizer, rates = driven(torch.tensor(0.1, dtype=torch.float64) if tensor else 0.1)

    def put(rate: float) -> None:
        if tensor:
            optimizer.param_groups[0]["lr"].fill_(rate)
        else:
            optimizer.param_groups[0]["lr"] = rate

    put(0.6)
    assert rates.disturbed()
    rates.notice(6)
    put(0.2)
    rates.notice(7)
    assert rates.disturbed()
    assert rates.column(5, 4).tolist() == pytest.approx([0.2, 0.6, 0.2, 0.2])
    assert [rates.column(first, 1).item() for first in (5, 6, 7)] == pytest.approx([0.2, 0.6, 0.2])
    assert rates.used(6) == pytest.approx([0.6, 0.06])
    assert rates.used(7) == pytest.approx([0.2, 0.02])
    rates.write(0.3, step=8)
    assert not rates.disturbed()
    assert rates.at(6) == 0.3


def test_a_groups_own_factor_is_taken_out() -> None:
    """Its rates are twice the common one."""
    optimizer, rates = driven(lr_scale=2.0)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.4)
    optimizer.param_groups[0]["lr"] = 1.0
    rates.notice(5)
    assert rates.at(5) == 0.5
    assert rates.used(5) == pytest.approx([1.0, 0.05])


def test_a_group_that_has_joined_is_no_disturbance() -> None:
    optimizer, rates = driven()
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.05})
    assert not rates.disturbed()
    assert rates.used(5) == pytest.approx([0.2, 0.02, 0.05])
    optimizer.param_groups[1]["lr"] = 0.03
    assert rates.disturbed()


def test_a_group_that_has_left_is_no_disturbance() -> None:
    optimizer, rates = driven()
    del optimizer.param_groups[1]
    assert not rates.disturbed()
    assert rates.used(5) == pytest.approx([0.2])
    assert rates.used(4) == pytest.approx([0.1])
    optimizer.param_groups[0]["lr"] = 0.3
    assert rates.disturbed()


def test_a_group_that_has_joined_the_first_of_several_optimizers_is_none_either() -> None:
    first, second = (torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr) for lr in (0.2, 0.02))
    rates = Rates(Knobs(Several([first, second]), (LearningRate(),)))
    rates.write(0.1, step=0)
    first.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.05})
    assert not rates.disturbed()
    second.param_groups[0]["lr"] = 0.03
    assert rates.disturbed()


@pytest.mark.parametrize("saved", [None, "now", "0.2"])
def test_the_rates_before_a_group_joined_keep_their_places(saved: str | None) -> None:
    """Right after a decision, in the first of several optimizers: the new group comes between the others."""
    first, second = (torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr) for lr in (0.2, 0.02))
    rates = Rates(Knobs(Several([first, second]), (LearningRate(),)))
    rates.write(0.1, step=0)
    rates.write(0.3, step=7)
    state = rates.state_dict()
    if saved == "0.2":
        state["before"][1] = list(state["before"][1].values())
    if saved is not None:
        rates.write(0.4, step=8)
        rates.load_state_dict(state)
    first.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.05})
    assert rates.used(7) == pytest.approx([0.1, 0.05, 0.01])


def test_before_anything_is_written() -> None:
    optimizer, _ = driven()
    rates = Rates(Knobs(optimizer, (LearningRate(),)))
    assert rates.rate == pytest.approx(0.2)
    assert rates.used(0) == pytest.approx([0.2, 0.02])
    assert not rates.disturbed()


def test_a_run_that_begins_in_a_warm_up_whose_rate_is_nothing() -> None:
    optimizer, _ = driven()
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    rates = Rates(Knobs(optimizer, (LearningRate(),)))
    rates.write(0.3, step=-1)
    assert rates.used(-1) == [0.0, 0.0]
    assert rates.used(0) == pytest.approx([0.3, 0.03])


def test_a_state_is_a_value() -> None:
    optimizer, rates = driven()
    optimizer.param_groups[0]["lr"] = 0.6
    rates.notice(5)
    state = rates.state_dict()
    optimizer.param_groups[0]["lr"] = 0.7
    rates.notice(6)
    _, again = driven()
    again.write(0.2, step=9)
    again.load_state_dict(state)
    assert again.column(5, 2).tolist() == pytest.approx([0.6, 0.2])
    assert again.used(4) == pytest.approx([0.1, 0.01])
    assert again.used(9) == pytest.approx([0.2, 0.02])
    again.notice(5)
    assert state["others"] == {5: pytest.approx(0.6)}


@pytest.mark.parametrize("still_there", [True, False])
def test_a_group_that_has_joined_keeps_its_rate_in_a_state_if_it_is_still_there(still_there: bool) -> None:
    optimizer, rates = driven()
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.05})
    state = rates.state_dict()
    other, again = driven()
    if still_there:
        other.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.07})
        again.write(0.2, step=5)
    again.load_state_dict(state)
    assert again.used(6) == pytest.approx([0.2, 0.02, 0.05][: 2 + still_there])
    assert not again.disturbed()


def test_how_far_the_rate_may_go() -> None:
    """From a tenth of the given rate, log 0.1: up to e^14 times the given one, and down to e^-28 times."""
    assert bounded(0.7) == 0.7
    assert math.exp(bounded(math.inf)) / 10 == pytest.approx(1_202_604.28)
    assert math.exp(bounded(-math.inf)) / 10 == pytest.approx(6.914400e-13, rel=1e-6, abs=0)
