"""Snapshots: everything goes back, in place."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lrpilot.core.snapshot import Snapshot


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
            held = [p.data_ptr() for p in net.parameters()]
            for _ in range(2):
                step(1e3)
            snapshot.restore()
            assert held == [p.data_ptr() for p in net.parameters()]
        for _ in range(2):
            step(1.0)
        return [*net.parameters(), *net.buffers()]

    for plain, restored in zip(train(False), train(True), strict=True):
        assert torch.equal(plain, restored)
