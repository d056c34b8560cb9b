"""A second look at a loss that leaves no trace."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from lrpilot.online.evaluation import Displacement, Evaluator


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))


def test_running_statistics_move_once_a_step() -> None:
    net, twin = network(), network()
    evaluator = Evaluator()
    for _ in range(3):
        batch = torch.randn(16, 4)
        evaluator.training_pass(lambda x: net(x).mean(), batch)
        evaluator.extra_pass(lambda x: net(x).mean(), batch)
        evaluator.extra_pass(lambda x: net(x).mean(), torch.randn(16, 4))
        twin(batch)
        for mine, plain in zip(net.buffers(), twin.buffers(), strict=True):
            assert torch.equal(mine, plain)
    assert net[1].num_batches_tracked == 3


def test_without_care_they_would_have_moved() -> None:
    """Negative control."""
    net = network()
    before = copy.deepcopy(net[1].running_mean)
    with torch.no_grad():
        net(torch.randn(16, 4) + 5)
    assert not torch.equal(before, net[1].running_mean)


def test_an_extra_pass_uses_batch_statistics_and_has_no_graph() -> None:
    net = network()
    net[2].p = 0.0
    evaluator = Evaluator()
    batch = torch.randn(16, 4) * 3
    loss = evaluator.training_pass(lambda x: net(x).square().mean(), batch)
    extra = evaluator.extra_pass(lambda x: net(x).square().mean(), batch)
    torch.testing.assert_close(extra, loss.detach())
    assert not extra.requires_grad


@pytest.mark.parametrize("shared", [True, False])
def test_dropout_masks_are_shared_only_when_asked(shared: bool) -> None:
    net = network()
    evaluator = Evaluator(shared_masks=shared)
    batch = torch.randn(64, 4)
    loss = evaluator.training_pass(lambda x: net(x).square().mean(), batch).detach()
    assert torch.equal(loss, evaluator.extra_pass(lambda x: net(x).square().mean(), batch)) == shared


def test_shared_masks_leave_the_random_stream_alone() -> None:
    net, twin = network(), network()
    evaluator = Evaluator(shared_masks=True)
    torch.manual_seed(1)
    for _ in range(2):
        evaluator.training_pass(lambda x: net(x).mean(), torch.ones(8, 4))
        evaluator.extra_pass(lambda x: net(x).mean(), torch.ones(8, 4))
    drawn = torch.rand(1)
    torch.manual_seed(1)
    twin(torch.ones(8, 4))
    twin(torch.ones(8, 4))
    assert torch.equal(drawn, torch.rand(1))


def test_displacement_is_the_directional_derivative() -> None:
    torch.manual_seed(0)
    net = nn.Linear(4, 1).double()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    displacement = Displacement(optimizer)
    x, other = torch.randn(8, 4).double(), torch.randn(8, 4).double()
    net(x).square().mean().backward()
    displacement.begin()
    before = [p.detach().clone() for p in net.parameters()]
    optimizer.step()
    displacement.end()
    optimizer.zero_grad()
    net(other).square().mean().backward()
    measured = displacement.decrement()
    moved = [p.detach() - b for p, b in zip(net.parameters(), before, strict=True)]

    def loss_along(t: float) -> torch.Tensor:
        weight, bias = (b + t * m for b, m in zip(before, moved, strict=True))
        return (other @ weight.T + bias).square().mean()

    by_differences = (loss_along(1 - 1e-5) - loss_along(1 + 1e-5)) / 2e-5
    torch.testing.assert_close(measured, by_differences, rtol=1e-6, atol=1e-9)
