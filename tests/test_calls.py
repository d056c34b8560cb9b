"""Calls of the pilot that are not one to a step, without a pilot around them."""

from __future__ import annotations

import math
import warnings

import pytest
import torch

from loops import network, take_a_step
from lrpilot.core.notices import Notices, PilotWarning
from lrpilot.pilot import calls
from lrpilot.pilot.buffers import Buffers
from lrpilot.pilot.calls import Calls
from lrpilot.pilot.interval import Interval
from lrpilot.pilot.loss_buffer import LossBuffer
from lrpilot.pilot.memory import Memory


def alone():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
    take_a_step(optimizer)  # its gradients stand there as after a backward pass
    return Calls([optimizer], Buffers(optimizer, [model]), LossBuffer(), Notices())


def test_a_hundred_calls_in_vain_are_told_of():
    """No one accumulates over so many micro-batches; a step begins the count anew."""
    called = alone()

    def call(times):
        for _ in range(times):
            called.without_step(1.0, step=5)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        call(99)
        called.with_step(missed=0)
        call(99)
    with pytest.warns(PilotWarning, match="no step of SGD has been seen in 100 calls"):
        call(1)


def test_the_order_of_the_calls_shows_at_the_third_step():
    """One call with gradients and no step, before all others: pilot.step stands before optimizer.step. Two are
    micro-batches; without gradients, or with such as a scaler skips, there was nothing to step along."""
    for calls_before, gradient, step, told in (
        (1, 1e-3, 3, True),
        (1, 1e-3, 2, False),
        (2, 1e-3, 3, False),
        (1, torch.inf, 3, False),
        (1, None, 3, False),
    ):
        called, notices = alone(), []
        called._notices.tell = lambda kind, message, notices=notices: notices.append(kind)
        for parameter in called._optimizers[0].param_groups[0]["params"]:
            parameter.grad = None if gradient is None else torch.full_like(parameter, gradient)
        for _ in range(calls_before):
            called.without_step(1.0, step=0)
        for _ in range(2):
            called.look_back(step=step, total_steps=None)
        assert notices == (["order"] if told else [])


def test_one_call_in_vain_in_mid_run_tells_nothing_of_the_order():
    """A scaler has skipped a step."""
    _, called, _, told = watched()
    called.without_step(1.0, step=5)
    called.look_back(step=6, total_steps=None)
    assert told == []


def test_steps_are_compared_with_batches_once_from_the_eighth_on(monkeypatch):
    """The search goes through all living objects; by then a loader that gives two batches a step is ahead by eight."""
    called, asked = alone(), []
    monkeypatch.setattr(calls, "batches_for", lambda steps, total: asked.append((steps, total)))
    for step in range(1, 12):
        called.look_back(step=step, total_steps=None)
    for step in range(1, 12):
        called.look_back(step=step, total_steps=30)
    assert asked == [(8, 30)]


@pytest.mark.parametrize(("batches", "proposed"), [(16, 50), (24, 34), (23, 34)])
def test_how_many_steps_so_many_batches_make(monkeypatch, batches, proposed):
    """Of a hundred batches, two or three of which make a step; one more may have been fetched, or one less."""
    monkeypatch.setattr(calls, "batches_for", lambda steps, total: batches)
    with pytest.warns(PilotWarning, match=f"8 steps for {batches} batches.* make it {proposed}$"):
        alone().look_back(step=8, total_steps=100)


def test_whose_the_other_rates_are_is_looked_for_once(monkeypatch):
    called, asked = alone(), []
    monkeypatch.setattr(calls, "schedulers_of", lambda optimizer: asked.append(optimizer) or ["One", "Two"])
    with pytest.warns(PilotWarning, match="^One and Two writes the learning rate too"):
        called.rates_differ(loaded=True)
    called.rates_differ(loaded=False)
    assert len(asked) == 1


@pytest.mark.parametrize(("loaded", "told"), [(True, "the optimizer's load_state_dict"), (False, "something else")])
def test_other_rates_of_no_scheduler(loaded, told):
    with pytest.warns(PilotWarning, match=f"^{told} "):
        alone().rates_differ(loaded=loaded)


def test_an_optimizer_that_leaves_steps_out_is_told_of_once():
    """At the second decision from the eighth step on at which it shows: once may be a scaler's doing."""
    called, told = alone(), []
    called._optimizers = [*called._optimizers, torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])]
    called._notices.tell = lambda kind, message: told.append(message)
    for step, idle in ((3, {1}), (5, {1}), (8, {1}), (9, set())):
        called.look_back(step=step, total_steps=None, idle=idle)
    assert told == []
    for step in (12, 14):
        called.look_back(step=step, total_steps=None, idle={1})
    (message,) = told
    assert message.startswith("AdamW (optimizer 2 of 2) left out steps that others took, so")


def test_optimizers_that_leave_out_steps_by_turns_are_both_named():
    called, told = alone(), []
    called._optimizers = [*called._optimizers, torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])]
    called._notices.tell = lambda kind, message: told.append(message)
    for step, idle in ((8, {0}), (9, {1})):
        called.look_back(step=step, total_steps=None, idle=idle)
    (message,) = told
    assert message.startswith("SGD (optimizer 1 of 2) and AdamW (optimizer 2 of 2) left out steps")


def watched(**attributes):
    """A network, what takes its calls, the losses that it keeps, and what it tells of."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
    vars(optimizer).update(attributes)
    take_a_step(optimizer)
    losses, notices, told = LossBuffer(), Notices(), []
    notices.tell = lambda kind, message: told.append((kind, message))
    return model, Calls([optimizer], Buffers(optimizer, [model]), losses, notices), losses, told


def test_losses_of_an_evaluation_are_no_parts():
    """Without gradients, or in evaluation mode, unless the network was in it at the last decision: then it is trained
    so."""
    model, called, losses, told = watched()
    model.eval()
    called.without_step(1.0, step=5)
    assert not losses.has_parts
    called.look_back(step=6, total_steps=None)
    called.without_step(1.0, step=7)
    assert losses.has_parts
    with torch.no_grad():
        called.without_step(3.0, step=7)
    assert losses.take_parts() == 1.0
    assert [kind for kind, _ in told] == ["evaluation"] * 2
    model.train()
    called.look_back(step=8, total_steps=None)
    model.eval()
    called.without_step(1.0, step=9)
    assert not losses.has_parts


def test_weights_that_change_without_a_step_are_told_of():
    """Before the first step, and with the attribute that may hold the optimizer that takes them."""
    inner = torch.optim.SGD(network().parameters(), lr=0.1)
    for attributes, hint in (({}, ""), ({"base": inner, "other": 3}, " (perhaps its .base)")):
        model, called, _, told = watched(**attributes)
        called.without_step(1.0, step=0)
        called.without_step(1.0, step=0)
        assert told == []
        with torch.no_grad():
            model[0].weight.add_(1.0)
        called.without_step(1.0, step=1)
        assert told == []
        called.without_step(1.0, step=0)
        ((kind, message),) = told
        assert kind == "unseen"
        assert message.endswith(
            "no step of SGD has been seen though the weights change: give Pilot the optimizer whose step() is called"
            + hint
        )


def test_steps_between_two_calls_are_told_of():
    _, called, _, told = watched()
    called.with_step(missed=0)
    assert told == []
    called.with_step(missed=2)
    ((kind, message),) = told
    assert kind == "missed"
    assert message.startswith("SGD took 3 steps between two calls")


@pytest.mark.parametrize("count", [0, 1, 3])
def test_calls_after_the_end_are_told_of_from_the_first_that_belongs_to_a_step(count):
    """``count`` micro-batches before the call that follows a step: as many may be left over."""
    _, called, _, told = watched()
    for _ in range(count):
        called.without_step(1.0, step=5)
    called.with_step(missed=0)
    for _ in range(count):
        called.left_over(6)
    assert told == []
    called.left_over(6)
    ((kind, message),) = told
    assert kind == "overrun"
    assert message.startswith("pilot.step is called after the 6 steps that were announced")


@pytest.mark.parametrize("given", [None, "a loss", "a part"])
def test_a_pilot_that_was_called_once_has_been_heard_of(given):
    _, called, losses, told = watched()
    if given is not None:
        (losses.append if given == "a loss" else losses.append_part)(1.0)
    called.unheard(100)
    assert [kind for kind, _ in told] == (["uncalled"] if given is None else [])


@pytest.mark.parametrize(
    ("state", "stepped"),
    [
        ({}, False),
        ({"step": torch.tensor(0.0), "sum": torch.zeros(1)}, False),  # Adagrad's, as it is made
        ({"step": torch.tensor(1.0), "sum": torch.ones(1)}, True),
        ({"momentum_buffer": None}, False),
        ({"momentum_buffer": torch.ones(1)}, True),
    ],
)
def test_an_optimizer_that_has_stepped_before_is_told_by_its_state(state, stepped):
    _, called, _, told = watched()
    optimizer = called._optimizers[0]
    optimizer.state[optimizer.param_groups[0]["params"][0]] = state
    called.begins_anew(optimizer)
    assert [kind for kind, _ in told] == ["anew"] * stepped


def test_one_loss_for_all_steps_is_told_of():
    """That of another batch, or no loss at all; where the weights hardly move, losses may be one."""
    steps = [(torch.full((10,), 2.0), step) for step in range(10, 100, 10)]
    called = alone()

    def look(some, moved=1.05e-4):
        for losses, step in some:
            called.look_at(losses, step=step, moved=moved)

    look([(torch.full((1,), 2.0), 1), *steps[:4], (torch.full((8,), 2.0), 49)])
    with pytest.warns(PilotWarning, match=r"the loss has been 2 in all 50 steps, though the weights move") as told:
        look(steps[4:])
    assert len(told) == 1
    called = alone()
    with pytest.warns(PilotWarning, match="took 5 steps between two calls"):
        called.with_step(missed=4)
    look(steps)  # it was the pilot that wrote one loss down several times
    for other, moved in ((2.0001, 0.01), (2.0, 0.95e-4), (float("nan"), 0.01)):
        called = alone()
        look([(torch.tensor([2.0, other]), 2), *steps], moved=moved)


def interval(*losses, gradient_norm=1.0):
    return Interval.unmeasured(torch.tensor(losses), gradient_norm=torch.tensor(gradient_norm))


def remembered(log_loss, **rest):
    return Memory.of_one_run()._replace(first=0.1, last=log_loss, long=log_loss, **rest)


@pytest.mark.parametrize(
    ("memory", "step", "total_steps", "told"),
    [
        (remembered(math.log(1.51)), 25, 100, True),
        (remembered(math.log(1.51)), 24, 100, False),  # not yet a quarter of the run
        (remembered(math.log(1.49)), 25, 100, False),
        (remembered(math.log(9.0))._replace(last=0.0), 99, 100, False),  # it has come down again
        (remembered(math.log(9.0))._replace(long=0.0), 99, 100, False),  # once, for now
        (remembered(math.log(9.0)), 199, None, False),
        (remembered(math.log(9.0)), 200, None, True),
    ],
)
def test_a_loss_that_has_risen_for_good_is_told_of(memory, step, total_steps, told):
    _, called, _, notices = watched()
    called.look_at_interval(interval(0.4, 0.6), memory, step=step, total_steps=total_steps)
    assert [kind for kind, _ in notices] == ["risen"] * told
    for _, message in notices:
        assert message.startswith(f"the loss stands at 0.5 after {step} steps, far above the first one, 0.1: ")


@pytest.mark.parametrize(("gradient", "loss", "told"), [(0.0, 0.5, True), (0.0, 0.0, False), (1e-9, 0.5, False)])
def test_gradients_that_are_zero_are_told_of_unless_nothing_is_left_of_the_loss(gradient, loss, told):
    """A hinge loss comes to 0 as the network has learned."""
    _, called, _, notices = watched()
    now = interval(loss, loss, gradient_norm=gradient)
    called.look_at_interval(now, remembered(-3.0, best=-3.0), step=5, total_steps=100)
    assert [kind for kind, _ in notices] == ["zero"] * told


def test_lengths_are_compared_when_a_state_is_taken_up():
    """A run of 1000 goes on at step 400: 600 are left; 1000 or any other number is a length of the whole."""
    _, called, _, told = watched()
    for planned, before in ((1000, 1000), (2000, 1000), (599, 1000), (None, 1000), (600, None)):
        called.compare_lengths(planned, before, step=400)
    assert told == []
    called.compare_lengths(600, 1000, step=400)
    ((kind, message),) = told
    assert kind == "left"
    assert "the run ends 200 steps from here; make it 1000" in message
