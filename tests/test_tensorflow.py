"""TensorFlow's optimizers against traces computed with plain numbers, and against PyTorch's defaults."""

import math

import pytest
import torch
from torch import nn

from lrpilot.baselines.tensorflow import TFAdagrad, TFAdam, TFRMSprop
from lrpilot.errors import InvalidArgument

# Large, tiny and sign-changing: a misplaced epsilon or a wrong start value shows in the tiny ones.
GRADIENTS = [0.5, -2.0, 3e-8, 1e-4, -0.7]
START = 0.3


def trace(make_optimizer, gradients=GRADIENTS, dtype=torch.float64):
    """The parameter after each of the given gradients."""
    parameter = nn.Parameter(torch.tensor([START], dtype=dtype))
    optimizer = make_optimizer([parameter])
    values = []
    for gradient in gradients:
        parameter.grad = torch.tensor([gradient], dtype=dtype)
        optimizer.step()
        values.append(parameter.item())
    return values


def adam_by_hand(lr, eps, gradients):
    theta, mean, square, values = START, 0.0, 0.0, []
    for t, g in enumerate(gradients, start=1):
        mean = 0.9 * mean + 0.1 * g
        square = 0.999 * square + 0.001 * g * g
        rate = lr * math.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        theta -= rate * mean / (math.sqrt(square) + eps)
        values.append(theta)
    return values


@pytest.mark.parametrize("fused", [True, False])
def test_adam_follows_tensorflow(fused):
    values = trace(lambda p: TFAdam(p, 0.01, eps=1e-3, fused=fused))
    assert values == pytest.approx(adam_by_hand(0.01, 1e-3, GRADIENTS), abs=1e-12)


def test_adam_first_step_is_the_textbook_one():
    # t = 1: sqrt(1 - b2) g / (sqrt(1 - b2) |g| + eps) = 0.0316228 * 0.5 / (0.0158114 + 0.001)
    assert trace(lambda p: TFAdam(p, 1.0, eps=1e-3), [0.5])[0] == pytest.approx(0.3 - 0.94052, abs=1e-5)


def test_torch_adam_places_epsilon_elsewhere():
    values = trace(lambda p: torch.optim.Adam(p, 0.01, eps=1e-3))
    assert values != pytest.approx(adam_by_hand(0.01, 1e-3, GRADIENTS), abs=1e-6)


def test_adagrad_follows_tensorflow():
    theta, total, expected = START, 0.1, []
    for g in GRADIENTS:
        total += g * g
        theta -= 0.01 * g / math.sqrt(total)
        expected.append(theta)
    assert trace(lambda p: TFAdagrad(p, 0.01)) == pytest.approx(expected, abs=1e-12)
    assert trace(lambda p: torch.optim.Adagrad(p, 0.01)) != pytest.approx(expected, abs=1e-4)


def test_rmsprop_follows_tensorflow():
    theta, square, expected = START, 1.0, []
    for g in GRADIENTS:
        square += 0.1 * (g * g - square)
        theta -= 0.01 * g / math.sqrt(square + 1e-10)
        expected.append(theta)
    assert trace(lambda p: TFRMSprop(p, 0.01)) == pytest.approx(expected, abs=1e-12)
    assert trace(lambda p: torch.optim.RMSprop(p, 0.01)) != pytest.approx(expected, abs=1e-4)
    same_settings = trace(lambda p: torch.optim.RMSprop(p, 0.01, alpha=0.9, eps=1e-10))
    assert same_settings != pytest.approx(expected, abs=1e-4)  # the accumulator's start is what remains


def test_rmsprop_epsilon_stands_inside_the_root():
    # A square of zero leaves lr g / sqrt(eps): decay 0 forgets the start, and 1e-16 is nothing beside 1e-4.
    value = trace(lambda p: TFRMSprop(p, 1.0, decay=0.0, eps=1e-4), [1e-8])[0]
    assert START - value == pytest.approx(1e-8 / 1e-2, rel=1e-6)


@pytest.mark.parametrize("make", [TFAdam, TFAdagrad, TFRMSprop])
def test_groups_tensor_rates_and_missing_gradients(make):
    first, second, idle = (nn.Parameter(torch.ones(3)) for _ in range(3))
    rate = torch.tensor(0.1)
    optimizer = make([{"params": [first, idle]}, {"params": [second], "lr": 0.2}], rate)
    first.grad, second.grad = torch.ones(3), torch.ones(3)
    optimizer.step()
    assert torch.allclose(2 * (1 - first), 1 - second, rtol=1e-5)
    assert torch.equal(idle, torch.ones(3))
    rate.fill_(0.0)
    before = first.clone()
    optimizer.step()
    assert torch.equal(first, before)


@pytest.mark.parametrize("make", [TFAdam, TFAdagrad, TFRMSprop])
def test_state_survives_saving(make):
    def run(steps, optimizer, parameter):
        for step in steps:
            parameter.grad = torch.sin(torch.arange(3.0) + step)
            optimizer.step()

    whole = nn.Parameter(torch.ones(3))
    run(range(8), make([whole], 0.1), whole)
    halves = nn.Parameter(torch.ones(3))
    first = make([halves], 0.1)
    run(range(4), first, halves)
    second = make([halves], 0.5)
    second.load_state_dict(first.state_dict())
    run(range(4, 8), second, halves)
    assert torch.equal(whole, halves)


@pytest.mark.parametrize(
    "build",
    [
        lambda p: TFAdam(p, -1.0),
        lambda p: TFAdam(p, float("nan")),
        lambda p: TFAdam(p, betas=(0.9, 1.0)),
        lambda p: TFAdam(p, eps=0.0),
        lambda p: TFAdagrad(p, 0.1, initial_accumulator_value=0.0),
        lambda p: TFRMSprop(p, 0.1, decay=1.0),
        lambda p: TFRMSprop(p, torch.ones(2)),
    ],
)
def test_settings_out_of_range_are_named(build):
    with pytest.raises(InvalidArgument, match="must be"):
        build([nn.Parameter(torch.ones(1))])
