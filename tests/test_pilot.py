from __future__ import annotations

import copy
import gc
import io
import math
import weakref
from dataclasses import asdict

import pytest
import torch
from torch import nn

from loops import take_a_step
from lrpilot.errors import InvalidArgument, NonFiniteLoss, NonFiniteWeights, PilotWarning
from lrpilot.pilot.controller import Pilot
from lrpilot.pilot.features import FEATURES
from lrpilot.pilot.guard import ANOTHER_LOSS
from lrpilot.pilot.policy import Policy
from lrpilot.pilot.soundness import FORCED_CUT
from lrpilot.pilot.timetable import anytime_decision_step, decision_steps
from scripted import Reactive, Scripted


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 1))


def batch(step):
    inputs = torch.randn(16, 6, generator=torch.Generator().manual_seed(step))
    return inputs, inputs[:, :2].sum(1, keepdim=True)


def run(pilot, model, steps, *, begin=0, scale=1.0, shown=1.0):
    rates = []
    for step in range(begin, begin + steps):
        inputs, targets = batch(step)
        rates.append(pilot.optimizer.param_groups[0]["lr"])
        loss = scale * (model(inputs) - targets).square().mean()
        pilot.optimizer.zero_grad()
        loss.backward()
        pilot.optimizer.step()
        pilot.step(shown * loss.detach())
    return rates


def copy_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def equal(state, model):
    return all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_decisions_move_the_rate_when_they_are_due():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    pilot = Pilot(optimizer, 200, policy=Scripted(0.1, -0.05))
    rates = run(pilot, model, 200)
    ends = decision_steps(200)
    changes = [step for step in range(1, 200) if rates[step] != rates[step - 1]]
    assert changes == list(ends[:-1])
    assert rates[0] == pytest.approx(0.001)
    assert rates[-1] == pytest.approx(0.001 * math.exp(0.1 - 0.05 * (len(ends) - 2)))
    assert pilot.get_last_lr() == [rates[-1]]
    assert pilot.history["rate"].tolist() == rates
    assert [d.step for d in pilot.history.decisions] == list(ends[:-1])
    assert all(d.reason == "policy" and len(d.features) == len(FEATURES) for d in pilot.history.decisions)


def test_anytime():
    model = network()
    pilot = Pilot(torch.optim.SGD(model.parameters(), lr=0.01), policy=Scripted(0.1))
    run(pilot, model, 200)
    due = [anytime_decision_step(d) for d in range(1, 50)]
    assert [d.step for d in pilot.history.decisions] == [step for step in due if step <= 200]
    assert all(d.observation()["anytime"] == 1 for d in pilot.history.decisions)


def test_beyond_the_run_the_last_rate_stays_and_nothing_is_left():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    pilot = Pilot(optimizer, 60, policy=Scripted(0.01))
    run(pilot, model, 60)
    rate = pilot.get_last_lr()
    with pytest.warns(PilotWarning, match="after the 60 steps that were announced"):
        run(pilot, model, 1, begin=60)
    run(pilot, model, 19, begin=61)  # told once
    assert pilot.get_last_lr() == rate
    assert len(pilot.history["loss"]) == 60
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_very_short_runs(steps):
    model = network()
    pilot = Pilot(torch.optim.SGD(model.parameters(), lr=0.01), steps, policy=Scripted(0.1))
    assert pilot.get_used_lr() == pilot.get_last_lr()
    run(pilot, model, steps)
    assert len(pilot.history["loss"]) == steps
    assert len(pilot.history.decisions) == steps - 1
    assert pilot.get_used_lr() == [pilot.history["rate"][-1]]


def test_one_call_to_each_step_is_the_short_way(monkeypatch):
    """What other loops need is not looked for: after one step of two micro-batches, and in a run that was resumed."""
    model = network()
    pilot = Pilot(torch.optim.SGD(model.parameters(), lr=0.01), 60, policy=Scripted(0.1))
    run(pilot, model, 21)
    pilot.step(1.0)
    run(pilot, model, 1, begin=21)  # after which no decision is due
    monkeypatch.delattr(Pilot, "_step_unevenly")
    run(pilot, model, 18, begin=22)
    pilot.load_state_dict(pilot.state_dict())
    run(pilot, model, 20, begin=40)
    assert [d.step for d in pilot.history.decisions] == list(decision_steps(60)[:-1])


@pytest.mark.filterwarnings("ignore:the learning rate stands")
def test_the_log_rate_is_bounded():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    pilot = Pilot(optimizer, 50, policy=Scripted(-2.0))
    run(pilot, model, 50)
    # Twelve decades below the rate given: on raw targets plain gradients want 5e-6, seven decades below 100.
    assert pilot.get_last_lr()[0] == pytest.approx(0.01 * math.exp(-28.0), rel=1e-6, abs=0)
    assert pilot.history.decisions[-1].observation()["last_step"] == 0  # as applied, not as proposed


@pytest.mark.parametrize("kind", ["sgd", "momentum", "adam", "adagrad"])
def test_a_start_rate_that_destroys_costs_only_its_steps(kind):
    kinds = {
        "sgd": lambda p: torch.optim.SGD(p, lr=1e4),
        "momentum": lambda p: torch.optim.SGD(p, lr=1e4, momentum=0.9),
        "adam": lambda p: torch.optim.Adam(p, lr=1e3),
        "adagrad": lambda p: torch.optim.Adagrad(p, lr=1e3),
    }
    model = network()
    optimizer = kinds[kind](model.parameters())
    start = copy_of(model)
    state = copy.deepcopy(optimizer.state_dict()["state"])
    pilot = Pilot(optimizer, 1000, policy=Scripted(1.0))
    run(pilot, model, decision_steps(1000)[1])  # the first decision comes before a second loss
    _, decision = pilot.history.decisions
    assert decision.back_to == 0
    assert decision.observation()["taken_back"] == 1
    assert decision.rate == pytest.approx(decision.rate_before * math.exp(FORCED_CUT))
    assert equal(start, model)  # BatchNorm's statistics too
    now = optimizer.state_dict()["state"]
    for index, values in now.items():
        assert values.keys() == state.get(index, {}).keys()
        assert all(torch.equal(torch.as_tensor(v), torch.as_tensor(state[index][k])) for k, v in values.items())


@pytest.fixture
def large(monkeypatch):
    """Networks are too large for a copy to be kept throughout."""
    monkeypatch.setattr("lrpilot.pilot.guard.SMALL", 0)


@pytest.mark.usefixtures("large")
def test_the_copy_is_freed_after_the_first_twentieth():
    model = network()
    pilot = Pilot(torch.optim.SGD(model.parameters(), lr=0.01), 1000, policy=Scripted(0.0))
    run(pilot, model, 1)
    assert pilot.state_dict()["guard"]["good"] is not None
    run(pilot, model, 60, begin=1)
    assert pilot.state_dict()["guard"]["good"] is None


def spoil(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(torch.nan)


@pytest.mark.usefixtures("large")
def test_weights_that_are_not_finite_raise_where_nothing_is_kept():
    model = network()
    pilot = Pilot(torch.optim.SGD(model.parameters(), lr=0.01), 1000, policy=Scripted(0.0))
    run(pilot, model, 500)
    spoil(model)
    with pytest.raises(NonFiniteWeights, match=r"^the weights are not finite at step 5.*rollback=True") as raised:
        run(pilot, model, 100, begin=500)
    assert isinstance(raised.value, NonFiniteLoss)
    assert not pilot.optimizer._optimizer_step_pre_hooks


def test_weights_that_are_not_finite_never_end_the_run_of_a_small_network():
    """Three times they go back to a good network; the run is worth its loss at the end."""
    model = network()
    pilot = Pilot(torch.optim.SGD(model.parameters(), lr=0.01), 1000, policy=Scripted(0.0))
    run(pilot, model, 500)
    for begin in (500, 600, 700):
        spoil(model)
        run(pilot, model, 100, begin=begin)
    run(pilot, model, 200, begin=800)
    returns = [decision for decision in pilot.history.decisions if decision.back_to is not None]
    assert [decision.reason for decision in returns] == ["the weights were not finite"] * 3
    assert all(0 < decision.step - decision.back_to < 120 for decision in returns)
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    assert pilot.history["loss"][-1] < pilot.history["loss"][0]


def test_a_network_that_has_learned_nothing_yet_goes_back_to_its_start_at_any_time():
    model = network()
    pilot = Pilot(torch.optim.SGD(model.parameters(), lr=1e-9), 1000, policy=Scripted(0.0))
    for _ in range(500):
        run(pilot, model, 1)  # always on the same batch, so that the loss stays where it is
    start = copy_of(model)
    spoil(model)
    for _ in range(next(step for step in decision_steps(1000) if step > 500) - 500):
        run(pilot, model, 1)
    decision = pilot.history.decisions[-1]
    assert (decision.reason, decision.back_to) == ("the weights were not finite", 0)
    assert decision.rate == pytest.approx(decision.rate_before / 3)
    for name, value in model.named_parameters():
        torch.testing.assert_close(value.detach(), start[name], rtol=0, atol=1e-6)


def test_a_loss_that_is_not_finite_cuts_the_rate_at_any_time():
    model = network()
    pilot = Pilot(torch.optim.SGD(model.parameters(), lr=0.01), 1000, policy=Scripted(0.0))
    run(pilot, model, 500)
    due = next(step for step in decision_steps(1000) if step > 500)
    run(pilot, model, due - 501, begin=500)
    take_a_step(pilot.optimizer)
    with pytest.warns(PilotWarning, match=r"^1 of the \d+ losses before step 5\d\d were not finite"):
        pilot.step(torch.inf)
    decision = pilot.history.decisions[-1]
    assert (decision.step, decision.reason, decision.back_to) == (due, "the loss was not finite", None)
    assert pilot.get_last_lr()[0] == pytest.approx(0.001 * math.exp(FORCED_CUT))


@pytest.mark.parametrize("begin", [0, 500])
def test_losses_that_are_never_finite_again_are_told_of_once(begin):
    """From there on nothing tells of the network, whose weights are finite: it goes on as it is."""
    model = network()
    pilot = Pilot(torch.optim.SGD(model.parameters(), lr=0.01), 1000, policy=Scripted(0.0))
    run(pilot, model, begin)
    with pytest.warns(PilotWarning) as told:
        run(pilot, model, 1000 - begin, begin=begin, shown=math.nan)
    (message,) = (str(each.message) for each in told if "the learning rate stands" not in str(each.message))
    assert message.startswith("the loss is not finite, and putting the network back to an earlier copy does not help")
    given_up = int(message.partition("from step ")[2].partition(" ")[0])
    assert f"from step {given_up} as it is;" in message
    late = [decision for decision in pilot.history.decisions if decision.step >= given_up]
    assert all((decision.reason, decision.back_to) == ("the loss was not finite", None) for decision in late)


def test_rollback_goes_to_the_last_good_network():
    model = network()
    pilot = Pilot(torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9), 1000, policy=Scripted(0.0), rollback=True)
    kept = {}
    for step in range(500):
        run(pilot, model, 1, begin=step)
        kept[step + 1] = copy_of(model)
    spoil(model)
    rate = pilot.get_last_lr()[0]
    before = len(pilot.history.decisions)
    step = 500
    while len(pilot.history.decisions) == before:
        run(pilot, model, 1, begin=step)
        step += 1
    decision = pilot.history.decisions[-1]
    assert decision.reason == "the weights were not finite"
    assert decision.back_to == pilot.history.decisions[-3].step  # that of [-2] has not proven good
    assert equal(kept[decision.back_to], model)
    assert pilot.get_last_lr()[0] == pytest.approx(rate * math.exp(FORCED_CUT))
    run(pilot, model, 1000 - step, begin=step)
    assert pilot.history["loss"][-1] < 0.5 * pilot.history["loss"][0]
    following = next(d for d in pilot.history.decisions if d.step > step)
    assert abs(following.observation()["above_best"]) < 1  # what was remembered is that of the good network


@pytest.mark.parametrize("saved", [False, True])
def test_a_return_is_undone_if_the_copy_is_worse(saved):
    """The targets change in mid-run: the loss jumps from 0.1 to 1.2 and, with the earlier weights, to 3."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    pilot = Pilot(optimizer, 400, policy=Scripted(0.01))

    def until_a_decision(loss, weights):
        decided = len(pilot.history.decisions)
        while len(pilot.history.decisions) == decided:
            optimizer.zero_grad()
            (model(batch(0)[0]) - batch(0)[1]).square().mean().backward()
            optimizer.step()
            weights.append(copy_of(model))
            pilot.step(loss)
            if saved:
                pilot.load_state_dict(copy.deepcopy(pilot.state_dict()))
        return pilot.history.decisions[-1]

    until_a_decision(1.0, [])
    while pilot.last_epoch < 100:
        until_a_decision(0.1, [])
    left = until_a_decision(1.2, lost := [])
    assert left.reason == "all that the network had learned was lost"
    assert not equal(lost[-1], model)
    with pytest.warns(PilotWarning, match=f"the run goes on from step .* with the network of step {left.step};"):
        back = until_a_decision(3.0, [])
    assert back.reason == "the copy was worse than the network that was left for it"
    assert back.back_to == left.step
    assert equal(lost[-1], model)
    assert back.rate == pytest.approx(left.rate_before)
    for loss in (1.2, 1.1, 1.0):  # measured by what the loss is now
        assert until_a_decision(loss, []).reason == "policy"


def test_rollback_at_the_very_end():
    model = network()
    pilot = Pilot(torch.optim.SGD(model.parameters(), lr=0.05), 300, policy=Scripted(0.0), rollback=True)
    run(pilot, model, 299)
    good = pilot.state_dict()["guard"]["good"]["step"]
    spoil(model)
    run(pilot, model, 1, begin=299)
    assert all(p.isfinite().all() for p in model.parameters())
    assert pilot.history.decisions[-1].back_to == good


@pytest.mark.integration
@pytest.mark.parametrize(
    ("pause", "lr", "rollback"),
    [(1, 50.0, False), (3, 50.0, True), (13, 50.0, False), (79, 0.02, True), (81, 0.02, False), (299, 0.02, True)],
)
def test_resume_is_exact_at_any_step(pause, lr, rollback):
    def build():
        model = network()
        optimizer = torch.optim.SGD(
            [{"params": model[0].parameters()}, {"params": model[1:].parameters(), "lr": 0.1 * lr}], lr=lr, momentum=0.9
        )
        return model, optimizer, Pilot(optimizer, 300, policy=Reactive(), rollback=rollback)

    model, _, straight = build()
    run(straight, model, 300)
    first, optimizer, pilot = build()
    run(pilot, first, pause)
    file = io.BytesIO()
    torch.save({"model": first.state_dict(), "optimizer": optimizer.state_dict(), "pilot": pilot.state_dict()}, file)
    file.seek(0)
    state = torch.load(file, weights_only=True)  # plain containers
    second, optimizer, pilot = build()
    second.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    pilot.load_state_dict(state["pilot"])
    run(pilot, second, 300 - pause, begin=pause)
    assert equal(model.state_dict(), second)
    assert pilot.history["rate"].tolist() == straight.history["rate"].tolist()
    assert pilot.history["loss"].tolist() == straight.history["loss"].tolist()
    assert list(map(asdict, pilot.history.decisions)) == list(map(asdict, straight.history.decisions))


def test_a_pilot_made_after_the_optimizers_state_was_loaded_takes_up_the_rate_in_force():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    pilot = Pilot(optimizer, 300, policy=Reactive())
    run(pilot, model, 40)
    loaded = torch.optim.SGD(model.parameters(), lr=0.01)
    loaded.load_state_dict(optimizer.state_dict())
    again = Pilot(loaded, 300, policy=Reactive())
    assert again.get_last_lr() != pilot.get_last_lr()  # it has begun anew
    again.load_state_dict(pilot.state_dict())
    assert again.get_last_lr() == pilot.get_last_lr()


@pytest.mark.parametrize("wrong", [0, -3, *(pytest.param(w, marks=pytest.mark.mistyped) for w in (2.5, "100"))])
def test_wrong_lengths_are_refused(wrong):
    with pytest.raises(InvalidArgument, match="total_steps must be a whole number"):
        Pilot(torch.optim.SGD(network().parameters(), lr=0.1), wrong, policy=Scripted(0.0))


def test_a_wrong_loss_changes_nothing():
    model = network()
    pilot = Pilot(torch.optim.SGD(model.parameters(), lr=0.1), 100, policy=Scripted(0.0))
    with pytest.raises(InvalidArgument, match="loss must be a scalar"):
        pilot.step(torch.ones(2))
    assert len(pilot.history["loss"]) == 0


def test_any_order_of_the_three_lines():
    traces = []
    for order in ("zero first", "zero last", "closure", "accumulated"):
        model = network().double()  # so that rounding does not grow
        optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
        pilot = Pilot(optimizer, 100, policy=Reactive())

        def forward(step, model=model, rows=slice(None)):
            inputs, targets = (part.double() for part in batch(step))
            return (model(inputs) - targets)[rows].square().sum() / 16

        for step in range(100):
            if order == "zero first":
                optimizer.zero_grad()
            if order == "closure":

                def closure(step=step, optimizer=optimizer, forward=forward):
                    optimizer.zero_grad()
                    loss = forward(step)
                    loss.backward()
                    return loss

                loss = optimizer.step(closure)
            elif order == "accumulated":
                optimizer.zero_grad()
                parts = [forward(step, rows=rows) for rows in (slice(0, 8), slice(8, 16))]
                for part in parts:
                    part.backward()
                loss = parts[0] + parts[1]
                optimizer.step()
            else:
                loss = forward(step)
                loss.backward()
                optimizer.step()
            if order == "zero last":
                optimizer.zero_grad()
            pilot.step(loss)
        traces.append(pilot.history["rate"])
    for trace in traces[1:]:
        torch.testing.assert_close(trace, traces[0], rtol=1e-3, atol=0)


def test_the_pilot_frees_the_network_and_itself():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    pilot = Pilot(optimizer, 1000, policy=Scripted(0.0))
    run(pilot, model, 3)  # amid a measurement
    references = [weakref.ref(pilot), weakref.ref(model), weakref.ref(optimizer)]
    gc.collect()
    gc.disable()
    try:
        del pilot
        assert references[0]() is None
        assert not optimizer._optimizer_step_pre_hooks
        del optimizer, model
        assert references[2]() is None
        assert references[1]() is None
    finally:
        gc.enable()


def test_the_exported_schedule_is_what_was_flown():
    model = network()
    optimizer = torch.optim.SGD(
        [{"params": model[0].parameters()}, {"params": model[3].parameters(), "lr": 0.002}], lr=0.02
    )
    pilot = Pilot(optimizer, 100, policy=Reactive())
    rates = run(pilot, model, 100)
    fresh = torch.optim.SGD([{"params": model[0].parameters()}, {"params": model[3].parameters(), "lr": 0.3}], lr=3.0)
    schedule = pilot.export_schedule(fresh)
    for rate in rates:
        assert schedule.get_last_lr() == [pytest.approx(rate), pytest.approx(rate / 10)]
        fresh.step()
        schedule.step()
    assert schedule.get_last_lr()[0] == pytest.approx(rates[-1])


@pytest.mark.filterwarnings("ignore:the learning rate stands")
def test_the_exported_schedule_leaves_out_what_was_undone():
    model = network()
    pilot = Pilot(torch.optim.SGD(model.parameters(), lr=1e4), 1000, policy=Scripted(-2.0))
    rates = run(pilot, model, 1000)
    undone = [d for d in pilot.history.decisions if d.back_to is not None]
    assert undone
    replayed = pilot.history.replayable()
    last = undone[-1].step
    assert replayed[:last] == [rates[last]] * last
    assert replayed[last:] == rates[last:]
    fresh = network()
    optimizer = torch.optim.SGD(fresh.parameters(), lr=1.0)
    schedule = pilot.export_schedule(optimizer)
    for step in range(1000):
        inputs, targets = batch(step)
        loss = (fresh(inputs) - targets).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    assert all(p.isfinite().all() for p in fresh.parameters())


def test_each_return_to_one_copy_cuts_three_times_as_far_as_the_last(monkeypatch):
    model = network()
    pilot = Pilot(torch.optim.SGD(model.parameters(), lr=0.1), 400, policy=Scripted(0.0))
    run(pilot, model, 200)
    before = len(pilot.history.decisions)
    monkeypatch.setattr(pilot._guard, "verdict", lambda *args, **more: "made up")
    monkeypatch.setattr(pilot._guard, "in_vain", lambda *args: False)
    run(pilot, model, 60, begin=200)
    ratios = [decision.rate / decision.rate_before for decision in pilot.history.decisions[before:][:3]]
    assert ratios == pytest.approx([1 / 3, 1 / 9, 1 / 27], rel=1e-5)


def test_a_run_begins_again_if_its_losses_were_of_another_size(monkeypatch):
    """At the rate of its first step, and the policy remembers nothing of the time before."""
    model = network()
    pilot = Pilot(torch.optim.SGD(model.parameters(), lr=0.1), 400, policy=Scripted(0.1, 0.05, 0.02))
    run(pilot, model, 40)
    before = len(pilot.history.decisions)
    with monkeypatch.context() as patched:
        patched.setattr(pilot._guard, "verdict", lambda *args, **more: ANOTHER_LOSS)
        run(pilot, model, pilot._next - 40, begin=40)
    run(pilot, model, 30, begin=pilot.last_epoch)
    rates = [decision.rate for decision in pilot.history.decisions[before:][:3]]
    assert rates == pytest.approx([0.01, 0.01 * math.exp(0.05), 0.01 * math.exp(0.07)])


def test_the_run_in_words_and_pictures():
    pytest.importorskip("matplotlib")
    model = network()
    pilot = Pilot(torch.optim.SGD(model.parameters(), lr=1e4), 1000, policy=Scripted(-2.0, -0.3))
    run(pilot, model, 1000)
    _, second, *rest = pilot.history.explain().splitlines()
    assert second.startswith("step 3: loss ")
    assert second.endswith("the loss was higher than the untrained network's, network taken back to step 0")
    assert len(rest) == len(pilot.history.decisions) - 2
    figure = pilot.plot()
    undone = sum(d.back_to is not None for d in pilot.history.decisions)
    assert [len(axes.lines) for axes in figure.axes] == [1 + undone] * 2


def test_a_policy_from_a_file(tmp_path):
    torch.manual_seed(3)
    policy = Policy(width=8)
    policy.save(tmp_path / "policy.safetensors")
    traces = []
    for given in (policy, tmp_path / "policy.safetensors", str(tmp_path / "policy.safetensors")):
        model = network()
        pilot = Pilot(torch.optim.SGD(model.parameters(), lr=0.001), 60, policy=given)
        traces.append(run(pilot, model, 60))
    assert traces[0] == traces[1] == traces[2]
    assert len(set(traces[0])) > 30


def test_between_decisions_nothing_is_read():
    """The loss may be on a device that must not be waited for: no value of it is asked for but at decisions."""

    class Unreadable(torch.Tensor):
        is_cpu = False

        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None):
            name = getattr(function, "__name__", "")
            if name in ("item", "__float__", "__bool__", "cpu", "tolist", "numpy", "__int__"):
                raise AssertionError(f"{name} was called")
            return super().__torch_function__(function, types, args, kwargs or {})

    model = network()
    pilot = Pilot(torch.optim.SGD(model.parameters(), lr=0.1), 10_000, policy=Scripted(0.0))
    due = decision_steps(10_000)
    for step in range(1, due[5]):
        loss = torch.tensor(1.0 / step).as_subclass(Unreadable)
        take_a_step(pilot.optimizer)
        pilot.step(loss)
    assert [d.step for d in pilot.history.decisions] == list(due[:5])


@pytest.mark.parametrize("lr", [1e-5, 1.0, 1e4])
def test_the_shipped_policy_mends_any_start(lr):
    model = network()
    pilot = Pilot(torch.optim.SGD(model.parameters(), lr=lr), 600)
    run(pilot, model, 600)
    losses = pilot.history["loss"]
    assert losses[-20:].mean() < 0.15 * losses[0]
