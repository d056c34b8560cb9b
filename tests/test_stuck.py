"""Runs that no learning rate can mend are told of."""

from __future__ import annotations

import math
import warnings

import pytest
import torch

from loops import network, take_a_step, train
from lrpilot.errors import PilotWarning
from lrpilot.pilot.controller import Pilot
from lrpilot.pilot.deciding import STUBBORN
from scripted import Scripted


def pilot_of(model, lr=0.02, steps=400, step=0.0):
    return Pilot(torch.optim.SGD(model.parameters(), lr=lr), steps, policy=Scripted(step))


@pytest.mark.parametrize("steps", [0, 20])
def test_weights_that_are_not_finite_whatever_the_rate(steps):
    """The data are not any more: at each decision the network is put back and the rate cut, and that is said once."""
    model = network()
    pilot = pilot_of(model, steps=4000)
    train(pilot, model, steps)
    before = len(pilot.history.decisions)

    def decide(times):
        decided = len(pilot.history.decisions)
        while len(pilot.history.decisions) < decided + times:
            for parameter in model.parameters():
                parameter.grad = torch.full_like(parameter, math.nan)
            pilot.optimizer.step()
            pilot.step(1.0)

    with warnings.catch_warnings():
        warnings.simplefilter("error", PilotWarning)
        decide(STUBBORN - 1)
    with pytest.warns(PilotWarning, match="not finite at 8 decisions in a row") as told:
        decide(3)
    assert len(told) == 1
    assert {decision.reason for decision in pilot.history.decisions[before:]} == {"the weights were not finite"}


@pytest.mark.parametrize(
    ("others", "last", "what"), [(1.0, math.nan, "is not finite"), (math.nan, 1.0, "stays far above what it was")]
)
def test_what_the_last_loss_is_where_a_copy_does_not_help(others, last, what, monkeypatch):
    model = network()
    pilot = pilot_of(model)
    train(pilot, model, 100)
    monkeypatch.setattr(pilot._guard, "verdict", lambda *args, **more: "made up")
    monkeypatch.setattr(pilot._guard, "in_vain", lambda *args: True)

    def decide():
        for left in reversed(range(pilot._next - pilot.last_epoch)):
            take_a_step(pilot.optimizer)
            pilot.step(others if left else last)

    with pytest.warns(PilotWarning) as told:
        decide()
    assert str(told[0].message).startswith(f"the loss {what}, and putting the network back to an earlier copy does not")


def test_a_rate_that_was_only_too_high_is_not_told_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error", PilotWarning)
        model = network()
        pilot = pilot_of(model, lr=1e3)
        train(pilot, model, 400)
    assert any(decision.back_to == 0 for decision in pilot.history.decisions)


@pytest.mark.parametrize(("step", "where"), [(2.0, "above"), (-2.0, "below")])
def test_a_rate_at_the_end_of_its_range(step, where):
    model = network()
    pilot = pilot_of(model, lr=1e-9, steps=None, step=step)
    with pytest.warns(PilotWarning, match=f"the farthest that the pilot goes {where} the given one") as told:
        train(pilot, model, 300)
    assert len(told) == 1


def test_an_optimizer_that_reads_its_rate_once():
    model = network()
    with pytest.warns(PilotWarning, match="Rprop reads the learning rate at its first step alone") as told:
        Pilot(torch.optim.Rprop(model.parameters(), lr=0.01), 100, policy=Scripted(0.0))
    assert told[0].filename == __file__
