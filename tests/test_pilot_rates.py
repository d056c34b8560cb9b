"""Somebody else writes the rate: it is told, and the history holds what was used."""

from __future__ import annotations

import math

import pytest
import torch
from torch.optim import lr_scheduler

from loops import loss_of, network, train
from lrpilot.errors import PilotWarning
from lrpilot.pilot import calls
from lrpilot.pilot.controller import Pilot
from lrpilot.pilot.living import schedulers_of
from scripted import Reactive, Scripted

STEPS = 60


class CosineSchedule:
    """A scheduler of another library, which torch knows nothing of."""

    def __init__(self, optimizer):
        self.optimizer, self.steps = optimizer, 0

    def step(self):
        self.steps += 1
        for group in self.optimizer.param_groups:
            group["lr"] = 0.05 * (1 + math.cos(math.pi * self.steps / STEPS))


class OtherScheduler(CosineSchedule):
    pass


SCHEDULES = {
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda step: min(1, (step + 1) / 10)),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=STEPS + 1),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS),
    "OtherScheduler": OtherScheduler,
    "something else": CosineSchedule,  # whose name tells nothing
}


@pytest.mark.parametrize("order", ["before the pilot", "after the pilot"])
@pytest.mark.parametrize("tensor", [False, True])
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_scheduler_left_in_place(name, tensor, order, monkeypatch):
    """Case L6."""
    if tensor and name in ("OtherScheduler", "something else"):
        pytest.skip("puts a number in the tensor's place, as in the other test")
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=torch.tensor(0.01) if tensor else 0.01, foreach=False)
    schedule = SCHEDULES[name](optimizer)
    pilot = Pilot(optimizer, STEPS, policy=Scripted(0.2))
    used = []

    def loop():
        for step in range(STEPS):
            loss = loss_of(model, step)
            optimizer.zero_grad()
            loss.backward()
            used.append(float(optimizer.param_groups[0]["lr"]))
            optimizer.step()
            if order == "before the pilot":
                schedule.step()
            pilot.step(loss)
            if order == "after the pilot":
                schedule.step()
            assert pilot.get_used_lr()[0] == pytest.approx(used[-1], rel=1e-6)
            if step % 2 == 0:
                assert pilot.scalars()["lr"] == pilot.get_used_lr()[0]  # looks at the history amid an interval

    searches = []  # through all living objects, a tenth of a second each
    monkeypatch.setattr(calls, "schedulers_of", lambda o: searches.append(o) or schedulers_of(o))
    with pytest.warns(PilotWarning, match=f"^{name} writes the learning rate too") as told:
        loop()
    assert len(told) == len(searches) == 1
    assert pilot.history["rate"].tolist() == pytest.approx(used, rel=1e-6)
    for decision in pilot.history.decisions:
        assert decision.rate_before == pytest.approx(max(used[decision.step - 1], 1e-9), rel=1e-6)


def test_a_loop_that_writes_the_rate_once_is_taken_up():
    """A pilot goes on from where somebody put the rate, rather than jump back."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    pilot = Pilot(optimizer, STEPS, policy=Scripted(0.0))
    train(pilot, model, 20)
    optimizer.param_groups[0]["lr"] = 0.003
    with pytest.warns(PilotWarning, match="something else writes"):
        rates = train(pilot, model, 20, begin=20)
    assert rates == pytest.approx([0.003] * 20)
    assert pilot.history["rate"].tolist() == pytest.approx([0.01] * 20 + [0.003] * 20)


def test_a_rate_of_nothing_is_taken_up_as_the_lowest_that_the_pilot_goes():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    pilot = Pilot(optimizer, STEPS, policy=Scripted(0.0))
    train(pilot, model, 20)
    optimizer.param_groups[0]["lr"] = 0.0
    with pytest.warns(PilotWarning, match="something else writes"):
        rates = train(pilot, model, 20, begin=20)
    assert rates[0] == 0
    assert rates[-1] == pytest.approx(0.1 * math.exp(-28.0), rel=1e-6, abs=0)


def test_the_record_of_a_step_holds_the_rate_of_that_step():
    """Case F11, at every decision."""
    model = network()
    first, last = model[0].parameters(), model[3].parameters()
    optimizer = torch.optim.SGD([{"params": first}, {"params": last, "lr": 0.001, "lr_scale": 0.5}], lr=0.01)
    pilot = Pilot(optimizer, STEPS, policy=Scripted(0.1))
    used, told = [], []
    for step in range(STEPS):
        used.append([group["lr"] for group in optimizer.param_groups])
        train(pilot, model, 1, begin=step)
        told.append(pilot.get_used_lr())
        assert pilot.scalars()["lr"] == told[-1][0]
    assert told == used
    assert pilot.history["rate"].tolist() == pytest.approx([rates[0] for rates in used])


@pytest.mark.parametrize("factor", [1e-2, 0.0])
def test_a_pilot_made_after_a_warm_up(factor):
    """Case L7."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    lr_scheduler.LambdaLR(optimizer, lambda step: factor if step == 0 else 1.0)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(factor * 0.1)
    pilot = Pilot(optimizer, STEPS, policy=Scripted(0.0))
    assert pilot.get_last_lr() == pytest.approx([0.01])
    assert pilot.base_lrs == [0.1]


def test_a_group_added_late_keeps_its_ratio_to_what_was_given():
    """Cases L2 and L5, and no word of somebody else."""
    model = network()
    optimizer = torch.optim.SGD(model[0].parameters(), lr=1e-3)
    pilot = Pilot(optimizer, STEPS, policy=Scripted(0.05))
    train(pilot, model, 10)
    optimizer.add_param_group({"params": model[3].parameters(), "lr": 1e-4})
    train(pilot, model, STEPS - 10, begin=10)
    first, late = pilot.get_last_lr()
    assert late == pytest.approx(first / 10)


@pytest.mark.filterwarnings("ignore:the loss stays far above")
@pytest.mark.parametrize("pilot_first", [True, False])
def test_a_group_that_has_joined_keeps_its_rate_in_a_resumed_run_as_long_as_in_one_that_was_not(pilot_first):
    """Until the next decision."""

    def begun(joined):
        model = network()
        optimizer = torch.optim.SGD(model[0].parameters(), lr=0.01)
        if joined:
            optimizer.add_param_group({"params": model[3].parameters(), "lr": 0.003})
        return model, optimizer, Pilot(optimizer, STEPS, policy=Scripted(0.3))

    def rates(resumed):
        model, optimizer, pilot = begun(joined=False)
        train(pilot, model, 50)
        assert 51 not in pilot._timetable._ends
        optimizer.add_param_group({"params": model[3].parameters(), "lr": 0.003})
        for _ in range(2 * resumed):  # the second is the state of a state
            saved = model.state_dict(), optimizer.state_dict(), pilot.state_dict()
            model, optimizer, pilot = begun(joined=True)
            model.load_state_dict(saved[0])
            loads = [(optimizer, saved[1]), (pilot, saved[2])]
            for each, state in loads[:: -1 if pilot_first else 1]:
                each.load_state_dict(state)
        used = [pilot.get_last_lr()]
        for step in range(50, STEPS):
            train(pilot, model, 1, begin=step)
            used.append(pilot.get_used_lr())
        return used, pilot.history["rate"].tolist(), pilot.get_last_lr()

    once = rates(resumed=False)
    assert once[0][0][-1] == 0.003
    assert rates(resumed=True) == once


def test_layer_decay():
    """Case L27."""
    model = network()
    groups = [{"params": model[0].parameters(), "lr_scale": 0.25}, {"params": model[3].parameters(), "lr_scale": 1.0}]
    optimizer = torch.optim.SGD(groups, lr=0.02)
    pilot = Pilot(optimizer, STEPS, policy=Reactive())
    train(pilot, model, STEPS)
    low, high = pilot.get_last_lr()
    assert low == pytest.approx(high / 4)
    assert pilot.history["rate"][-1] == pytest.approx(high)


def test_the_cell_that_is_run_again():
    """Case L23: the same start each time; the earlier pilot drives no longer."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    starts = []
    for _ in range(4):
        pilot = Pilot(optimizer, STEPS, policy=Scripted(0.5))
        starts += pilot.get_last_lr()
        train(pilot, model, 10)
    assert starts == [1e-3] * 4
    assert len(optimizer._optimizer_step_post_hooks) == 1
