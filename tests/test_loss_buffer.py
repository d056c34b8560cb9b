from __future__ import annotations

import pytest
import torch

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


def test_a_loss_that_is_overwritten_was_kept():
    losses, loss = LossBuffer(), torch.tensor(1.0)
    losses.begin(2)
    losses.append(loss)
    loss.fill_(7.0)
    assert losses.values.tolist() == [1.0]


@pytest.mark.parametrize(
    "wrong", [torch.ones(3), torch.ones(0), *(pytest.param(w, marks=pytest.mark.mistyped) for w in ("1.0", None))]
)
def test_what_is_no_scalar_is_refused(wrong):
    losses = LossBuffer()
    losses.begin(1)
    with pytest.raises(InvalidArgument, match=r"^loss must be a scalar.*"):
        losses.append(wrong)
    assert len(losses.values) == 0


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
