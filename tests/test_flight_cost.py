"""Bare and piloted runs are measured on the same footing. (What a pilot costs is for the bench to say.)"""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.runs import SHAPES, Shape, Still, measure_flight
from lrpilot.pilot.controller import Pilot


def small(generator):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(12, 10))


def test_the_bare_run_is_the_unit():
    costs = measure_flight(Shape(small, (3, 4), 70), runs=1)
    assert [cost.kind for cost in costs] == ["plain SGD", "the pilot, on the average", "making a pilot, once"]
    assert costs[0].ratio == 1.0
    assert all(cost.milliseconds > 0 for cost in costs)


def test_a_still_pilot_decides_and_leaves_the_rate_alone():
    model = small(None)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    pilot = Pilot(optimizer, total_steps=40, policy=Still())
    for _ in range(40):
        loss = model(torch.ones(2, 12)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pilot.step(loss)
    assert len(pilot.history.decisions) > 20
    assert pilot.history["rate"].unique().numel() == 1


def test_every_shape_fits_its_network():
    for shape in SHAPES.values():
        network = shape.network(torch.Generator().manual_seed(0))
        assert network(torch.zeros(2, *shape.inputs)).shape == (2, 10)
