"""The pilot as a scheduler among trainers: several and wrapped optimizers, attributes, callbacks, notebooks."""

from __future__ import annotations

import copy
import importlib.util
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from loops import loss_of, network, take_a_step, train
from lrpilot.errors import InvalidArgument, PilotWarning
from lrpilot.pilot.controller import Pilot
from lrpilot.pilot.timetable import decision_steps
from scripted import Reactive, Scripted

STEPS = 60


def two(model, rates=(0.02, 0.001)):
    """Muon for the matrices, AdamW for the rest, as it is done today."""
    matrices = [p for p in model.parameters() if p.dim() == 2]
    others = [p for p in model.parameters() if p.dim() != 2]
    return [torch.optim.Muon(matrices, lr=rates[0]), torch.optim.AdamW(others, lr=rates[1])]


def test_several_optimizers():
    """Case L26: one run, ratios kept, one state."""
    model = network()
    optimizers = two(model)
    pilot = Pilot(optimizers, STEPS, policy=Reactive(), network=model)
    train(pilot, model, 23, optimizers=optimizers)
    first, second = pilot.get_last_lr()
    assert first == optimizers[0].param_groups[0]["lr"] != 0.002
    assert second == optimizers[1].param_groups[0]["lr"] == pytest.approx(first / 20)
    assert pilot.base_lrs == [0.02, 0.001]
    twin = network()
    others = two(twin)
    again = Pilot(others, STEPS, policy=Reactive(), network=twin)
    parts = (twin, model), (others[0], optimizers[0]), (others[1], optimizers[1]), (again, pilot)
    for fresh, old in parts:
        fresh.load_state_dict(copy.deepcopy(old.state_dict()))
    train(pilot, model, STEPS - 23, begin=23, optimizers=optimizers)
    train(again, twin, STEPS - 23, begin=23, optimizers=others)
    assert again.history["rate"].tolist() == pilot.history["rate"].tolist()
    assert [d.step for d in pilot.history.decisions] == list(decision_steps(STEPS)[:-1])


def test_several_optimizers_are_measured_as_one():
    """Two SGDs see what one SGD of two groups sees."""
    runs = []
    for split in (True, False):
        model = network()
        groups = [list(model[0].parameters()), [*model[1].parameters(), *model[3].parameters()]]
        if split:
            optimizers = [torch.optim.SGD(group, lr=0.02, momentum=0.9) for group in groups]
        else:
            optimizers = [torch.optim.SGD([{"params": group} for group in groups], lr=0.02, momentum=0.9)]
        pilot = Pilot(optimizers, STEPS, policy=Reactive(), network=model)
        train(pilot, model, STEPS, optimizers=optimizers)
        runs.append(pilot.history)
    assert runs[0]["rate"].tolist() == runs[1]["rate"].tolist()
    assert runs[0].decisions[-1].features == runs[1].decisions[-1].features


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("every", [2, 2000])
def test_an_optimizer_that_leaves_steps_out_is_told_of_early(order, every):
    """Within the first hundredth or so of the run, whichever steps first; one step that a scaler skips is nothing."""

    def run(steps, skips):
        model = network()
        optimizers = two(model)
        pilot = Pilot(optimizers, 2000, policy=Scripted(0.0), network=model)
        for step in range(1, steps + 1):
            loss_of(model, step).backward()
            for place in order:
                if place == 0 or not skips(step):
                    optimizers[place].step()
            pilot.step(loss_of(model, step))
        return pilot

    pilot = run(60, lambda step: step == decision_steps(2000)[4])
    assert pilot.last_epoch == 60
    with pytest.warns(PilotWarning, match=r"^AdamW \(optimizer 2 of 2\) left out steps .* a Pilot for each"):
        pilot = run(60, lambda step: step % every)
    assert pilot.last_epoch == 60


def test_several_optimizers_that_take_turns():
    """Each one's turn, with a call of the pilot, is a step; it is told of."""
    model = network()
    optimizers = two(model)
    pilot = Pilot(optimizers, STEPS, policy=Scripted(0.0), network=model)

    def run():
        for step in range(STEPS):
            loss_of(model, step).backward()
            optimizers[step % 2].step()
            pilot.step(1.0)

    with pytest.warns(PilotWarning, match=r"^Muon \(.*\) and AdamW \(.*\) left out steps"):
        run()
    assert pilot.last_epoch == STEPS


def test_several_optimizers_are_taken_back_together():
    model = network()
    start = copy.deepcopy(model)
    optimizers = two(model, rates=(1e4, 1e4))
    pilot = Pilot(optimizers, 1000, policy=Scripted(1.0), network=model)
    train(pilot, model, decision_steps(1000)[1], optimizers=optimizers)
    assert pilot.history.decisions[-1].back_to == 0
    for mine, theirs in zip(model.state_dict().values(), start.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)
    assert not any(state for optimizer in optimizers for state in optimizer.state.values())


@pytest.mark.parametrize("form", ["present", "0.2"])
def test_a_group_that_joins_the_first_of_several_optimizers_moves_nothing_of_the_second(form):
    """Nobody else writes the rate (a warning would be an error), and a copy from before goes back where it belongs."""

    def begin():
        model = network()
        optimizers = two(model, rates=(0.02, 0.01))
        return model, optimizers, Pilot(optimizers, 2000, policy=Scripted(0.0), rollback=True, network=model)

    def join(optimizers):
        optimizers[0].add_param_group({"params": [torch.nn.Parameter(torch.ones(3))], "lr": 0.04})

    model, optimizers, pilot = begin()
    start = copy.deepcopy(model.state_dict())
    train(pilot, model, 60 if form == "present" else 1, optimizers=optimizers)
    state = pilot.state_dict()
    if form == "0.2":  # one snapshot of all, whose places are those of the time before the group joined
        parts = state["guard"]["good"].pop("snapshots")
        whole = {name: [value for part in parts for value in part[name]] for name in ("values", "states")}
        state["guard"]["good"]["snapshot"] = whole
        pilot.load_state_dict(state)
        pilot.load_state_dict(pilot.state_dict())
    join(optimizers)
    train(pilot, model, 15, begin=60, optimizers=optimizers)
    assert pilot.get_used_lr() == pytest.approx([rate * pilot.get_used_lr()[0] for rate in (1, 2, 0.5)])
    if form == "present":
        again, optimizers, twin = begin()
        join(optimizers)
        twin.load_state_dict(pilot.state_dict())
        model, pilot = again, twin
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(torch.nan)
    pilot._guard.take_back()
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, start[name])


WHATEVER = {
    "repr": repr,
    "scalars": lambda pilot: pilot.scalars(),
    "explain": lambda pilot: pilot.explain(),
    "export_schedule": lambda pilot: pilot.export_schedule(torch.optim.AdamW(network().parameters())),
    "extend": lambda pilot: pilot.extend(2 * STEPS),
    "finish": lambda pilot: pilot.finish(10),
    "deepcopy": copy.deepcopy,
    "pickle": lambda pilot: pickle.loads(pickle.dumps(pilot)),
    "state": lambda pilot: pilot.load_state_dict(pilot.state_dict()),
}


@pytest.mark.parametrize("asked", WHATEVER)
@pytest.mark.parametrize("steps", [12, 13])
def test_a_group_that_has_just_joined(asked, steps):
    """Before the next decision writes down what it was given, whatever is asked of the pilot. Its rate stands as it was
    given until then; afterwards it is half of the other's. One decision is at the twelfth step."""
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    pilot = Pilot(optimizer, STEPS, policy=Scripted(0.0), network=model)
    train(pilot, model, steps)
    optimizer.add_param_group({"params": [nn.Parameter(torch.ones(3))], "lr": 5e-4})
    assert pilot.base_lrs == [1e-3, 5e-4]
    assert pilot.get_last_lr()[1] == pilot.get_used_lr()[1] == 5e-4
    WHATEVER[asked](pilot)
    train(pilot, model, 10, begin=steps)
    first, second = pilot.get_last_lr()
    assert second == pytest.approx(first / 2)


def test_each_of_several_optimizers_has_a_schedule_of_its_own():
    """Muon at 0.02 and AdamW at 0.001: a twentieth, whatever the fresh ones are at. Two of a kind differ in shapes."""

    def schedule(kind, *sizes):
        fresh = kind([torch.nn.Parameter(torch.zeros(size)) for size in sizes], lr=0.5)
        return pilot.export_schedule(fresh).get_last_lr()

    model = network()
    optimizers = two(model)
    optimizers[1].add_param_group({"params": [nn.Parameter(torch.ones(3))], "lr": 0.007})  # the first group's counts
    pilot = Pilot(optimizers, STEPS, policy=Scripted(0.0), network=model)
    train(pilot, model, 1, optimizers=optimizers)
    assert schedule(torch.optim.Muon, (9, 9)) == pytest.approx([0.002])
    assert schedule(torch.optim.AdamW, 9) == pytest.approx([0.0001])
    with pytest.raises(InvalidArgument, match=r"optimizer must be like one of Muon and AdamW .*, got 'SGD'"):
        schedule(torch.optim.SGD, 9)

    optimizers = [
        torch.optim.SGD([p], lr=rate) for p, rate in zip(list(model.parameters())[:2], (0.1, 0.3), strict=True)
    ]
    pilot = Pilot(optimizers, STEPS, policy=Scripted(0.0), network=model)
    train(pilot, model, 1, optimizers=optimizers)
    assert schedule(torch.optim.SGD, (8, 6)) == pytest.approx([0.01])
    assert schedule(torch.optim.SGD, 8) == pytest.approx([0.03])
    with pytest.raises(InvalidArgument, match="optimizer must be like one of SGD and SGD"):
        schedule(torch.optim.SGD, 9)


class Wrapped(torch.optim.Optimizer):
    """As Accelerate's and many a Lookahead: an optimizer by name, without torch's constructor."""

    def __init__(self, optimizer):
        self.optimizer = optimizer

    param_groups = property(lambda self: self.optimizer.param_groups)
    state = property(lambda self: self.optimizer.state)

    def step(self, closure=None):
        return self.optimizer.step(closure)

    def zero_grad(self, set_to_none=True):
        self.optimizer.zero_grad(set_to_none)


class Bare:
    """A wrapper that is no optimizer at all."""

    def __init__(self, optimizer):
        self.optimizer = optimizer


@pytest.mark.parametrize("wrap", [Wrapped, Bare, lambda o: Bare(Wrapped(o))])
def test_wrapped_optimizers_are_unwrapped(wrap):
    """Case L12."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
    pilot = Pilot(wrap(optimizer), STEPS, policy=Reactive(), network=model)
    assert pilot.optimizer is optimizer
    train(pilot, model, STEPS)
    assert len(pilot.history["rate"].unique()) > 10


def sgd(model=None):
    return torch.optim.SGD((model or network()).parameters(), lr=0.02)


REFUSED = {
    "nothing": (lambda: None, "optimizer must be a torch.optim.Optimizer, or a wrapper"),
    "a model": (network, "optimizer must be a torch.optim.Optimizer, or a wrapper"),
    "a scheduler": (
        lambda: torch.optim.lr_scheduler.StepLR(sgd(), 1),
        "a wrapper that keeps one as .optimizer, got 'StepLR'",
    ),
    "a pilot": (lambda: Pilot(sgd(), STEPS, policy=Reactive()), "got 'Pilot'"),
    "a wrapper of nothing": (lambda: Bare(None), "got 'Bare'"),
    "no one": (list, "one optimizer, or several different ones"),
    "one twice": (lambda: [one := sgd(), one], "one optimizer, or several different ones"),
    "LBFGS": (lambda: torch.optim.LBFGS(network().parameters()), "one that takes one step along each gradient"),
    "one that maximises": (
        lambda: torch.optim.SGD(network().parameters(), lr=0.1, maximize=True),
        "one that minimises: train on the negated objective, got 'maximize=True'",
    ),
    "LBFGS within": (lambda: Bare(torch.optim.LBFGS(network().parameters())), "got 'LBFGS'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_driven_is_refused_in_a_line(name):
    """Cases L12 and L18."""
    make, message = REFUSED[name]
    with pytest.raises(InvalidArgument, match=message) as refusal:
        Pilot(make(), STEPS, policy=Scripted(0.0))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "wrong", "said"),
    [
        ("total_steps", 10**30, "a whole number, at least 1 and at most 2147483647, or None"),
        ("rollback", "no", "True or False"),
        ("rollback", None, "True or False"),
        ("rollback", torch.tensor([1, 0]), "True or False"),
        ("rollback", np.array([1, 0]), "True or False"),
        ("process_group", 3, "a ProcessGroup that this rank is in, or None"),
        ("network", "model", "a torch.nn.Module, or several"),
        ("network", [1], "a torch.nn.Module, or several"),
        ("network", torch.nn.Linear, "a torch.nn.Module, or several"),
        ("on_decision", "print", "a function of a Decision, or None"),
        ("on_rollback", 1, "a function of a Decision, or None"),
    ],
)
def test_arguments_outside_their_range_are_named(name, wrong, said):
    with pytest.raises(InvalidArgument) as refusal:
        Pilot(sgd(), **{"total_steps": STEPS, "policy": Scripted(0.0), name: wrong})
    assert str(refusal.value) == f"{name} must be {said}, got {wrong!r}"


@pytest.mark.parametrize(
    "policy", [None, 3, Pilot, Scripted, SimpleNamespace(act=len), SimpleNamespace(initial_memory=len)]
)
def test_a_policy_that_is_none(policy):
    """Case L19."""
    with pytest.raises(InvalidArgument, match="policy must be 'shipped', the path of a policy file, or a Policy"):
        Pilot(sgd(), STEPS, policy=policy)


@pytest.mark.parametrize("loss", [np.float32(1.5), np.array(1.5), np.array([1.5]), np.float64(1.5), np.int64(2), True])
def test_numbers_of_every_kind(loss):
    """Case L30."""
    pilot = Pilot(sgd(), STEPS, policy=Scripted(0.0))
    take_a_step(pilot.optimizer)
    pilot.step(loss)
    assert pilot.history["loss"].tolist() == [float(np.asarray(loss).item())]


@pytest.mark.parametrize("wrong", [np.ones(2), np.ones(0), "1.5", b"1", [1.5], 1j])
def test_what_is_no_number(wrong):
    pilot = Pilot(sgd(), STEPS, policy=Scripted(0.0))
    take_a_step(pilot.optimizer)
    with pytest.raises(InvalidArgument, match=r"^loss must be a scalar"):
        pilot.step(wrong)


def test_what_is_looked_for_in_a_scheduler():
    model = network()
    optimizer = sgd(model)
    pilot = Pilot(optimizer, STEPS, policy=Scripted(0.1), network=model)
    assert (pilot.optimizer, pilot.base_lrs, pilot.last_epoch) == (optimizer, [0.02], 0)
    train(pilot, model, 30)
    assert pilot.last_epoch == 30
    assert pilot.base_lrs == [0.02]
    assert pilot._last_lr == pilot.get_last_lr() == [optimizer.param_groups[0]["lr"]]
    assert repr(pilot) == f"Pilot(SGD, step 30 of 60, rate {pilot.get_last_lr()[0]:.3g})"
    numbers = pilot.scalars()
    assert numbers["step"] == 30
    assert numbers["decisions"] == len(pilot.history.decisions)
    assert numbers["loss"] == pilot.history.decisions[-1].loss


def test_the_user_hears_of_decisions_and_of_rollbacks():
    """Case L28: an average of the weights is reset when the network is taken back."""
    model = network()
    start = copy.deepcopy(model)
    average = torch.optim.swa_utils.AveragedModel(model, avg_fn=lambda mean, value, _: 0.9 * mean + 0.1 * value)
    heard, undone = [], []

    def reset(decision):
        undone.append(decision)
        average.module.load_state_dict(model.state_dict())

    pilot = Pilot(
        torch.optim.SGD(model.parameters(), lr=1e4),
        1000,
        policy=Scripted(0.0),
        network=model,
        on_decision=heard.append,
        on_rollback=reset,
    )
    for step in range(decision_steps(1000)[1]):
        train(pilot, model, 1, begin=step)
        if not undone:
            average.update_parameters(model)
    assert heard == pilot.history.decisions
    assert undone == heard[-1:]
    assert pilot.scalars()["rollbacks"] == 1
    assert "network taken back to step 0" in pilot.explain()
    for mine, theirs in zip(average.module.parameters(), start.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_listener_may_steer():
    """When it is called, all of the decision is done."""
    model = network()
    pilots = []
    pilot = Pilot(sgd(model), None, policy=Reactive(), network=model, on_decision=lambda d: act(d))

    def act(decision):
        if decision.step >= 20 and not pilots:
            pilots.append(pilot.state_dict())
            pilot.finish(30)

    train(pilot, model, 40)
    begun = pilot.history.decisions[-1]
    assert pilots[0]["step"] + 30 == pilot.total_steps
    assert begun.step <= 40


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="needs matplotlib")
def test_pictures_in_a_notebook():
    """Case L29."""
    model = network()
    pilot = Pilot(sgd(model), STEPS, policy=Scripted(0.1), network=model)
    assert pilot._repr_png_() is None
    assert "step 0 of 60" in pilot._repr_html_()
    train(pilot, model, 30)
    for shown in (pilot, pilot.plot(), pilot.history.plot()):
        assert shown._repr_png_().startswith(b"\x89PNG")
    assert pilot._repr_html_().count("\n") == 3
    assert "&gt;" in pilot._repr_html_()


def test_nothing_is_kept_alive_by_an_ended_run():
    model = nn.Linear(6, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    pilot = Pilot(optimizer, STEPS, policy=Scripted(0.0), network=model)
    pilot.close()
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks
