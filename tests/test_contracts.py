"""What every controller owes its user: a table of controllers by contracts."""

from __future__ import annotations

import io
import os
from dataclasses import replace

import pytest
import torch
from torch import nn

from lrpilot.errors import InvalidArgument
from lrpilot.online.controller import OnlineActorCritic
from lrpilot.online.settings import PAPER
from lrpilot.pilot.controller import Pilot
from scripted import Reactive

STEPS = 40
DEVICE = os.environ.get("LRPILOT_DEVICE", "cpu")
"""Where the networks are; `make gpu` says cuda."""


def online(setting):
    return lambda optimizer: OnlineActorCritic(optimizer, setting, generator=torch.Generator().manual_seed(5))


CONTROLLERS = {
    "online, paper": online("paper"),
    "online, stable": online("stable"),
    "online, chunk": online(replace(PAPER, unroll="chunk", critic_batch="other")),
    "pilot": lambda optimizer: Pilot(optimizer, STEPS, policy=Reactive()),
    "pilot, anytime": lambda optimizer: Pilot(optimizer, policy=Reactive()),
    "pilot, rollback": lambda optimizer: Pilot(optimizer, STEPS, policy=Reactive(), rollback=True),
}
PILOTS = [name for name in CONTROLLERS if name.startswith("pilot")]

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.01),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.001),
    "amsgrad, fused": lambda p: torch.optim.Adam(p, lr=0.001, amsgrad=True, fused=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.001, momentum=0.5, centered=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.01),
}

UNDISTURBED = [name for name in CONTROLLERS if name not in ("online, stable", "pilot, rollback")]
"""Those that do not take the network back in these runs, so that a plain run at the same rates is the same run."""

every_controller = pytest.mark.parametrize("name", CONTROLLERS)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(5, 8, bias=False), nn.BatchNorm1d(8), nn.Linear(8, 1)

    def forward(self, inputs):
        return self.last(torch.tanh(self.norm(self.first(inputs))))


def network(dtype=torch.float32):
    torch.manual_seed(0)
    return Net().to(DEVICE, dtype)


def batch(step, dtype=torch.float32):
    inputs = torch.randn(16, 5, generator=torch.Generator().manual_seed(step))
    return inputs.to(DEVICE, dtype), inputs[:, :2].sum(1, keepdim=True).to(DEVICE, dtype)


def drive(controller, model, *, begin=0, end=STEPS, scale=1.0, dtype=torch.float32):
    """Train, and return the losses."""

    def loss_fn(batch):
        inputs, targets = batch
        return scale * (model(inputs) - targets).square().mean()

    losses = []
    for step in range(begin, end):
        if isinstance(controller, Pilot):
            loss = loss_fn(batch(step, dtype))
            controller.optimizer.zero_grad()
            loss.backward()
            controller.optimizer.step()
            controller.step(loss)
        else:
            loss = controller.step(loss_fn, batch(step, dtype))
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("name", ["online, paper", "online, stable", "pilot"])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_any_optimizer_is_driven(name, kind):
    model = network()
    controller = CONTROLLERS[name](OPTIMIZERS[kind](model.parameters()))
    losses = drive(controller, model)
    rates = controller.history["rate"].tolist()
    assert len(rates) == STEPS
    assert len(set(rates)) > 5
    assert all(0 < rate < 1e3 for rate in rates)
    assert controller.history["loss"].tolist() == pytest.approx(losses)
    assert all(parameter.isfinite().all() for parameter in model.parameters())


@every_controller
def test_groups_keep_their_ratios(name):
    model = network()
    groups = [
        {"params": model.first.parameters()},
        {"params": model.norm.parameters(), "lr": 0.05},
        {"params": model.last.parameters(), "lr": torch.tensor(0.0025)},
    ]
    optimizer = torch.optim.SGD(groups, lr=0.01)
    controller = CONTROLLERS[name](optimizer)
    drive(controller, model)
    first, second, third = controller.get_last_lr()
    assert first != 0.01
    assert second / first == pytest.approx(5)
    assert third / first == pytest.approx(0.25)


@every_controller
def test_a_tensor_rate_is_filled_in_place(name):
    model = network()
    rate = torch.tensor(0.01)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, foreach=False)
    controller = CONTROLLERS[name](optimizer)
    drive(controller, model)
    assert optimizer.param_groups[0]["lr"] is rate
    assert rate.item() == pytest.approx(controller.get_last_lr()[0])
    assert rate.item() != pytest.approx(0.01)


@every_controller
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions(name, dtype):
    model = network(dtype)
    controller = CONTROLLERS[name](torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9))
    losses = drive(controller, model, dtype=dtype)
    assert all(parameter.dtype == dtype and parameter.isfinite().all() for parameter in model.parameters())
    assert all(0 < rate < 1e3 for rate in controller.history["rate"].tolist())
    assert len(losses) == STEPS


@every_controller
@pytest.mark.parametrize("how", ["once", "twice, without a step in between", "after a state that was refused"])
@pytest.mark.parametrize("pause", [7, 26])
def test_resume_is_exact(name, pause, how):
    def build():
        model = network()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.003)
        return model, optimizer, CONTROLLERS[name](optimizer)

    model, _, straight = build()
    losses = drive(straight, model)
    first, optimizer, controller = build()
    before = drive(controller, first, end=pause)
    second = first
    for _ in range(2 if how.startswith("twice") else 1):
        file = io.BytesIO()
        torch.save([second.state_dict(), optimizer.state_dict(), controller.state_dict()], file)
        file.seek(0)
        second, optimizer, controller = build()
        for part, state in zip((second, optimizer, controller), torch.load(file, weights_only=False), strict=True):
            part.load_state_dict(state)
    if how.endswith("refused"):
        with pytest.raises(InvalidArgument):
            controller.load_state_dict({**controller.state_dict(), "history": None})
    after = drive(controller, second, begin=pause)
    assert before + after == losses
    assert controller.history["rate"].tolist() == straight.history["rate"].tolist()
    for mine, theirs in zip(second.state_dict().values(), model.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("name", UNDISTURBED)
def test_running_statistics_move_as_in_a_plain_run(name):
    """The same rates in a plain loop lead to the same network, statistics included."""
    model, twin = network(), network()
    controller = CONTROLLERS[name](torch.optim.SGD(model.parameters(), lr=0.1))
    drive(controller, model)
    assert not any(d.back_to is not None for d in getattr(controller.history, "decisions", ()))
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.01)
    schedule = controller.export_schedule(optimizer)
    for step in range(STEPS):
        inputs, targets = batch(step)
        optimizer.zero_grad()
        (twin(inputs) - targets).square().mean().backward()
        optimizer.step()
        schedule.step()
    for key, value in model.state_dict().items():
        torch.testing.assert_close(
            value, twin.state_dict()[key], rtol=1e-3, atol=1e-4, msg=lambda m, k=key: f"{k}: {m}"
        )
    assert twin.norm.num_batches_tracked == model.norm.num_batches_tracked == STEPS


@every_controller
def test_frozen_parameters_stay(name):
    model = network()
    model.first.requires_grad_(False)
    before = model.first.weight.clone()
    controller = CONTROLLERS[name](torch.optim.AdamW(model.parameters(), lr=0.01))
    drive(controller, model)
    assert torch.equal(model.first.weight, before)
    assert not torch.equal(model.last.weight, network().last.weight)


@pytest.mark.parametrize("name", UNDISTURBED)
def test_the_schedule_goes_home(name):
    model = network()
    controller = CONTROLLERS[name](torch.optim.SGD(model.parameters(), lr=0.1))
    drive(controller, model)
    fresh = torch.optim.SGD(network().parameters(), lr=1.0)
    schedule = controller.export_schedule(fresh)
    taken = []
    for _ in range(STEPS):
        taken.extend(schedule.get_last_lr())
        fresh.step()
        schedule.step()
    assert taken == pytest.approx(controller.history["rate"].tolist())


@pytest.mark.parametrize("name", PILOTS)
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_scale_of_the_loss_means_nothing_to_the_pilot(name, scale):
    def rates(scale, make):
        model = network(torch.float64)
        controller = CONTROLLERS[name](make(model.parameters()))
        drive(controller, model, scale=scale, dtype=torch.float64)
        return controller.history["rate"]

    def adam(parameters):
        return torch.optim.Adam(parameters, lr=0.01, eps=1e-30)

    torch.testing.assert_close(rates(scale, adam), rates(1.0, adam), rtol=2e-2, atol=0)
    plain = rates(1.0, lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9))
    scaled = rates(scale, lambda p: torch.optim.SGD(p, lr=0.01 / scale, momentum=0.9))
    torch.testing.assert_close(scaled * scale, plain, rtol=2e-2, atol=0)
