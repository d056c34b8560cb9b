"""Runs of a few steps, on little data, or resumed without the pilot: cases L24, L31 and L32."""

from __future__ import annotations

import pytest
import torch
from sklearn.datasets import make_moons
from torch import nn

from loops import network, train
from lrpilot.pilot.controller import Pilot
from scripted import Reactive

cross_entropy = nn.functional.cross_entropy


def test_a_resume_without_the_pilots_state():
    """Case L24: it begins a new run at a tenth of what the user gave, not of where the last one stood."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
    train(Pilot(optimizer, 100, policy=Reactive()), model, 40)
    saved = optimizer.state_dict()
    assert saved["param_groups"][0]["lr"] != 0.02
    again = torch.optim.SGD(network().parameters(), lr=0.02)
    again.load_state_dict(saved)
    Pilot(again, 100, policy=Reactive())
    assert again.param_groups[0]["lr"] == pytest.approx(0.002)


def two_moons(seed, *, lr, piloted):
    """The loss after 300 steps on all of the data."""
    inputs, targets = make_moons(200, noise=0.1, random_state=seed)
    inputs, targets = torch.tensor(inputs, dtype=torch.float32), torch.tensor(targets)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    pilot = Pilot(optimizer, 300, network=model) if piloted else None
    for _ in range(300):
        loss = cross_entropy(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if pilot is not None:
            pilot.step(loss)
    return cross_entropy(model(inputs), targets).item()


@pytest.mark.parametrize("lr", [0.1, *(pytest.param(lr, marks=pytest.mark.integration) for lr in (1e-3, 10.0))])
@pytest.mark.parametrize("seed", range(5))
def test_two_moons(seed, lr):
    """Case L31: no worse than the rate of 1, about the best that stays the same."""
    assert two_moons(seed, lr=lr, piloted=True) <= two_moons(seed, lr=1.0, piloted=False)


@pytest.mark.parametrize("lr", [1e-3, 0.1, 1.0])
@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam])
def test_labels_that_say_nothing(kind, lr):
    """Case L32: after twenty batches of noise the mean loss is below the untrained one (it was 2.7 times that)."""
    ratios = []
    for seed in range(5):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
        inputs, targets = torch.randn(640, 8), torch.randint(3, (640,))
        untrained = cross_entropy(model(inputs), targets).item()
        optimizer = kind(model.parameters(), lr=lr)
        pilot = Pilot(optimizer, 20, network=model)
        for rows in torch.arange(640).split(32):
            loss = cross_entropy(model(inputs[rows]), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            pilot.step(loss)
        ratios.append(cross_entropy(model(inputs), targets).item() / untrained)
    assert sum(ratios) / 5 < 1
    assert max(ratios) < 1.05
