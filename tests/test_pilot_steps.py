"""What counts as a step: micro-batches, skipped steps, evaluation, and calls that are missing or too many."""

from __future__ import annotations

import math
import re
import warnings

import pytest
import torch
from torch import nn

from loops import batch, loss_of, network, take_a_step, train
from lrpilot import OnlineActorCritic
from lrpilot.errors import InvalidArgument, PilotWarning
from lrpilot.pilot.controller import Pilot
from lrpilot.pilot.timetable import decision_steps
from scripted import Reactive, Scripted

STEPS = 120


def sgd(model, lr=0.02):
    return torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)


@pytest.mark.parametrize("parts", [2, 4])
def test_micro_batches_are_parts_of_a_step(parts):
    """Case L8: the decisions, losses and rates are those of the loop that calls the pilot once for each update."""

    def run(every_part):
        model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1)).double()
        torch.manual_seed(0)
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.5)
        optimizer = sgd(model)
        pilot = Pilot(optimizer, STEPS, policy=Reactive())
        for step in range(STEPS):
            inputs, targets = (part.double() for part in batch(step))
            losses = []
            for part in range(parts):
                rows = slice(16 // parts * part, 16 // parts * (part + 1))
                loss = (model(inputs[rows]) - targets[rows]).square().mean()
                (loss / parts).backward()
                losses.append(loss.detach())
                if part == parts - 1:
                    optimizer.step()
                    optimizer.zero_grad()
                if every_part:
                    pilot.step(loss)
            if not every_part:
                pilot.step(sum(losses) / parts)
        return pilot.history

    parts_told, updates_told = run(True), run(False)
    assert [d.step for d in parts_told.decisions] == list(decision_steps(STEPS)[:-1])
    torch.testing.assert_close(parts_told["loss"], updates_told["loss"], rtol=1e-5, atol=0)
    torch.testing.assert_close(parts_told["rate"], updates_told["rate"], rtol=1e-4, atol=0)


@pytest.mark.parametrize("total_steps", [STEPS, None])  # the second has long intervals, of which the end is measured
@pytest.mark.parametrize("parts", [1, 3])
def test_a_loss_that_is_given_before_the_step(parts, total_steps):
    """As of trainers that call `scheduler.step()` without a loss."""

    def run(before):
        torch.manual_seed(0)
        model = network()
        optimizer = sgd(model)
        pilot = Pilot(optimizer, total_steps, policy=Reactive(), network=model)
        for step in range(parts * STEPS):
            loss = loss_of(model, step)
            (loss / parts).backward()
            if before:
                pilot.step(loss)
            if (step + 1) % parts == 0:
                optimizer.step()
                optimizer.zero_grad()
                if before:
                    pilot.step()
            if not before:
                pilot.step(loss)
        return pilot.history

    before, after = run(True), run(False)
    assert before["loss"].tolist() == after["loss"].tolist()
    assert before["rate"].tolist() == after["rate"].tolist()
    assert len(before["rate"].unique()) > 10


def test_a_step_without_any_loss_is_refused():
    """Case L19."""
    pilot = Pilot(sgd(network()), STEPS, policy=Scripted(0.0))
    take_a_step(pilot.optimizer)
    pilot.step(1.0)
    take_a_step(pilot.optimizer)
    with pytest.raises(InvalidArgument, match=r"^loss must be a scalar: call pilot.step\(loss\), got None"):
        pilot.step()


@pytest.mark.parametrize(("total_steps", "told_at"), [(100_000, 100), (None, 100), (50, 25), (3, 2)])
def test_a_pilot_that_is_never_called_says_so_once(total_steps, told_at):
    optimizer = sgd(network())
    pilot = Pilot(optimizer, total_steps, policy=Scripted(0.0))  # kept: its hooks end with it
    for _ in range(told_at - 1):
        take_a_step(optimizer)
    with pytest.warns(PilotWarning, match=f"has taken {told_at} steps, and pilot.step was never called") as told:
        take_a_step(optimizer)
    assert told[0].filename == take_a_step.__code__.co_filename  # where the step is taken, not where torch calls hooks
    for _ in range(100):
        take_a_step(optimizer)
    assert not pilot.history.decisions


def test_a_resumed_pilot_that_is_never_called_says_so():
    """The steps before count."""
    model = network()
    pilot = Pilot(sgd(model), 1000, policy=Scripted(0.0))
    train(pilot, model, decision_steps(1000)[3])
    again = Pilot(sgd(model), 1000, policy=Scripted(0.0))
    again.load_state_dict(pilot.state_dict())
    while again._hooks.taken < 99:
        take_a_step(again.optimizer)
    with pytest.warns(PilotWarning, match="has taken 100 steps, and pilot.step was never called"):
        take_a_step(again.optimizer)


@pytest.mark.parametrize("steps", [1, 2, 3, 50, 1_000, 10_000_000])  # decisions come before that step, or long after it
def test_one_that_is_called_is_not_warned_of(steps):
    optimizer = sgd(network())
    pilot = Pilot(optimizer, steps, policy=Scripted(0.0))
    for _ in range(min(steps, 101)):
        take_a_step(optimizer)
        pilot.step(1.0)


@pytest.mark.parametrize("total_steps", [100_000, None])
@pytest.mark.parametrize("count", [1, 2])
def test_a_pilot_that_nobody_keeps_is_told_of_once(total_steps, count):
    optimizers = [sgd(network()) for _ in range(count)]
    Pilot(optimizers, total_steps, policy=Scripted(0.0))
    others = []
    for optimizer in optimizers:  # which come after the pilot's, and are called as well
        optimizer.register_step_pre_hook(lambda *_: others.append("pre"))
        optimizer.register_step_post_hook(lambda *_: others.append("post"))

    def loop():
        for _ in range(149):
            for optimizer in optimizers:
                take_a_step(optimizer)

    with pytest.warns(PilotWarning, match=r"made for SGD.* is gone, for no variable held it.* pilot = Pilot") as told:
        take_a_step(optimizers[0])
    for optimizer in optimizers[1:]:
        take_a_step(optimizer)
    loop()
    assert len(told) == 1
    assert told[0].filename == take_a_step.__code__.co_filename
    assert others == ["pre", "post"] * 150 * count
    pilot = Pilot(optimizers, 3, policy=Scripted(0.0))
    for optimizer in optimizers:
        take_a_step(optimizer)
    pilot.step(1.0)
    assert pilot.last_epoch == 1


@pytest.mark.parametrize("another", ["a pilot", "an actor-critic", "a rate of one's own", "the end"])
def test_a_pilot_that_nobody_needs_any_more_is_not_told_of(another):
    optimizer = sgd(network())
    pilot = Pilot(optimizer, 100_000, policy=Scripted(0.0))
    if another == "a pilot":
        pilot = Pilot(optimizer, 100_000, policy=Scripted(0.0))
    elif another == "an actor-critic":
        del pilot
        weights = optimizer.param_groups[0]["params"][0]
        OnlineActorCritic(optimizer, "paper").step(lambda _: weights.square().sum(), None)
    elif another == "a rate of one's own":
        del pilot
        optimizer.param_groups[0]["lr"] = 0.1
    else:
        take_a_step(optimizer)
        pilot.step(1.0)
        del pilot
    for _ in range(3):
        take_a_step(optimizer)


@pytest.mark.parametrize("left", [3, 4])
def test_micro_batches_after_the_last_step_are_no_overrun(left):
    """Fifteen batches in steps of four: the last three fill none. A fourth one would."""
    model = network()
    pilot = Pilot(sgd(model), total_steps=3, policy=Scripted(0.0))
    for part in range(12):
        loss = loss_of(model, part)
        loss.backward()
        if part % 4 == 3:
            pilot.optimizer.step()
        pilot.step(loss)
    for _ in range(3):
        pilot.step(loss)
    if left > 3:
        with pytest.warns(PilotWarning, match="after the 3 steps that were announced"):
            pilot.step(loss)


@pytest.mark.parametrize(("pause", "stepped"), [(1, False), (3, False), (3, True)])
def test_a_resume_between_two_micro_batches(pause, stepped):
    """Before the step, which comes before the last of four calls, or after it."""

    def begun():
        return Pilot(sgd(network()), STEPS, policy=Scripted(0.0))

    pilot = begun()
    for place, loss in enumerate((1.0, 2.0, 4.0, 8.0)):
        if place == 3 and stepped:
            take_a_step(pilot.optimizer)
        if place == pause:
            state, pilot = pilot.state_dict(), begun()
            pilot.load_state_dict(state)
        if place == 3 and not stepped:
            take_a_step(pilot.optimizer)
        pilot.step(loss)
    assert pilot.history["loss"].tolist() == [15 / 4]


@pytest.mark.parametrize("unscaled", [False, True])
@pytest.mark.parametrize("fused", [False, True])
def test_steps_that_a_scaler_skips_do_not_count(fused, unscaled):
    """The step of a fused optimizer is called all the same, and does nothing. Such a run is like one without them."""
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02, fused=fused)
    pilot = Pilot(optimizer, STEPS, policy=Reactive())
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16, growth_interval=1000)
    skipped, moved = {0, 1, 7, 8, 30}, 0
    for step in range(50):
        optimizer.zero_grad()
        loss = loss_of(model, step)
        scaler.scale(loss).backward()
        if step in skipped:
            next(model.parameters()).grad.fill_(torch.inf)
        if unscaled:
            scaler.unscale_(optimizer)
        before = next(model.parameters()).clone()
        scaler.step(optimizer)
        scaler.update()
        pilot.step(loss)
        moved += not torch.equal(before, next(model.parameters()))
    assert pilot.last_epoch == moved == 50 - len(skipped)
    assert [d.step for d in pilot.history.decisions] == [s for s in decision_steps(STEPS) if s <= 45]
    assert all(math.isfinite(d.observation()["update_cosine"]) for d in pilot.history.decisions[2:])


@pytest.mark.integration
def test_losses_of_an_evaluation_are_left_out():
    """Case L10, of three kinds: without gradients, in evaluation mode, and both."""
    for kind in ("no grad", "eval", "both"):
        model, twin = network(), network()
        pilot, other = (Pilot(sgd(each), STEPS, policy=Reactive()) for each in (model, twin))

        def loop(model=model, pilot=pilot, kind=kind):
            for epoch in range(4):
                train(pilot, model, 20, begin=20 * epoch)
                if kind != "no grad":
                    model.eval()
                with torch.set_grad_enabled(kind == "eval"):
                    for step in range(5):
                        pilot.step(100 * loss_of(model, step))
                model.train()

        with pytest.warns(PilotWarning, match="in evaluation") as told:
            loop()
        assert len(told) == 1
        assert told[0].filename == __file__
        train(other, twin, 80)
        assert pilot.history["rate"].tolist() == other.history["rate"].tolist()
        assert pilot.history["loss"].tolist() == other.history["loss"].tolist()


def test_a_network_that_is_trained_in_evaluation_mode_may_accumulate():
    model = network().eval()
    pilot = Pilot(sgd(model), STEPS, policy=Scripted(0.0))
    train(pilot, model, 10)
    pilot.step(1.0)
    take_a_step(pilot.optimizer)
    pilot.step(3.0)
    assert pilot.history["loss"][-1] == 2


@pytest.mark.parametrize("every", [2, 3])
def test_a_pilot_that_is_called_too_rarely_counts_all_steps(every):
    model = network()
    pilot = Pilot(sgd(model), STEPS, policy=Scripted(0.1))

    def loop():
        for step in range(STEPS):
            loss = loss_of(model, step)
            pilot.optimizer.zero_grad()
            loss.backward()
            pilot.optimizer.step()
            if (step + 1) % every == 0:
                pilot.step(loss)

    with pytest.warns(PilotWarning, match=f"SGD took {every} steps between two calls") as told:
        loop()
    assert len(told) == 1
    assert len(pilot.history["loss"]) == STEPS
    ends = decision_steps(STEPS)
    late = sorted({-(-end // every) * every for end in ends[:-1]} - {STEPS})
    assert [d.step for d in pilot.history.decisions] == late
    with pytest.warns(PilotWarning, match="announced"):  # it has come to its end in time
        train(pilot, model, 1)


@pytest.mark.parametrize("steps", [2, 3])
def test_decisions_after_a_missed_one_come_when_they_are_due(steps):
    """One is due after each of the first steps; the late one stands for those that were missed."""
    model = network()
    pilot = Pilot(sgd(model), STEPS, policy=Scripted(0.0))
    for _ in range(steps - 1):
        take_a_step(pilot.optimizer)
    with pytest.warns(PilotWarning, match=f"SGD took {steps} steps between two calls"):
        train(pilot, model, 1)
    train(pilot, model, STEPS - steps)
    due = [step for step in decision_steps(STEPS)[:-1] if step >= steps]
    assert [decision.step for decision in pilot.history.decisions] == due


def test_epochs_given_for_steps():
    """One call an epoch of twenty steps, as of a cosine whose ``T_max`` counts epochs: over before it was called."""
    model = network()
    pilot = Pilot(sgd(model), total_steps=10, policy=Scripted(0.0))

    def epoch():
        for step in range(20):
            loss = loss_of(model, step)
            pilot.optimizer.zero_grad()
            loss.backward()
            pilot.optimizer.step()
        pilot.step(loss)

    with pytest.warns(PilotWarning) as told:
        epoch()
    assert re.search(r"after the 10 steps that were announced: .* not epochs", str(told[-1].message))


def test_a_pilot_that_is_called_before_the_step():
    model = network()
    pilot = Pilot(sgd(model), STEPS, policy=Scripted(0.0))

    def loop():
        for step in range(STEPS):
            loss = loss_of(model, step)
            pilot.optimizer.zero_grad()
            loss.backward()
            pilot.step(loss)
            pilot.optimizer.step()

    with pytest.warns(PilotWarning, match=r"call pilot.step after optimizer.step") as told:
        loop()
    assert len(told) == 1
    assert pilot.last_epoch == STEPS - 1


def test_an_optimizer_that_never_steps():
    """Case L10: the rate stays where it is, whatever the losses are."""
    model = network()
    pilot = Pilot(sgd(model), STEPS, policy=Scripted(1.0))

    def loop():
        for step in range(3 * STEPS):
            pilot.optimizer.zero_grad()
            loss = loss_of(model, step)
            loss.backward()
            pilot.step(loss)

    with pytest.warns(PilotWarning, match="no step of SGD has been seen in 100 calls") as told:
        loop()
    assert len(told) == 1
    assert pilot.get_last_lr() == [0.002]


class SAM(torch.optim.Optimizer):
    """As it is published: two half-steps, and an optimizer within that makes the second."""

    def __init__(self, parameters, base, **kwargs):
        super().__init__(parameters, kwargs)
        self.base_optimizer = base(self.param_groups, **kwargs)
        self.param_groups = self.base_optimizer.param_groups

    @torch.no_grad()
    def first_step(self):
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["old"] = p.clone()
                p.add_(p.grad, alpha=0.01)

    @torch.no_grad()
    def second_step(self):
        for group in self.param_groups:
            for p in group["params"]:
                p.copy_(self.state[p]["old"])
        self.base_optimizer.step()


@pytest.mark.parametrize("given", ["sam", "inner"])
def test_half_steps(given):
    """Case L11: the pilot says whose step it should see; given that, all is well."""
    model = network()
    sam = SAM(model.parameters(), torch.optim.SGD, lr=0.02)
    pilot = Pilot(sam if given == "sam" else sam.base_optimizer, STEPS, policy=Scripted(0.1))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for step in range(10):
            for half in (sam.first_step, sam.second_step):
                sam.zero_grad()
                loss = loss_of(model, step)
                loss.backward()
                half()
            pilot.step(loss)
    if given == "sam":
        (warning,) = told
        assert "no step of SAM has been seen though the weights change" in str(warning.message)
        assert "(perhaps its .base_optimizer)" in str(warning.message)
        assert pilot.get_last_lr() == [0.002]
    else:
        assert not told
        assert pilot.last_epoch == 10
        assert pilot.get_last_lr() != [0.002]


def test_replays_of_a_captured_step_count_by_the_calls():
    model = network()
    pilot = Pilot(sgd(model), STEPS, policy=Scripted(0.1))
    train(pilot, model, 3)
    pilot._hooks.captured = True  # as the hooks note when a CUDA graph is being captured
    for _ in range(20):
        pilot.step(1.0)
    assert pilot.last_epoch == 23


@pytest.mark.parametrize("wrong", [None, "1.0", torch.ones(2)])
def test_a_call_without_a_loss(wrong):
    """Case L19."""
    model = network()
    pilot = Pilot(sgd(model), STEPS, policy=Scripted(0.0))
    take_a_step(pilot.optimizer)
    with pytest.raises(InvalidArgument, match=r"^loss must be a scalar"):
        pilot.step(wrong)
    pilot.step(1.0)
    assert pilot.history["loss"].tolist() == [1.0]


def test_a_closure():
    model = network()
    pilot = Pilot(sgd(model), STEPS, policy=Reactive())
    twin = network()
    plain = Pilot(sgd(twin), STEPS, policy=Reactive())
    for step in range(STEPS):

        def closure(step=step):
            pilot.optimizer.zero_grad()
            loss = loss_of(model, step)
            loss.backward()
            return loss

        pilot.step(pilot.optimizer.step(closure))
    train(plain, twin, STEPS)
    torch.testing.assert_close(pilot.history["rate"], plain.history["rate"])


@pytest.mark.parametrize("told_every_batch", [True, False])
@pytest.mark.parametrize("total_steps", [400, 100])
def test_a_length_in_batches_where_steps_take_several(total_steps, told_every_batch):
    """Case L9: told in the first epoch; a length in steps is not."""
    model = network()
    inputs, targets = batch(0)
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(inputs.repeat(50, 1), targets.repeat(50, 1)), batch_size=4
    )
    assert len(loader) == 200
    optimizer = sgd(model)
    pilot = Pilot(optimizer, total_steps, policy=Scripted(0.0), network=model)

    def loop():
        for number, (some, wanted) in enumerate(loader):
            loss = (model(some) - wanted).square().mean()
            loss.backward()
            if number % 4 == 3:
                optimizer.step()
                optimizer.zero_grad()
            if told_every_batch or number % 4 == 3:
                pilot.step(loss)

    if total_steps == 400:
        with pytest.warns(PilotWarning, match="if 400 are batches, the run will end before its time; make it 100"):
            loop()
        assert pilot.last_epoch == 50
    else:
        loop()


def test_a_metric_in_place_of_the_loss_is_told_of():
    """One that grows as the network learns, from 0.1 to 1."""
    model = network()
    pilot = Pilot(sgd(model), STEPS, policy=Scripted(0.0))

    def train_by_metric():
        for step in range(STEPS):
            loss = loss_of(model, step)
            pilot.optimizer.zero_grad()
            loss.backward()
            pilot.optimizer.step()
            pilot.step(1 / (1 + 5 * loss.detach()))

    with pytest.warns(PilotWarning, match="or pilot.step is given a metric that grows"):
        train_by_metric()
