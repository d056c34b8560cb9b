"""Snapshots: everything goes back, in place."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lrpilot import InvalidArgument
from lrpilot.core.snapshot import Snapshot


def tensors_of(states: list[dict]) -> list[torch.Tensor]:
    return [value for state in states for value in state.values() if isinstance(value, torch.Tensor)]


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam"])
@pytest.mark.parametrize("steps_before", [0, 3])
def test_training_goes_on_as_if_nothing_had_happened(name: str, steps_before: int) -> None:
    def train(interrupted: bool) -> list[torch.Tensor]:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        optimizer = getattr(torch.optim, name)(net.parameters(), lr=0.05)

        def step(scale: float) -> None:
            optimizer.zero_grad()
            (net(torch.ones(5, 3).cumsum(0)) * scale).square().mean().backward()
            optimizer.step()

        for _ in range(steps_before):
            step(1.0)
        if interrupted:
            snapshot = Snapshot(optimizer, list(net.buffers()))
            states = [*optimizer.state.values()]
            held = [t.data_ptr() for t in (*net.parameters(), *tensors_of(states))]
            for _ in range(2):
                step(1e3)
            snapshot.restore()
            assert held == [t.data_ptr() for t in (*net.parameters(), *tensors_of(states))]
        for _ in range(2):
            step(1.0)
        return [*net.parameters(), *net.buffers()]

    for plain, restored in zip(train(False), train(True), strict=True):
        assert torch.equal(plain, restored)


def train_a_little(optimizer: torch.optim.Optimizer) -> None:
    for _ in range(2):
        optimizer.zero_grad()
        sum((p - 3).square().sum() for group in optimizer.param_groups for p in group["params"]).backward()
        optimizer.step()


def two_groups() -> torch.optim.Optimizer:
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(3))], lr=0.1)
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.full((2,), 5.0))]})
    return optimizer


@pytest.mark.parametrize("groups_before", [1, 2])
def test_a_copy_from_before_a_group_was_added_loads_after_it(groups_before: int) -> None:
    """Case L4, with as many groups, or more, at the moment that the loading snapshot is made."""
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(3))], lr=0.1)
    train_a_little(optimizer)
    snapshot = Snapshot(optimizer)
    kept = optimizer.param_groups[0]["params"][0].detach().clone()
    moments = {key: value.clone() for key, value in optimizer.state[optimizer.param_groups[0]["params"][0]].items()}

    fresh = two_groups()
    if groups_before == 1:
        added = fresh.param_groups.pop()
    loaded = Snapshot(fresh)
    if groups_before == 1:
        fresh.param_groups.append(added)
    loaded.load_state_dict(snapshot.state_dict())
    train_a_little(fresh)
    joined = fresh.param_groups[1]["params"][0].detach().clone()
    loaded.restore()
    assert torch.equal(fresh.param_groups[0]["params"][0], kept)
    assert torch.equal(fresh.param_groups[1]["params"][0], joined)
    for key, value in moments.items():
        assert torch.equal(fresh.state[fresh.param_groups[0]["params"][0]][key], value)


def test_one_state_loaded_twice_gives_two_equal_runs() -> None:
    """Case S7: nothing that happens to one copy shows in the state or in the other."""
    source = two_groups()
    train_a_little(source)
    state = Snapshot(source).state_dict()
    ends = []
    for _ in range(2):
        optimizer = two_groups()
        loaded = Snapshot(optimizer)
        loaded.load_state_dict(state)
        loaded.restore()
        train_a_little(optimizer)
        ends.append([p.detach().clone() for group in optimizer.param_groups for p in group["params"]])
    for one, two in zip(*ends, strict=True):
        assert torch.equal(one, two)


def test_a_copy_of_another_network_is_refused_and_changes_nothing() -> None:
    optimizer = two_groups()
    snapshot = Snapshot(optimizer)
    before = [p.detach().clone() for group in optimizer.param_groups for p in group["params"]]
    other = Snapshot(torch.optim.AdamW([torch.nn.Parameter(torch.ones(4))]))
    with pytest.raises(InvalidArgument, match=r"the saved copy's tensors must be of the shapes \[\(3,\)\] as here"):
        snapshot.load_state_dict(other.state_dict())
    train_a_little(optimizer)
    snapshot.restore()
    for p, value in zip((p for g in optimizer.param_groups for p in g["params"]), before, strict=True):
        assert torch.equal(p, value)


def test_buffers_that_have_been_replaced_are_restored_where_they_stand_now() -> None:
    """In their order, as they were given; the ones that were there go back too."""
    optimizer = two_groups()
    held = [torch.tensor([1.0, 2.0]), torch.tensor(3.0)]
    snapshot = Snapshot(optimizer, held)
    now = [torch.zeros(2, dtype=torch.float64), torch.zeros(())]
    for tensor in held:
        tensor.fill_(9.0)
    snapshot.restore(now)
    for tensors in (held, now):
        assert [tensor.tolist() for tensor in tensors] == [[1.0, 2.0], 3.0]
    assert optimizer.param_groups[0]["params"][0].tolist() == [1.0, 1.0, 1.0]


def test_buffers_of_another_shape_are_refused() -> None:
    optimizer = two_groups()
    state = Snapshot(optimizer, [torch.zeros(2)]).state_dict()
    for buffers in ([], [torch.zeros(3)]):
        with pytest.raises(InvalidArgument, match="the saved copy's tensors"):
            Snapshot(optimizer, buffers).load_state_dict(state)
    loaded, buffer = Snapshot(optimizer, held := [torch.ones(2)]), held[0]
    loaded.load_state_dict(state)
    loaded.restore()
    assert buffer.tolist() == [0.0, 0.0]


def test_what_has_joined_is_copied_when_it_is_asked_for() -> None:
    first, second = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    optimizer = torch.optim.SGD([first], lr=0.1)
    snapshot = Snapshot(optimizer)
    optimizer.add_param_group({"params": [second]})
    with torch.no_grad():
        first.fill_(3.0)
        second.fill_(3.0)
        snapshot.extend()  # the second as it is now, the first as it was
        first.fill_(5.0)
        second.fill_(5.0)
    snapshot.restore()
    assert (first.tolist(), second.tolist()) == ([1.0, 1.0], [3.0, 3.0])


def test_state_that_is_no_tensor_is_copied_too() -> None:
    """As of optimizers that count their steps in plain numbers."""
    optimizer = two_groups()
    parameter = optimizer.param_groups[0]["params"][0]
    optimizer.state[parameter] = {"step": 3, "past": [torch.ones(2)]}
    snapshot = Snapshot(optimizer)
    for _ in range(2):
        optimizer.state[parameter]["step"] = 7
        optimizer.state[parameter]["past"][0].zero_()
        snapshot.restore()
        assert optimizer.state[parameter]["step"] == 3
        assert optimizer.state[parameter]["past"][0].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("saved", [0, 1, 2])
def test_a_parameter_of_another_shape_is_left_alone(saved: int) -> None:
    """With its state, in which old moments would not fit; the others go back. One number is not spread over many. So it
    is when that snapshot has been saved and loaded, once and again."""
    one, other = torch.nn.Parameter(torch.ones(1)), torch.nn.Parameter(torch.full((2,), 5.0))
    optimizer = torch.optim.SGD([one, other], lr=0.1, momentum=0.9)
    train_a_little(optimizer)
    snapshot, kept, moment = Snapshot(optimizer), other.detach().clone(), optimizer.state[other]["momentum_buffer"]
    one.data, one.grad, optimizer.state[one] = torch.full((4,), 7.0), None, {}
    remembered = moment.clone()
    with torch.no_grad():
        other.fill_(torch.nan)
        moment.fill_(torch.nan)
    for _ in range(saved):
        state, snapshot = snapshot.state_dict(), Snapshot(optimizer)
        snapshot.load_state_dict(state)
    snapshot.restore()
    assert one.tolist() == [7.0] * 4
    assert optimizer.state[one] == {}
    assert torch.equal(other, kept)
    assert torch.equal(optimizer.state[other]["momentum_buffer"], remembered)


@pytest.mark.parametrize("joins", [False, True])
def test_a_parameter_that_has_left_is_left_alone(joins: bool) -> None:
    """Also where another one of its shape has joined; and the state fits an optimizer that never had it."""
    optimizer = two_groups()
    train_a_little(optimizer)
    snapshot = Snapshot(optimizer)
    (stays,) = optimizer.param_groups[1]["params"]
    copied = stays.detach().clone()
    train_a_little(optimizer)
    (gone,) = optimizer.param_groups.pop(0)["params"]
    del optimizer.state[gone]
    if joins:
        optimizer.add_param_group({"params": [torch.nn.Parameter(torch.zeros(3))]})
    before = gone.detach().clone()
    snapshot.restore()
    assert torch.equal(stays, copied)
    assert torch.equal(gone, before)
    assert len(optimizer.state_dict()["state"]) == 1  # torch's own refuses a parameter that is in no group

    w = torch.nn.Parameter(torch.zeros(2))
    other = torch.optim.AdamW([w], lr=0.1)
    again = Snapshot(other)
    again.load_state_dict(snapshot.state_dict())
    again.restore()
    assert torch.equal(w, copied)
    assert other.state[w]["step"] == 2
