"""The peers' optimizers: made, trained with, evaluated at the right weights."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from lrpilot.baselines.peers import PEERS, effective_rate, evaluation_weights


def quadratic(make, steps, curvature=1.0):
    """Minimise curvature |w - 3|^2 / 2 from 0; returns the parameter and the optimizer."""
    w = nn.Parameter(torch.zeros(4))
    optimizer = make([w])
    for _ in range(steps):
        optimizer.zero_grad()
        (0.5 * curvature * (w - 3.0).square().sum()).backward()
        optimizer.step()
    return w, optimizer


@pytest.mark.parametrize("name", PEERS)
def test_every_peer_finds_the_minimum_at_its_own_settings(name):
    w, optimizer = quadratic(PEERS[name], 3000)
    with evaluation_weights(optimizer):
        assert torch.allclose(w, torch.full((4,), 3.0), atol=0.3)
    assert 0.0 < effective_rate(optimizer) < 100.0


@pytest.mark.parametrize("name", ["schedule-free-sgd", "schedule-free-adamw"])
def test_schedule_free_is_evaluated_at_its_average(name):
    w, optimizer = quadratic(PEERS[name], 5, curvature=0.2)
    training = w.detach().clone()
    with evaluation_weights(optimizer):
        average = w.detach().clone()
    assert torch.allclose(w, training)
    assert not torch.allclose(average, training, rtol=1e-3)
    state = optimizer.state[w]  # y = (1 - beta) z + beta x with beta 0.9
    assert torch.allclose(0.1 * state["z"] + 0.9 * average, training, atol=1e-6)
    with pytest.raises(KeyError), evaluation_weights(optimizer):
        raise KeyError
    assert torch.allclose(w, training)


def test_others_are_left_alone():
    w, optimizer = quadratic(lambda p: torch.optim.SGD(p, 0.1), 3)
    before = w.detach().clone()
    with evaluation_weights(optimizer):
        assert torch.equal(w, before)
    assert effective_rate(optimizer) == 0.1


def test_effective_rate_of_an_adapted_distance():
    _, optimizer = quadratic(PEERS["prodigy"], 50)
    assert effective_rate(optimizer) == optimizer.param_groups[0]["d"] != 1.0


@pytest.mark.integration
def test_packages_are_imported_when_used():
    code = (
        "import sys, lrpilot.baselines.peers; "
        "sys.exit(any(name in sys.modules for name in ('prodigyopt', 'dadaptation', 'schedulefree')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_peer_is_at_the_setting_its_authors_recommend():
    """Prodigy and D-Adaptation: "Leave LR set to 1"; Schedule-Free: the packages' defaults."""
    rates = {name: make([nn.Parameter(torch.zeros(1))]).param_groups[0]["lr"] for name, make in PEERS.items()}
    assert rates == {
        "prodigy": 1.0,
        "d-adaptation-sgd": 1.0,
        "d-adaptation-adam": 1.0,
        "schedule-free-sgd": 1.0,
        "schedule-free-adamw": 0.0025,
    }
