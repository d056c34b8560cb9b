from __future__ import annotations

import copy
import math
import weakref
from dataclasses import replace

import pytest
import torch
from torch import nn

from lrpilot.core.snapshot import Snapshot
from lrpilot.errors import InvalidArgument
from lrpilot.pilot.buffers import Buffers, networks_beside
from lrpilot.pilot.controller import Pilot
from lrpilot.pilot.features import observe
from lrpilot.pilot.guard import PATIENCE, SMALL, Guard, ended_well
from lrpilot.pilot.interval import Interval
from lrpilot.pilot.memory import Memory
from lrpilot.pilot.rates import WIDEST


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6, affine=False), nn.Linear(6, 1))


def train(model, optimizer, steps=1):
    for step in range(steps):
        optimizer.zero_grad()
        model(torch.randn(8, 4, generator=torch.Generator().manual_seed(step))).square().mean().backward()
        optimizer.step()


def copy_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def equal(state, model):
    return all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


class Wrapper(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.inner = model
        self.register_buffer("own", torch.zeros(2))


@pytest.mark.parametrize("wrap", [lambda m: m, Wrapper, lambda m: torch.compile(m, backend="eager")])
def test_buffers_are_found_wherever_the_network_is_wrapped(wrap):
    model = network()
    wrapped = wrap(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    found = {id(b) for b in Buffers(optimizer).tensors().values()}
    assert found == {id(b) for b in wrapped.buffers()}


def test_other_networks_are_left_alone():
    model, other = network(), network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    assert not {id(b) for b in Buffers(optimizer).tensors().values()} & {id(b) for b in other.buffers()}


def test_the_order_of_buffers_does_not_depend_on_the_process():
    names = []
    for wrap in (lambda m: m, Wrapper):
        first, second = network(), network()
        keep = [wrap(second), wrap(first)]  # built in another order than the optimizer's
        optimizer = torch.optim.SGD([*first.parameters(), *second.parameters()], lr=0.1)
        known = {id(b): f"{i} {name}" for i, m in enumerate((first, second)) for name, b in m.named_buffers()}
        names.append([known[id(b)] for b in Buffers(optimizer).tensors().values() if id(b) in known])
        assert keep
    assert names[0] == names[1]
    assert names[0][0].startswith("0")


def test_a_module_under_construction_does_no_harm():
    model, unfinished = network(), nn.Linear.__new__(nn.Linear)
    assert len(Buffers(torch.optim.SGD(model.parameters(), lr=0.1))) == 3
    assert type(unfinished) is nn.Linear


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.Adagrad, torch.optim.RMSprop])
def test_the_start_is_that_before_the_first_forward_pass(kind):
    model = network()
    optimizer = kind(model.parameters(), lr=0.1)
    guard, start = Guard(optimizer, rollback=False), copy_of(model)
    fresh = [dict(optimizer.state[p]) for p in model.parameters()]
    fresh = [{k: v.clone() for k, v in state.items()} for state in fresh]
    handle = optimizer.register_step_pre_hook(lambda o, a, k: None if guard.started else guard.remember_start(o))
    train(model, optimizer, 5)
    handle.remove()
    assert not equal(start, model)
    guard.take_back()
    assert equal(start, model)
    for parameter, state in zip(model.parameters(), fresh, strict=True):
        assert optimizer.state[parameter].keys() == state.keys()
        assert all(torch.equal(optimizer.state[parameter][k], v) for k, v in state.items())


def test_only_statistics_that_move_are_copied():
    model = Wrapper(network())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    guard = Guard(optimizer, rollback=False)
    model.inner(torch.randn(8, 4)).sum().backward()
    guard.remember_start(optimizer)
    assert len(guard.state_dict()["changing"]) == 3


@pytest.mark.parametrize(("rollback", "small"), [(True, 36), (False, 36), (False, 37)])
def test_which_copy_is_held(monkeypatch, rollback, small):
    """The network has 4 * 6 + 6 and 6 + 1 parameters."""
    monkeypatch.setattr("lrpilot.pilot.guard.SMALL", small)
    keeps = rollback or small == 37
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    guard = Guard(optimizer, rollback=rollback)
    guard.remember_start(optimizer)
    train(model, optimizer)
    memory = remembered(interval(*FINE))
    for ends, known in ((HIGH, memory), (NAN, memory), (FINE, remembered(interval(1.0, 1.0, 0.99, 0.99)))):
        guard.look_after(1, interval(*ends), known)
        assert guard.state_dict()["good"] is not None  # still that of the start
        assert guard.step == 0
    guard.look_after(1, interval(*FINE), memory)
    assert (guard.state_dict()["good"] is not None) == keeps
    assert guard.step == 0  # a network whose last step may have spoiled it is not gone back to
    guard.look_after(2, interval(*FINE), memory)
    assert guard.step == (1 if keeps else 0)
    guard.look_after(3, interval(*NAN), memory)
    guard.look_after(4, interval(*FINE), memory)
    assert guard.step == (1 if keeps else 0)  # the copy of step 2 was followed by losses that were not finite


def test_how_large_a_network_is_kept_throughout():
    """Sixteen million parameters: with Adam's state two copies take 384 MB."""
    assert SMALL == 16e6


def test_without_rollback_the_copy_serves_weights_that_are_not_finite_alone():
    guard = ready(rollback=False)
    memory = remembered(interval(*FINE))
    assert guard.verdict(interval(*HIGH), memory, opens=False, closes=False) is None
    broken = interval(*NAN, weight_norm=torch.nan)
    for _ in range(PATIENCE + 1):
        assert guard.verdict(broken, memory, opens=False, closes=False) == "the weights were not finite"
        guard.take_back()


@pytest.mark.parametrize("rollback", [True, False])
def test_a_network_that_has_lost_all_it_had_learned_goes_back_at_any_time(rollback):
    """From 1 to 0.45, and back to 0.98; not from 0.55 (half of it was never gained), nor to 0.96 (some is left), nor
    where four late losses are 0.98 by chance (two standard errors are 0.1) or tell too little (seven steps)."""
    guard, close, far = ready(rollback=rollback), (0.975, 0.985) * 2, (0.9, 1.06) * 2
    for lowest, late, early, lost in (
        (0.45, close, 4, True),
        (0.55, close, 4, False),
        (0.45, (0.96,) * 4, 4, False),
        (0.45, far, 4, False),
        (0.45, close, 3, False),
    ):
        memory = remembered(interval(1.0, 1.0), *[interval(lowest, lowest)] * 9)
        for opens in (True, False):
            reason = guard.verdict(interval(*[0.5] * early, *late), memory, opens=opens, closes=False)
            assert (reason == "all that the network had learned was lost") == lost


@pytest.mark.parametrize(
    ("lowest", "losses", "lost"),
    [
        (0.45, (0.5, 1.2, 2.0), True),  # of the last two the geometric mean is 1.55
        (0.45, (0.5, 1.1, 1.9), False),  # 1.45
        (0.55, (0.5, 1.2, 2.0), False),  # half of the first loss was never gained
        (0.45, (0.5, 9.0), False),  # one loss tells nothing
        (0.45, (*[0.5] * 3, 1.2, 1.6, 1.9), True),
    ],
)
def test_a_few_steps_tell_of_a_network_that_is_far_worse_than_untrained(lowest, losses, lost):
    """Half above the first loss, as in the window: a rate that rose in it may do its harm right after it closed."""
    memory = remembered(interval(1.0, 1.0), interval(lowest, lowest), interval(0.6, 0.6))
    reason = ready().verdict(interval(*losses), memory, opens=False, closes=False)
    assert (reason == "all that the network had learned was lost") == lost


@pytest.mark.parametrize("learned", [True, False])
def test_a_network_ten_times_worse_than_untrained_goes_back_at_any_time(learned):
    """All losses of the second half count, however few there are: of four the last two, of three as well."""
    memory = remembered(interval(1.0), interval(0.6 if learned else 1.0))
    for losses, lost in (
        ((0.3, 0.3, 11.0, 1e6), True),
        ((0.3, 0.3, 9.0, 1e6), False),
        ((20.0, 11.0, 11.0), True),
        ((20.0, 9.0, 11.0), False),
        ((11.0,), True),
        ((9.0,), False),
    ):
        reason = ready().verdict(interval(*losses), memory, opens=False, closes=False)
        assert (reason == "the loss was far higher than the untrained network's") == lost


def test_a_copy_that_does_not_help_is_given_up():
    """Three returns to it are made; a fourth is not."""
    guard = ready(rollback=True)
    memory = remembered(interval(*FINE))
    for _ in range(3):
        assert guard.verdict(interval(11.0, 11.0), memory, opens=False, closes=False)
        assert not guard.in_vain(interval(11.0, 11.0), memory)
        guard.take_back()
        guard.look_after(1, interval(1.0, 1.0, 0.99, 0.99), remembered(interval(1.0, 1.0, 0.99, 0.99)))
    assert guard.in_vain(interval(11.0, 11.0), memory)
    guard.begin_again(blind=False)
    assert not guard.in_vain(interval(11.0, 11.0), memory)
    broken = interval(*NAN, weight_norm=torch.nan)  # these have no other place to go to
    assert guard.verdict(broken, memory, opens=False, closes=False) == "the weights were not finite"


def test_a_return_in_the_window_is_no_sign_that_the_copy_does_not_help():
    """The network may have learned, and been destroyed, since."""
    guard, memory = ready(), remembered(interval(*FINE))
    guard.take_back(counts=False)
    assert not guard.in_vain(interval(11.0, 11.0), memory)
    guard.take_back()
    assert guard.in_vain(interval(11.0, 11.0), memory)


def test_losses_that_are_not_finite_are_given_up_on_until_one_is():
    guard, memory = ready(rollback=True), remembered(interval(*FINE))
    nothing = interval(torch.nan, torch.nan)
    assert not guard.in_vain(nothing, memory)
    guard.begin_again(blind=True)
    guard.look_after(1, nothing, memory)
    again = ready(rollback=True)
    again.load_state_dict(guard.state_dict())
    for each in (guard, again):
        assert each.in_vain(nothing, memory)
        assert not each.in_vain(interval(*NAN), memory)
        each.look_after(2, interval(*FINE), memory)
        assert not each.in_vain(nothing, memory)
    state = guard.state_dict()
    del state["blind"]  # 0.2 did not keep it
    again.load_state_dict(state)
    assert not again.in_vain(nothing, memory)
    guard.begin_again(blind=True)
    guard.look_after(3, interval(1.0, 1.0, log_rate=-3.0), remembered(interval(1.0, 1.0)))  # which learns nothing
    assert not guard.in_vain(nothing, memory)


@pytest.mark.parametrize(("first", "better"), [(2.1, True), (2.0, False), (1.9, False), (torch.nan, True)])
@pytest.mark.parametrize("late", [(1.0, 2.0), (3.0, 1.0), (1.0, 1.0, 2.0)])
def test_the_network_that_was_left_comes_back_if_the_copy_is_worse(first, better, late):
    """The copy's first finite loss is above the other's last one, and the mean of its last half interval: 2.0."""
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    guard, memory = Guard(optimizer, rollback=False), remembered(interval(*FINE))
    model(torch.randn(8, 4))  # moves the running statistics
    guard.remember_start(optimizer)
    train(model, optimizer, 3)
    left = copy_of(model)
    guard.leave(3, interval(9.0, 9.0, *late), memory)
    guard.take_back()
    train(model, optimizer, 2)
    copied = copy_of(model)
    guard.load_state_dict(copy.deepcopy(guard.state_dict()))
    assert guard.undo(interval(first, 9.0)) == better
    assert not guard.undo(interval(first, 9.0))  # not twice
    assert guard.step == (3 if better else 0)
    assert equal(copied, model)
    guard.take_back(counts=False)
    assert equal(left, model) == better
    if better:  # of which nothing is remembered but the highest rate
        assert Memory.of_one_run(guard.memory).highest == float(memory.highest)
        assert math.isnan(guard.memory["first"])


@pytest.mark.parametrize("why", ["weights", "size", "an interval that ended well", "given up"])
def test_when_the_network_that_was_left_is_not_kept(monkeypatch, why):
    if why == "size":  # 37 parameters
        monkeypatch.setattr("lrpilot.pilot.guard.SMALL", 36)
    guard, memory = ready(), remembered(interval(*FINE))
    guard.leave(3, interval(1.0, weight_norm=torch.nan if why == "weights" else 1.0), memory)
    guard.take_back()
    if why == "an interval that ended well":
        guard.look_after(4, interval(*FINE), memory)
    if why == "given up":
        guard.give_up()
    assert guard.state_dict()["left"] is None
    assert not guard.undo(interval(9.0))


def test_there_are_never_more_than_two_copies(monkeypatch):
    """Neither as a network is left with a copy unproven, nor as it is left again: memory is counted at its peak."""
    alive, most = weakref.WeakSet(), []

    class Counted(Snapshot):
        __hash__ = object.__hash__

        def __init__(self, optimizer):
            super().__init__(optimizer)
            alive.add(self)
            most.append(len(alive))

    monkeypatch.setattr("lrpilot.pilot.copies.Snapshot", Counted)
    guard, memory = ready(), remembered(interval(*FINE))
    for step in (1, 2, 3):
        guard.look_after(step, interval(*FINE), memory)
    for step in (4, 5, 6):
        guard.leave(step, interval(9.0), memory)
        guard.take_back()
    assert guard.undo(interval(19.0))
    guard.take_back(counts=False)
    guard.look_after(7, interval(*FINE), memory)
    assert most == [1, 2, 2, 2, 2, 2, 2, 2]


def test_returns_to_one_copy_are_counted_but_for_those_in_the_window():
    """From a rate that is decades too high there are many of these, and the copy of the start is as good as ever."""
    guard = ready()
    for _ in range(5):
        guard.take_back(counts=False)
    assert guard.returns == 0
    guard.take_back()
    guard.take_back()
    assert guard.returns == 2
    for step in (1, 2):
        guard.look_after(step, interval(*FINE), remembered(interval(*FINE)))
    assert guard.step == 1
    assert guard.returns == 0  # to this one
    guard.take_back()
    assert guard.returns == 1
    guard.give_up()
    assert guard.returns == 0


def test_a_network_that_is_no_better_than_untrained_now_is_not_copied():
    """It had learned something once; its units may have died since, while the loss is what it was at first."""
    for level, copied in ((0.98, False), (0.96, True)):
        guard = ready()
        now = interval(*[level] * 4)
        for step in (1, 2):
            guard.look_after(step, now, remembered(interval(1.0), interval(0.5), now))
        assert guard.step == (1 if copied else 0)


def test_a_loss_that_has_changed_itself_is_no_reason_to_go_back_again():
    """Right after a return the copy gives more than three times the loss that it gave when it was taken: batches of one
    network differ by less."""
    for stood, level, given_up in ((1.0, 2.95, False), (1.0, 3.05, True), (0.5, 1.475, False), (0.5, 1.525, True)):
        memory = remembered(interval(1.0, 1.0, 1.0, 1.0), interval(stood, stood))
        guard = ready(rollback=True)
        now = interval(level, 9.0, 9.0, 9.0)
        assert not guard.in_vain(now, memory)
        guard.take_back()
        assert guard.in_vain(now, memory) == given_up


def interval(*losses, weight_norm=1.0, log_rate=0.0):
    return Interval.unmeasured(
        torch.tensor(losses), weight_norm=torch.tensor(weight_norm), log_rate=torch.tensor(log_rate)
    )


def ready(*, rollback=False):
    optimizer = torch.optim.SGD(network().parameters(), lr=0.1)
    guard = Guard(optimizer, rollback=rollback)
    guard.remember_start(optimizer)
    return guard


def remembered(*intervals):
    memory = Memory.fresh()
    for past in intervals:
        _, memory = observe(past, memory)
    return memory


FINE, HIGH, NAN = (1.0, 0.9, 0.8, 0.7), (1.0, 1.0, 3.0, 9.0), (1.0, 1.0, torch.nan, torch.nan)


def test_verdicts_within_the_window():
    guard = ready()

    def verdict(now, *, memory=None, closes=False):
        return guard.verdict(now, memory or Memory.fresh(), opens=True, closes=closes)

    assert verdict(interval(*FINE)) is None
    assert "untrained" in verdict(interval(*HIGH))
    assert verdict(interval(*NAN)) == "the loss was not finite"
    assert "not finite" in verdict(interval(*FINE, weight_norm=torch.nan))
    stalled = interval(1.0, 1.0, log_rate=-3.0)
    assert verdict(stalled, memory=remembered(interval(1.0, 1.0)), closes=False) is None
    assert "no progress" in verdict(stalled, memory=remembered(interval(1.0, 1.0)), closes=True)


@pytest.mark.parametrize(
    ("now", "gradient", "another"),
    [
        ([1.0, 1.0, 0.009], 0.1, True),
        ([1.0, 1.0, 0.011], 0.1, False),  # a fall of less than a hundredfold
        ([0.5, 0.5, 0.5], 0.001, False),
        ([0.009, 0.009, 0.009], 0.124, True),  # weights of size 1: an eighth of the loss could be gained at most
        ([0.009, 0.009, 0.009], 0.126, False),
        ([0.009, 0.009, 0.009], math.nan, False),
    ],
)
def test_a_fall_that_no_step_explains_is_another_loss(now, gradient, another):
    before = replace(interval(1.0, 1.0), gradient_norm=torch.tensor(gradient))
    _, memory = observe(before, Memory.fresh())
    for opens in (True, False):
        verdict = ready().verdict(interval(*now), memory, opens=opens, closes=False)
        assert (verdict == "the losses before were of another size") == another


@pytest.mark.parametrize(
    ("first", "count"), [(lambda loss: loss + 1e30, 10), (lambda loss: 1e30 * loss, 10), (lambda loss: loss + 1e3, 3)]
)
@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam])
def test_absurd_losses_at_the_beginning_do_no_harm(kind, first, count):
    """What the pilot is told of the first steps is of another size; the gradients are those of any other run."""

    def end(told):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))
        inputs = torch.randn(512, 8)
        targets = (inputs @ torch.randn(8, 4)).argmax(1)
        optimizer = kind(model.parameters(), lr=1e-2)
        pilot = Pilot(optimizer, total_steps=300)
        for step in range(300):
            chosen = torch.randint(0, 512, (32,))
            loss = nn.functional.cross_entropy(model(inputs[chosen]), targets[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            pilot.step(told(loss) if step < count else loss)
        with torch.no_grad():
            return float(nn.functional.cross_entropy(model(inputs), targets)), pilot

    (undisturbed, plain), (disturbed, pilot) = end(lambda loss: loss), end(first)
    assert not any(decision.back_to is not None for decision in plain.history.decisions)
    assert "the losses before were of another size, network taken back to step 0" in pilot.explain()
    assert disturbed < 2 * undisturbed + 0.02


def test_verdicts_outside_the_window():
    memory = remembered(interval(1.0, 0.5), interval(0.05, 0.05))
    half = interval(*[0.6] * 8)
    for rollback in (True, False):
        guard = ready(rollback=rollback)

        def verdict(now, guard=guard):
            return guard.verdict(now, memory, opens=False, closes=False)

        assert verdict(interval(0.06, 0.09)) is None
        assert "not finite" in verdict(interval(*FINE, weight_norm=torch.inf))
        assert (verdict(half) is not None) == rollback
        assert verdict(interval(*[1.0] * 4)) is None
        assert "all that the network had learned" in verdict(interval(*[1.0] * 8))
        assert "all that the network had learned" in verdict(interval(*HIGH))
        assert guard.verdict(half, memory, opens=True, closes=False) is None


@pytest.mark.parametrize(
    ("stood", "now", "lost"),
    [
        (0.25, 0.48, False),  # log losses: it stood at -1.386, half of which is a loss of 0.5
        (0.25, 0.53, True),
        (0.48, 0.8, True),
        (0.52, 0.8, False),  # a loss that had not halved yet has too little to lose
        (0.9, 1.45, False),
        (0.9, 1.55, True),  # but a network that had learned anything is surely worse than untrained
        (0.98, 1.55, False),
    ],
)
def test_half_of_a_gain_of_more_than_a_factor_of_two_is_lost(stood, now, lost):
    memory = remembered(interval(1.0, 1.0), *[interval(stood, stood)] * 12)
    verdict = ready(rollback=True).verdict(interval(*[now] * 8), memory, opens=False, closes=False)
    assert (verdict == "more than half of what the log loss had gained was lost") == lost


@pytest.mark.parametrize(("level", "freed"), [(0.975, False), (0.965, True)])
def test_the_start_is_kept_until_three_hundredths_are_learned(monkeypatch, level, freed):
    monkeypatch.setattr("lrpilot.pilot.guard.SMALL", 0)
    guard = ready()
    guard.look_after(1, interval(level, level), remembered(interval(1.0), interval(level)))
    assert (guard.state_dict()["good"] is None) == freed


def test_no_verdict_without_a_copy():
    optimizer = torch.optim.SGD(network().parameters(), lr=0.1)
    guard = Guard(optimizer, rollback=True)
    assert guard.verdict(interval(*NAN), Memory.fresh(), opens=True, closes=False) is None
    assert guard.step == 0
    assert not guard.holds_start


@pytest.mark.parametrize(
    ("losses", "well"),
    [
        (FINE, True),
        (NAN, False),
        ((1.0,) * 20 + (5.0,) * 4, False),
        ((1.0,) * 20 + (1.5,) * 4, True),
        ((100.0,) * 20 + (150.0,) * 4, True),
        ((0.0,) * 8, True),  # a hinge loss
    ],
)
def test_how_an_interval_ends(losses, well):
    assert ended_well(torch.tensor(losses)) == well


def test_six_decades_upwards_are_open():
    """A million times the rate given, and a little: no start is so far off."""
    assert 1e6 < math.exp(WIDEST) < 2e6


def test_a_guard_goes_on_from_its_state():
    """With both copies and the returns that were made to the first."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    guard = Guard(optimizer, rollback=True)
    model(torch.randn(8, 4))
    guard.remember_start(optimizer)
    memory = Memory.of_one_run(remembered(interval(*FINE))._asdict())._replace(gradient_norm=1.0)
    kept = []
    for step in (1, 2):
        train(model, optimizer)
        kept.append(copy_of(model))
        guard.look_after(step, interval(*FINE), memory)
    state = copy.deepcopy(guard.state_dict())
    again = Guard(optimizer, rollback=True)
    again.load_state_dict(state)
    assert again.started
    assert again.step == 1
    assert again.memory == memory._asdict()
    again.take_back()
    assert equal(kept[0], model)
    for _ in range(PATIENCE - 1):
        assert not again.in_vain(interval(*FINE), memory)
        again.take_back()
    third = Guard(optimizer, rollback=True)
    third.load_state_dict(again.state_dict())
    assert third.in_vain(interval(*FINE), memory)
    guard.look_after(3, interval(*FINE), memory)  # the second copy has proven good
    guard.take_back()
    assert equal(kept[1], model)


def test_a_guard_that_has_not_begun_goes_on_from_its_state():
    """Its first copy is of the statistics before the first forward pass."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    state, again, start = (
        Guard(optimizer, rollback=False).state_dict(),
        Guard(optimizer, rollback=False),
        copy_of(model),
    )
    again.load_state_dict(state)
    assert not again.started
    assert again.memory is None
    model(torch.randn(8, 4))
    again.remember_start(optimizer)
    train(model, optimizer)
    again.take_back()
    assert equal(start, model)
    again.close()
    train(model, optimizer)
    again.take_back()  # there is nothing left
    assert not equal(start, model)


def test_a_copy_of_other_buffers_is_refused():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    guard = Guard(optimizer, rollback=False)
    model(torch.randn(8, 4))
    guard.remember_start(optimizer)
    state = guard.state_dict()
    for number, wrong in ((0, torch.zeros(5)), (7, torch.zeros(6))):
        bad = {**state, "good": {**state["good"], "buffers": {number: wrong}}}
        with pytest.raises(
            InvalidArgument, match=rf"the saved copy's buffers must be 3 of the shapes .* got \[{number}\]"
        ):
            guard.load_state_dict(bad)
        guard.load_state_dict({**state, "unproven": bad["good"]})  # which another one follows soon
        assert guard.state_dict()["good"] is not None
        assert guard.state_dict()["unproven"] is None
    guard.load_state_dict(state)


def test_a_guard_that_had_freed_its_copies_keeps_some_again_if_it_resumes_with_rollback(monkeypatch):
    monkeypatch.setattr("lrpilot.pilot.guard.SMALL", 0)
    optimizer = torch.optim.SGD(network().parameters(), lr=0.1)
    guard, memory = Guard(optimizer, rollback=False), remembered(interval(*FINE))
    guard.remember_start(optimizer)
    guard.look_after(1, interval(*FINE), memory)
    again = Guard(optimizer, rollback=True)
    again.load_state_dict(guard.state_dict())
    for step in (2, 3):
        assert again.state_dict()["good"] is None
        again.look_after(step, interval(*FINE), memory)
    assert again.step == 2


def test_buffers_are_told_apart_by_value():
    """The statistics of BatchNorm are a mean, a variance and a count."""
    model = network()
    norm, buffers = model[1], Buffers(torch.optim.SGD(model.parameters(), lr=0.1), [model])
    assert len(buffers) == 3
    before = buffers.copies()
    assert before.keys() == {0, 1, 2}
    assert buffers.copies([1]).keys() == {1}
    assert buffers.copies([]) == {}
    assert buffers.changed(before) == []
    model.double()
    assert buffers.changed(before) == []
    norm.running_var.mul_(2.0)
    assert buffers.changed(before) == [1]
    norm.running_mean = None
    assert buffers.changed(before) == [0, 1]
    assert buffers.tensors().keys() == {1, 2}
    buffers.restore(before)
    assert buffers.changed(before) == []
    assert norm.running_mean.tolist() == [0.0] * 6
    assert norm.running_mean is not before[0]
    norm.running_mean = torch.zeros(2)
    buffers.restore(before)
    assert norm.running_mean.shape == (6,)


def test_a_buffer_that_two_modules_hold_is_one():
    first, second = network(), network()
    second[1].running_mean = first[1].running_mean
    both = nn.ModuleList([first, second])
    buffers = Buffers(torch.optim.SGD(both.parameters(), lr=0.1), [both])
    assert len(buffers) == 5
    assert sum(tensor is first[1].running_mean for tensor in buffers.tensors().values()) == 1


def test_a_module_that_is_met_again_hides_nothing():
    again = nn.BatchNorm1d(4)
    model = nn.Sequential(again, again, nn.BatchNorm1d(4))
    assert len(Buffers(torch.optim.SGD(model.parameters(), lr=0.1), [model])) == 6


def test_networks_are_found_the_outermost_first():
    """That of the optimizer's first parameter before others; of those that hold the same ones, the larger first."""
    first, second = network(), network()
    around = Wrapper(first)
    found = networks_beside(torch.optim.SGD([*first.parameters(), *second.parameters()], lr=0.1))
    places = [
        next(i for i, module in enumerate(found) if module is wanted) for wanted in (around, first, first[0], second)
    ]
    assert places == sorted(places)
    assert places[0] == 0


def test_two_networks_around_one_are_both_found():
    """Of one size, and modules cannot be compared."""
    model = network()
    around = [Wrapper(model), Wrapper(model)]
    found = networks_beside(torch.optim.SGD(model.parameters(), lr=0.1))
    assert {id(module) for module in found[:2]} == set(map(id, around))


def test_whether_a_network_is_evaluated():
    """That of the module that holds the parameters: others may be in either mode."""
    model, frozen = network(), network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    buffers = Buffers(optimizer, [frozen, model])
    frozen.eval()
    assert not buffers.evaluating
    model.eval()
    assert buffers.evaluating
    assert not Buffers(optimizer, []).evaluating
    assert not Buffers(optimizer, [frozen]).evaluating
