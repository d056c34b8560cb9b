"""The gradient of a batch's loss along each knob's value, against finite differences of whole steps."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from lrpilot import Beta, Dropout, Knob, LearningRate, Momentum, WeightDecay
from lrpilot.online.controls import Controls, Granularity
from lrpilot.online.displacement import Displacement
from lrpilot.online.sensitivity import Sensitivity

LIKE = torch.empty(0, dtype=torch.float64)
MADE = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.8, weight_decay=0.3),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.8, weight_decay=0.3, nesterov=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.05, betas=(0.8, 0.95), weight_decay=0.3),
}
ALONG = {
    "sgd": (LearningRate(), Momentum(), WeightDecay()),
    "nesterov": (LearningRate(), Momentum(), WeightDecay()),
    "adamw": (LearningRate(), Beta(1), Beta(2), WeightDecay()),
}
CLOSE = {"sgd": 1e-6, "nesterov": 0.05, "adamw": 0.2}  # a nesterov step is quadratic in its momentum, Adam's rational


def batch(t: int) -> tuple[torch.Tensor, torch.Tensor]:
    inputs = torch.randn(16, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(t))
    return inputs, inputs[:, :2].sum(1, keepdim=True)


def loss(network: nn.Module, t: int) -> torch.Tensor:
    inputs, targets = batch(t)
    return (network(inputs) - targets).square().mean()


def begun(kind: str, knobs: tuple[Knob, ...], granularity: Granularity) -> tuple[nn.Module, Controls]:
    """After five steps, with the gradients of a sixth."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Dropout(0.0), nn.Linear(6, 1)).double()
    optimizer = MADE[kind]([{"params": network[0].parameters()}, {"params": network[3].parameters(), "lr": 0.02}])
    controls = Controls(optimizer, knobs, granularity, like=LIKE)
    for t in range(6):
        optimizer.zero_grad()
        loss(network, t).backward()
        if t < 5:
            optimizer.step()
    return network, controls


def loss_after(kind: str, granularity: Granularity, action: list[float]) -> float:
    """Of the seventh batch, when the sixth step is made at ``action``."""
    network, controls = begun(kind, ALONG[kind], granularity)
    controls.write(action)
    controls.optimizer.step()
    return loss(network, 6).item()


@pytest.mark.parametrize("granularity", ["global", "group", "tensor"])
@pytest.mark.parametrize("kind", MADE)
def test_along_is_the_gradient_of_the_loss_after_the_step(kind: str, granularity: Granularity) -> None:
    network, controls = begun(kind, ALONG[kind], granularity)
    step = Displacement(controls.optimizer, like=LIKE)
    sensitivity = Sensitivity(controls, step, like=LIKE)
    action = controls.given
    state = copy.deepcopy(controls.optimizer.state_dict())
    sensitivity.begin(action)
    step.begin()
    for mine, theirs in zip(controls.optimizer.state_dict()["state"].values(), state["state"].values(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)  # the other steps have left no trace
    controls.optimizer.step()
    step.end()
    sensitivity.end()
    controls.optimizer.zero_grad()
    loss(network, 6).backward()
    along = sensitivity.along()
    expected = []
    for number in range(len(action)):
        less, more = ([each * (1 + (h if k == number else 0)) for k, each in enumerate(action)] for h in (-1e-6, 1e-6))
        expected.append((loss_after(kind, granularity, less) - loss_after(kind, granularity, more)) / 2e-6)
    torch.testing.assert_close(along, torch.tensor(expected, dtype=torch.float64), rtol=CLOSE[kind], atol=1e-8)
    rates = controls.layout.counts[0]
    torch.testing.assert_close(along[:rates].sum(), step.decrement())
    assert (along.abs() > 1e-6).all()  # there is something to compare


def test_along_a_momentum_and_a_weight_decay_by_hand() -> None:
    """w' = w - a (m b + g + d w): along 1 - m it is -(1 - m) a b . g_j, along d it is a d w . g_j."""
    w = nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer = torch.optim.SGD([w], lr=0.1, momentum=0.9, weight_decay=0.5)
    optimizer.state[w]["momentum_buffer"] = torch.tensor([3.0, 1.0], dtype=torch.float64)
    controls = Controls(optimizer, (LearningRate(), Momentum(), WeightDecay()), "global", like=LIKE)
    step = Displacement(optimizer, like=LIKE)
    sensitivity = Sensitivity(controls, step, like=LIKE)
    w.grad = torch.tensor([0.2, 0.4], dtype=torch.float64)
    made: list[float] = []
    optimizer.register_step_pre_hook(lambda *_: made.append(optimizer.param_groups[0]["lr"]))
    sensitivity.begin([0.1, 0.1, 0.5])
    assert made == [0.1, 0.1]  # one for each further knob: along the rate the step itself says it
    step.begin()
    optimizer.step()
    step.end()
    sensitivity.end()
    w.grad = torch.tensor([1.0, 10.0], dtype=torch.float64)
    by_hand = [
        0.1 * (0.9 * (3 + 10) + (0.2 + 4) + 0.5 * (1 - 20)),
        -0.1 * 0.1 * (3 + 10),
        0.1 * 0.5 * (1 - 20),
    ]
    assert sensitivity.along().tolist() == pytest.approx(by_hand)


def test_along_the_trail_of_the_last_steps_by_hand() -> None:
    """As above without weight decay, twice at one rate: the first step counts half."""
    w = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = torch.optim.SGD([w], lr=0.1, momentum=0.5)
    optimizer.state[w]["momentum_buffer"] = torch.tensor([3.0], dtype=torch.float64)
    controls = Controls(optimizer, (LearningRate(), Momentum()), "global", like=LIKE)
    step = Displacement(optimizer, like=LIKE, memory=0.5)
    sensitivity = Sensitivity(controls, step, like=LIKE, memory=0.5)
    for gradient in (0.4, 1.0):
        w.grad = torch.tensor([gradient], dtype=torch.float64)
        sensitivity.begin([0.1, 0.5])
        step.begin()
        optimizer.step()
        step.end()
        sensitivity.end()
    w.grad = torch.tensor([2.0], dtype=torch.float64)
    buffers = 3.0, 0.5 * 3 + 0.4, 0.5 * 1.9 + 1.0
    rate, momentum = (0.1 * 2 * buffers[2], -0.1 * 0.5 * 2 * buffers[1])
    before = (0.1 * 2 * buffers[1], -0.1 * 0.5 * 2 * buffers[0])
    assert sensitivity.along().tolist() == pytest.approx([rate, momentum])
    assert sensitivity.along(trail=True).tolist() == pytest.approx([rate + before[0] / 2, momentum + before[1] / 2])
    sensitivity.forget()  # what is its own: how the other steps differed
    assert sensitivity.along(trail=True).tolist() == pytest.approx([rate + before[0] / 2, momentum])


def test_a_number_is_made_a_tenth_smaller() -> None:
    """A nesterov step w' = w - a (g + m (m b + g)) is quadratic in its momentum m, so that the share shows: from 0.5
    up to 0.55, m^2 grows by 0.0525, and m by 0.05. More would lose to curvature, less to rounding in float32."""
    w = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = torch.optim.SGD([w], lr=0.2, momentum=0.5, nesterov=True)
    optimizer.state[w]["momentum_buffer"] = torch.tensor([3.0], dtype=torch.float64)
    controls = Controls(optimizer, (LearningRate(), Momentum()), "global", like=LIKE)
    step = Displacement(optimizer, like=LIKE)
    sensitivity = Sensitivity(controls, step, like=LIKE)
    w.grad = torch.tensor([0.4], dtype=torch.float64)
    sensitivity.begin([0.2, 0.5])
    step.begin()
    optimizer.step()
    step.end()
    sensitivity.end()
    assert sensitivity.along()[1].item() == pytest.approx(-10 * 0.2 * (0.0525 * 3 + 0.05 * 0.4) * 0.4)


def test_what_works_in_the_forward_pass_is_not_known() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 1)).double()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    controls = Controls(optimizer, (LearningRate(), Dropout(network)), "tensor", like=LIKE)
    step = Displacement(optimizer, like=LIKE)
    sensitivity = Sensitivity(controls, step, like=LIKE)
    loss(network, 0).backward()
    sensitivity.begin(controls.given)
    step.begin()
    optimizer.step()
    step.end()
    sensitivity.end()
    assert sensitivity.along().isnan().tolist() == [False, False, True]


def resumed(make: Callable[[], Sensitivity], state: dict) -> Sensitivity:
    fresh = make()
    fresh.load_state_dict(state)
    return fresh


def test_it_resumes() -> None:
    network, controls = begun("sgd", ALONG["sgd"], "group")
    step = Displacement(controls.optimizer, like=LIKE)
    sensitivity = Sensitivity(controls, step, like=LIKE)
    sensitivity.begin(controls.given)
    step.begin()
    controls.optimizer.step()
    step.end()
    sensitivity.end()
    loss(network, 6).backward()
    again = resumed(lambda: Sensitivity(controls, step, like=LIKE), copy.deepcopy(sensitivity.state_dict()))
    assert torch.equal(again.along(), sensitivity.along())
