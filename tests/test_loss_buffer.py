from __future__ import annotations

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from lrpilot.errors import InvalidArgument
from lrpilot.pilot.loss_buffer import LossBuffer


def test_losses_of_every_form():
    losses = LossBuffer()
    losses.begin(5)
    graph = torch.tensor(2.0, requires_grad=True) * 2
    for loss in (graph, 1.5, 2, torch.tensor([0.5], dtype=torch.float64), torch.tensor(3.0, dtype=torch.bfloat16)):
        losses.append(loss)
    assert losses.values.tolist() == [4.0, 1.5, 2.0, 0.5, 3.0]
    assert not losses.values.requires_grad


@pytest.mark.parametrize("loss", [np.float32(1.5), np.float64(1.5), np.array(1.5), np.array([1.5])])
def test_numpys_numbers_are_numbers(loss):
    losses = LossBuffer()
    losses.begin(1)
    losses.append(loss)
    assert losses.values.tolist() == [1.5]


def test_a_loss_that_is_overwritten_was_kept():
    losses, loss = LossBuffer(), torch.tensor(1.0)
    losses.begin(2)
    losses.append(loss)
    loss.fill_(7.0)
    assert losses.values.tolist() == [1.0]


@pytest.mark.parametrize(
    "wrong",
    [
        torch.ones(3),
        torch.ones(0),
        torch.tensor(1j),
        torch.tensor(1),
        torch.tensor(True),
        *(pytest.param(w, marks=pytest.mark.mistyped) for w in ("1.0", None, np.ones(2))),
    ],
)
def test_what_is_no_scalar_is_refused(wrong):
    losses = LossBuffer()
    losses.begin(1)
    with pytest.raises(InvalidArgument, match=r"^loss must be a scalar.*"):
        losses.append(wrong)
    assert len(losses.values) == 0


def test_a_buffer_that_was_not_begun_has_room_for_one():
    losses = LossBuffer()
    assert losses.values.tolist() == []
    losses.append(2.0)
    assert losses.values.tolist() == [2.0]


def test_the_buffer_grows_and_keeps_its_numbers_apart():
    losses = LossBuffer()
    losses.begin(1)
    losses.append(1.0)
    first = losses.values.clone()
    losses.begin(3)
    for loss in (2.0, 3.0, 4.0):
        losses.append(loss)
    assert first.tolist() == [1.0]
    assert losses.values.tolist() == [2.0, 3.0, 4.0]


class Elsewhere(torch.Tensor):
    """As on a device that must not be waited for: none of its values can be read."""

    is_cpu = False

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if getattr(function, "__name__", "") in ("item", "__float__", "tolist", "cpu"):
            raise AssertionError("read")
        return super().__torch_function__(function, types, args, kwargs or {})


def test_losses_on_a_device_are_not_read():
    losses = LossBuffer()
    losses.begin(2)
    losses.append(torch.tensor(1.5).as_subclass(Elsewhere))
    losses.append(0.5)
    assert losses.values.tolist() == [1.5, 0.5]


def test_its_state():
    losses, other = LossBuffer(), LossBuffer()
    losses.begin(3)
    losses.append(1.5)
    state = losses.state_dict()
    losses.append(2.5)
    other.begin(3)
    other.load_state_dict(state)
    other.append(3.5)
    assert other.values.tolist() == [1.5, 3.5]


def test_the_loss_of_a_step_is_the_mean_of_its_parts():
    losses = LossBuffer()
    losses.begin(3)
    losses.append(7.0)
    for part in (1.0, torch.tensor(2.0)):
        losses.append_part(part)
        assert losses.has_parts
    assert losses.values.tolist() == [7.0]  # parts are no steps
    losses.append(6.0)
    losses.join()
    assert losses.values.tolist() == [7.0, 3.0]
    assert not losses.has_parts
    losses.append_part(2.0)
    losses.append(3.0)
    losses.join()
    assert losses.values.tolist() == [7.0, 3.0, 2.5]


def test_parts_may_be_all_that_is_known_of_a_step():
    losses = LossBuffer()
    losses.begin(1)
    assert losses.take_parts() is None
    for part in (1.0, 4.0, 4.0):
        losses.append_part(part)
    assert losses.take_parts() == 3.0
    assert losses.take_parts() is None
    losses.append_part(5.0)
    losses.drop_parts()
    losses.append(1.0)
    losses.join()
    assert losses.values.tolist() == [1.0]


def test_parts_outlive_the_interval_and_go_with_the_state():
    losses, other = LossBuffer(), LossBuffer()
    losses.begin(1)
    losses.append_part(1.0)
    losses.begin(1)
    other.load_state_dict(losses.state_dict())
    for buffer in (losses, other):
        buffer.append(3.0)
        buffer.join()
        assert buffer.values.tolist() == [2.0]


def test_a_loss_stands_for_steps_that_gave_none():
    losses = LossBuffer()
    losses.begin(2)
    losses.append(1.0)
    losses.append(2.0)
    losses.join(repeated=3)  # more than there was room for
    assert losses.values.tolist() == [1.0, 2.0, 2.0, 2.0, 2.0]


def test_there_is_room_for_all_losses_and_a_part():
    """As reserved, and never less than was there: a reservation drops nothing and makes no room twice."""
    losses = LossBuffer()
    losses.begin(2)
    losses.append(1.0)
    losses.reserve(3)
    for loss in (2.0, 3.0):
        losses.append(loss)
    losses.append_part(5.0)
    room = losses.values.data_ptr()
    losses.reserve(3)
    losses.reserve(1)
    assert losses.values.tolist() == [1.0, 2.0, 3.0]
    assert losses.values.data_ptr() == room


def test_the_buffer_stands_where_the_first_loss_of_an_interval_does():
    """On a device that is not there nothing is computed. A loss on another one is copied to where the first are."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        there = torch.device("cuda:0")
        losses, other, mixed = LossBuffer(), LossBuffer(), LossBuffer()
        losses.begin(2)
        for steps in (2, 5):
            losses.reserve(steps)
            while len(losses.values) < steps:
                losses.append(torch.empty((), device=there))
            losses.append_part(torch.empty((), device=there))
        assert losses.values.device == there
        other.load_state_dict(losses.state_dict())
        assert (other.values.device, len(other.values)) == (there, 5)
        mixed.begin(2)
        mixed.append(1.0)
        mixed.append(torch.empty((), device=there))
        assert (mixed.values.device, len(mixed.values)) == (torch.device("cpu"), 2)


def test_losses_on_a_device_are_joined_and_repeated_there():
    losses = LossBuffer()
    losses.begin(2)
    losses.append(torch.tensor(1.5).as_subclass(Elsewhere))
    losses.append_part(torch.tensor(2.0).as_subclass(Elsewhere))
    losses.append(torch.tensor(4.0).as_subclass(Elsewhere))
    losses.join(repeated=1)
    assert losses.values.tolist() == [1.5, 3.0, 3.0]


def test_a_longer_state_is_taken_up_too():
    losses, other = LossBuffer(), LossBuffer()
    losses.begin(3)
    for loss in (1.0, 2.0, 3.0):
        losses.append(loss)
    other.load_state_dict(losses.state_dict())
    assert other.values.tolist() == [1.0, 2.0, 3.0]
    other.begin(3)
    assert other.values.tolist() == []
