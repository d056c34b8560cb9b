"""What may change under a pilot, and what may be copied of it."""

from __future__ import annotations

import copy
import gc
import io
import pickle

import pytest
import torch
from torch import nn

from loops import batch, loss_of, network, take_a_step, train
from lrpilot.errors import InvalidArgument, PilotWarning
from lrpilot.pilot.controller import Pilot
from lrpilot.pilot.timetable import decision_steps
from scripted import Reactive, Scripted

STEPS = 100


def adamw(model, lr=1e-3):
    return torch.optim.AdamW(model.parameters(), lr=lr)


def equal(model, other):
    pairs = zip(model.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(mine, theirs) for mine, theirs in pairs)


CHANGES = {
    "unfreeze": lambda model, optimizer: model[0].requires_grad_(True),
    "freeze": lambda model, optimizer: model[3].requires_grad_(False),
    "add a group": lambda model, optimizer: optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(3))]}),
}


IN_VAIN = "ignore:the network was taken back to a copy in vain"
"""What is learned here is noise, so that no copy helps."""


@pytest.mark.filterwarnings(IN_VAIN)
@pytest.mark.parametrize("rollback", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_what_trains_may_change_at_any_step(change, rollback):
    """Cases L1 and L2: at the beginning of a run, amid a measurement and at its borders."""
    for moment in (0, 1, 2, 3, 7, 12, 20, 33, 36, 39):
        model = network()
        if change == "unfreeze":
            model[0].requires_grad_(False)
        optimizer = adamw(model)
        pilot = Pilot(optimizer, 40, policy=Reactive(), rollback=rollback, network=model)
        train(pilot, model, moment)
        CHANGES[change](model, optimizer)
        train(pilot, model, 40 - moment, begin=moment)
        assert [d.step for d in pilot.history.decisions if d.step < 40] == list(decision_steps(40)[:-1])


@pytest.mark.parametrize("frozen", ["one layer", "all"])
def test_what_is_frozen_between_its_step_and_the_pilots_has_been_trained(frozen):
    """As pix2pix freezes its discriminator while the generator trains: the run is that of a loop that does not."""
    rates = {}
    for freezes in (False, True):
        model = network()
        pilot = Pilot(adamw(model), STEPS, policy=Reactive())
        other = model[0] if frozen == "one layer" else model
        for step in range(STEPS):
            other.requires_grad_(True)
            loss = loss_of(model, step)
            pilot.optimizer.zero_grad()
            loss.backward()
            pilot.optimizer.step()
            other.requires_grad_(not freezes)
            pilot.step(loss)
        rates[freezes] = pilot.history["rate"]
    assert len(rates[False].unique()) > 10
    assert torch.equal(rates[True], rates[False])


@pytest.mark.parametrize("pause", [3, 12, 36, 37, 40])
@pytest.mark.parametrize("when", ["before the call", "after it"])
def test_a_copy_is_made_while_what_was_trained_is_frozen(pause, when):
    """In such a loop the copy goes on as the first one does, with all that was measured of the last step."""

    def run(pause):
        model = network()
        pilot = Pilot(adamw(model), STEPS, policy=Reactive(), network=model)
        for step in range(STEPS):
            model.requires_grad_(True)
            loss = loss_of(model, step)
            pilot.optimizer.zero_grad()
            loss.backward()
            pilot.optimizer.step()
            model.requires_grad_(False)
            if step == pause and when == "before the call":
                model, pilot = copy.deepcopy((model, pilot))
            pilot.step(loss)
            if step == pause and when == "after it":
                model, pilot = copy.deepcopy((model, pilot))
        return pilot.history

    undisturbed, copied = run(None), run(pause)
    assert copied["rate"].tolist() == undisturbed["rate"].tolist()
    assert copied.decisions == undisturbed.decisions


def test_a_state_taken_between_a_step_and_the_call_that_follows():
    """A loop that resumes begins with the next batch: no step is forgotten, and none is told of."""
    model = network()
    pilot = Pilot(adamw(model), 40, policy=Reactive(), network=model)
    train(pilot, model, 20)
    loss_of(model, 20).backward()
    pilot.optimizer.step()
    parts = (model, pilot.optimizer, pilot)
    states = [copy.deepcopy(part.state_dict()) for part in parts]
    again = network()
    resumed = Pilot(adamw(again), 40, policy=Reactive(), network=again)
    for part, state in zip((again, resumed.optimizer, resumed), states, strict=True):
        part.load_state_dict(state)
    train(resumed, again, 19, begin=21)
    assert resumed.last_epoch == len(resumed.history["rate"]) == 40
    assert not resumed.optimizer._optimizer_step_post_hooks  # the run has ended, in time


@pytest.mark.parametrize("refilled", [True, False])
def test_an_optimizer_whose_groups_are_cleared(refilled):
    """Its step does nothing then, and does not count; nor does it read a rate."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
    pilot = Pilot(optimizer, 40, policy=Scripted(0.0), network=model)
    train(pilot, model, 12)
    rate = pilot.get_last_lr()[0]
    optimizer.param_groups.clear()
    for step in range(12, 15):
        optimizer.step()
        pilot.step(loss_of(model, step))
    assert pilot.last_epoch == 12
    if refilled:
        optimizer.add_param_group({"params": list(model.parameters()), "lr": rate})
        train(pilot, model, 28, begin=15)
        assert pilot.last_epoch == len(pilot.history["rate"]) == 40


@pytest.mark.parametrize("moment", [1, 3, 12, 20, 36])
def test_the_precision_may_change_at_any_step(moment):
    """As L1: the tensors are the same, and what was measured of them is not."""
    model = network()
    pilot = Pilot(torch.optim.SGD(model.parameters(), lr=0.01), 40, policy=Reactive(), rollback=True, network=model)
    train(pilot, model, moment)
    model.double()
    for step in range(moment, 40):
        inputs, targets = (part.double() for part in batch(step))
        loss = (model(inputs) - targets).square().mean()
        pilot.optimizer.zero_grad()
        loss.backward()
        pilot.optimizer.step()
        pilot.step(loss)
    assert [d.step for d in pilot.history.decisions if d.step < 40] == list(decision_steps(40)[:-1])


@pytest.mark.integration
@pytest.mark.filterwarnings(IN_VAIN)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("pause", [4, 30, 62])
def test_a_state_taken_after_a_change(change, pause):
    """Case L4: loaded into a network with the change, and into one without."""
    for changed in (True, False):
        model = network()
        optimizer = adamw(model)
        pilot = Pilot(optimizer, STEPS, policy=Reactive(), rollback=True)
        train(pilot, model, pause - 2)
        CHANGES[change](model, optimizer)
        train(pilot, model, 2, begin=pause - 2)
        again = network()
        optimizer = adamw(again)
        if changed:
            CHANGES[change](again, optimizer)
        resumed = Pilot(optimizer, STEPS, policy=Reactive(), rollback=True)
        resumed.load_state_dict(pilot.state_dict())
        train(resumed, again, STEPS - pause, begin=pause)
        assert [d.step for d in resumed.history.decisions] == list(decision_steps(STEPS)[:-1])


@pytest.mark.parametrize("changed", ["parameter", "buffer"])
def test_a_state_taken_after_a_tensor_has_changed_its_shape(changed):
    """Before the guard has made another copy: what the copy holds of it is of no use, and the rest is."""

    def begin():
        model = network()
        model.register_buffer("bank", torch.zeros(1))
        optimizer = adamw(model)
        return model, optimizer, Pilot(optimizer, 400, policy=Scripted(0.0), network=model)

    def reshape(model, optimizer):
        if changed == "parameter":
            weight = model[3].weight
            weight.data, weight.grad, optimizer.state[weight] = torch.full((2, 8), 0.1), None, {}
        else:
            model.bank = torch.ones(2)

    model, optimizer, pilot = begin()
    model.bank.add_(1)  # as by a forward pass before the first step: it is one that changes
    start = copy.deepcopy(model.state_dict())
    train(pilot, model, 2)
    reshape(model, optimizer)
    again, fresh, twin = begin()
    reshape(again, fresh)
    twin.load_state_dict(pilot.state_dict())
    for each in (pilot, copy.deepcopy(pilot), twin):
        each._guard.take_back()
    assert torch.equal(again[0].weight, start["0.weight"])
    assert again[3].weight.shape == ((2, 8) if changed == "parameter" else (1, 8))
    assert again.bank.tolist() == [0.0]


def test_a_state_is_a_value():
    """Case S7: one state, loaded into two equal copies, drives two equal runs."""
    model = network()
    optimizer = adamw(model, 0.05)
    pilot = Pilot(optimizer, STEPS, policy=Reactive(), rollback=True)
    train(pilot, model, 13)
    states = [part.state_dict() for part in (model, optimizer, pilot)]
    kept = copy.deepcopy(states)
    runs = []
    for _ in range(2):
        twin = network()
        twin_optimizer = adamw(twin)
        twin_pilot = Pilot(twin_optimizer, STEPS, policy=Reactive(), rollback=True)
        for part, state in zip((twin, twin_optimizer, twin_pilot), states, strict=True):
            part.load_state_dict(copy.deepcopy(state) if part is not twin_pilot else state)
        train(twin_pilot, twin, STEPS - 13, begin=13)
        runs.append((twin, twin_pilot.history["rate"].tolist()))
    assert runs[0][1] == runs[1][1]
    assert equal(runs[0][0], runs[1][0])
    file, other = io.BytesIO(), io.BytesIO()
    torch.save(states[2], file)
    torch.save(kept[2], other)
    assert file.getvalue() == other.getvalue()


def test_a_state_that_does_not_fit_changes_nothing():
    model, other = network(), nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, 1))
    pilot, wrong = (Pilot(adamw(each), STEPS, policy=Reactive()) for each in (model, other))
    train(pilot, model, 3)
    train(wrong, other, 30)
    twin = copy.deepcopy((model, pilot.optimizer, pilot))
    state = wrong.state_dict()
    state["guard"] = {**wrong.state_dict()["guard"], "good": "nothing of the kind"}
    for bad in (state, {**pilot.state_dict(), "losses": None}, {}):
        with pytest.raises(InvalidArgument):
            pilot.load_state_dict(bad)
    train(pilot, model, STEPS - 3, begin=3)
    train(twin[2], twin[0], STEPS - 3, begin=3)
    assert pilot.history["rate"].tolist() == twin[2].history["rate"].tolist()


@pytest.mark.parametrize("copied", ["deepcopy", "pickle"])
@pytest.mark.parametrize("pause", [0, 1, 13, 60, STEPS])
def test_copies_drive_on_equally(copied, pause):
    """Case L22."""
    model = network()
    pilot = Pilot(adamw(model, 0.05), STEPS, policy=Reactive(), rollback=True)
    train(pilot, model, pause)
    together = (model, pilot.optimizer, pilot)
    twin, optimizer, again = copy.deepcopy(together) if copied == "deepcopy" else pickle.loads(pickle.dumps(together))
    assert again.optimizer is optimizer
    assert again.get_last_lr() == pilot.get_last_lr()
    train(pilot, model, STEPS - pause, begin=pause)
    assert again.last_epoch == pause  # a thing of its own
    train(again, twin, STEPS - pause, begin=pause)
    assert again.history["rate"].tolist() == pilot.history["rate"].tolist()
    assert equal(model, twin)


def test_a_copy_goes_back_to_the_copys_buffers():
    model = network()
    pilot = Pilot(torch.optim.SGD(model.parameters(), lr=1e4), 1000, policy=Scripted(0.0))
    twin, _, again = copy.deepcopy((model, pilot.optimizer, pilot))
    start = copy.deepcopy(twin)
    train(again, twin, decision_steps(1000)[1])
    assert again.history.decisions[-1].back_to == 0
    assert equal(start, twin)


def test_two_living_pilots_are_refused():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    earlier = Pilot(optimizer, STEPS, policy=Scripted(0.0))
    later = Pilot(optimizer, STEPS, policy=Scripted(0.0))
    take_a_step(optimizer)
    with pytest.raises(InvalidArgument, match="pilot must be the one that was made last for its optimizer"):
        earlier.step(1.0)
    state = later.state_dict()
    for change in (lambda: earlier.extend(500), lambda: earlier.finish(5), lambda: earlier.load_state_dict(state)):
        with pytest.raises(InvalidArgument, match="pilot must be the one that was made last for its optimizer"):
            change()
    assert optimizer.param_groups[0]["lr"] == 0.001
    later.step(1.0)
    assert later.last_epoch == 1


def test_a_run_that_is_extended_after_its_end_takes_its_optimizer_back():
    """Two pilots would write the rate otherwise."""
    model = network()
    ended = Pilot(torch.optim.SGD(model.parameters(), lr=0.01), 5, policy=Scripted(0.0))
    train(ended, model, 5)
    other = Pilot(ended.optimizer, 5, policy=Scripted(0.0))
    ended.extend(10)
    take_a_step(ended.optimizer)
    with pytest.raises(InvalidArgument, match="pilot must be the one"):
        other.step(1.0)
    ended.step(1.0)
    assert ended.last_epoch == 6


def changed_buffers(pilot, model, steps):
    """Train at a rate that destroys, until the pilot takes back; what is then not as it was."""
    start = {name: value.clone() for name, value in model.state_dict().items()}
    train(pilot, model, steps)
    assert pilot.history.decisions[-1].back_to == 0
    return [name for name, value in model.state_dict().items() if not torch.equal(value, start[name].to(value))]


def destructive(model, **kwargs):
    return Pilot(torch.optim.SGD(model.parameters(), lr=1e4), 1000, policy=Scripted(0.0), **kwargs)


@pytest.mark.usefixtures("all_objects")
def test_frozen_objects_are_found():
    """Case S9."""
    model = network()
    gc.freeze()
    try:
        pilot = destructive(model)
        assert gc.get_freeze_count() > 0
        assert changed_buffers(pilot, model, decision_steps(1000)[1]) == []
    finally:
        gc.unfreeze()


class Awkward(nn.Module):
    """Its methods need arguments, as some libraries' do."""

    def __init__(self, inner=None):
        super().__init__()
        self.inner = inner

    def parameters(self, group):  # type: ignore[override]
        raise TypeError("group?")

    modules = buffers = named_buffers = named_parameters = parameters

    def forward(self, inputs):
        return self.inner(inputs)


@pytest.mark.parametrize("holds", [True, False])
def test_modules_whose_methods_need_arguments(holds):
    """Case S10, whether or not it holds the network."""
    model = network()
    bystander = Awkward(model if holds else None)
    assert changed_buffers(destructive(model), model, decision_steps(1000)[1]) == []
    assert bystander.inner is (model if holds else None)


@pytest.mark.parametrize("given", ["found", "named"])
def test_buffers_that_are_replaced(given):
    """``net.double()`` puts others in their place."""
    model = network()
    pilot = destructive(model, **({"network": model} if given == "named" else {}))
    model.double()

    def loss_fn(inputs, targets):
        return (model(inputs.double()) - targets.double()).square().mean()

    start = {name: value.clone() for name, value in model.state_dict().items()}
    for step in range(decision_steps(1000)[1]):
        inputs = torch.randn(16, 6, generator=torch.Generator().manual_seed(step))
        loss = loss_fn(inputs, inputs[:, :1])
        pilot.optimizer.zero_grad()
        loss.backward()
        pilot.optimizer.step()
        pilot.step(loss)
    assert pilot.history.decisions[-1].back_to == 0
    assert all(torch.equal(value, start[name]) for name, value in model.state_dict().items())


def test_a_network_that_is_named_is_not_searched_for():
    """Only its buffers go back: an outer module's are its own affair."""
    model, other = network(), network()
    outer = nn.ModuleList([model, other])
    pilot = destructive(model, network=model)
    other(torch.randn(8, 6))
    moved = other[1].running_mean.clone()
    assert changed_buffers(pilot, model, decision_steps(1000)[1]) == []
    assert torch.equal(outer[1][1].running_mean, moved)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_default_dtypes(dtype):
    """Case S8: the same run as under torch's own."""
    model = network()
    plain = Pilot(adamw(model), STEPS)
    train(plain, model, STEPS)
    twin = network()
    torch.set_default_dtype(dtype)
    seen = []
    try:
        pilot = Pilot(adamw(twin), STEPS, on_decision=lambda decision: seen.append(torch.get_default_dtype()))
        for step in range(STEPS):
            torch.set_default_dtype(torch.float32)
            loss = loss_of(twin, step)
            torch.set_default_dtype(dtype)
            pilot.optimizer.zero_grad()
            loss.backward()
            pilot.optimizer.step()
            pilot.step(loss)
    finally:
        torch.set_default_dtype(torch.float32)
    assert pilot.history["rate"].tolist() == plain.history["rate"].tolist()
    assert set(seen) == {dtype}  # what is the user's runs under the user's


@pytest.mark.parametrize("lr", [1e-3, 100.0])  # from the second the guard takes the network back
def test_calls_in_inference_mode(lr):
    """The same run, wherever the pilot is called, made and looked at: no tensor of its own, and none that the guard
    puts back, is one that only that mode may write."""
    model = network()
    plain = Pilot(adamw(model, lr), STEPS)
    train(plain, model, STEPS)
    twin = network()
    optimizer = adamw(twin, lr)
    with torch.inference_mode():
        pilot = Pilot(optimizer, STEPS)
    for step in range(STEPS):
        loss = loss_of(twin, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.inference_mode(step % 3 > 0):
            pilot.step(loss.detach())
            assert len(pilot.history["loss"]) == step + 1
    assert pilot.history["rate"].tolist() == plain.history["rate"].tolist()
    assert any(decision.back_to is not None for decision in pilot.history.decisions) == (lr > 1)
    assert equal(twin, model)


def test_another_default_device():
    """Case S8: nothing of the pilot's own is made there."""
    model, twin = network(), network()
    plain = Pilot(adamw(model), STEPS)
    train(plain, model, STEPS)
    torch.set_default_device("meta")  # on which nothing could be computed
    try:
        pilot = Pilot(adamw(twin), STEPS)
        for step in range(STEPS):
            with torch.device("cpu"):
                loss = loss_of(twin, step)
            pilot.optimizer.zero_grad()
            loss.backward()
            pilot.optimizer.step()
            pilot.step(loss)
        pilot.load_state_dict(pilot.state_dict())
    finally:
        torch.set_default_device(None)
    assert pilot.history["rate"].tolist() == plain.history["rate"].tolist()


def test_a_state_in_other_places_and_precisions():
    """Case S8: a state is brought to where the pilot computes."""
    if not torch.cuda.is_available():
        pytest.skip("needs a second device")
    model = network()
    pilot = Pilot(adamw(model), STEPS, rollback=True)
    train(pilot, model, 13)
    file = io.BytesIO()
    torch.save(pilot.state_dict(), file)
    file.seek(0)
    twin = copy.deepcopy((model, pilot.optimizer, pilot))
    twin[2].load_state_dict(torch.load(file, map_location="cuda"))
    train(pilot, model, STEPS - 13, begin=13)
    train(twin[2], twin[0], STEPS - 13, begin=13)
    assert twin[2].history["rate"].tolist() == pilot.history["rate"].tolist()


@pytest.mark.parametrize(("rate", "times"), [(0.03051, 30.5), (0.01051, 10.5)])
def test_a_group_that_joins_far_above_the_given_rate_is_told_of(rate, times):
    """At one that somebody wrote down from the log, say 30 times the one that was given. Ten times may be meant."""
    model = network()
    pilot = Pilot(torch.optim.SGD(model.parameters(), lr=1e-3), 100, policy=Scripted(0.0), network=model)
    for joining in (0.01, rate):
        train(pilot, model, 25, begin=pilot.last_epoch)
        pilot.optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))], "lr": joining})
    with pytest.warns(PilotWarning, match=rf"driven at {times} times the first group's rate.*given \(0.001\)") as told:
        train(pilot, model, 50, begin=50)
    assert len(told) == 1


@pytest.mark.parametrize("share", [1.0, 0.1])
def test_a_group_that_joins_at_the_present_rate_stays_beside_the_first(share):
    """Lightning's `unfreeze_and_add_param_group`, and whoever copies the first group's rate."""
    model, more = network(), nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    pilot = Pilot(optimizer, 100, policy=Scripted(0.1), network=model)
    train(pilot, model, 50)
    optimizer.add_param_group({"params": [more], "lr": optimizer.param_groups[0]["lr"] * share})
    train(pilot, model, 50, begin=50)
    first, joined = pilot.get_last_lr()
    assert joined == pytest.approx(share * first)


def test_a_network_that_needs_no_gradient_is_told_of_and_its_rate_not_raised():
    weight = torch.ones(3)
    pilot = Pilot(torch.optim.Adam([weight], lr=1e-3), 100)

    def loop():
        for _ in range(100):
            weight.grad = 2 * weight  # by hand, as torch.func's users have it
            pilot.optimizer.step()
            pilot.step(weight.square().sum())

    with pytest.warns(PilotWarning, match="no parameter of Adam requires a gradient") as told:
        loop()
    assert len(told) == 1
    assert max(pilot.history["rate"]) <= 1e-4 * 1.0001


@pytest.mark.parametrize("resumed", [False, True])
def test_a_group_that_has_left_is_not_taken_back(resumed):
    """Frozen for good, right after a copy: no word of another writer, and the states are still saved and loaded."""
    model = network()

    def begun(model, parts):
        optimizer = torch.optim.SGD([{"params": model[part].parameters()} for part in parts], lr=0.1, momentum=0.9)
        return Pilot(optimizer, 100, policy=Scripted(0.0), network=model)

    pilot = begun(model, (3, 0))
    train(pilot, model, 50)
    for parameter in pilot.optimizer.param_groups.pop()["params"]:
        del pilot.optimizer.state[parameter]
    if resumed:
        states = pilot.optimizer.state_dict(), pilot.state_dict()
        pilot = begun(model, (3,))
        pilot.optimizer.load_state_dict(states[0])
        pilot.load_state_dict(states[1])
    before = model[0].weight.detach().clone()
    with torch.no_grad():
        model[3].weight.fill_(torch.nan)
    train(pilot, model, 10, begin=50)
    assert pilot.scalars()["rollbacks"] == 1
    assert torch.equal(model[0].weight, before)
    assert model[3].weight.isfinite().all()
    assert len(pilot.optimizer.state_dict()["state"]) == 2
