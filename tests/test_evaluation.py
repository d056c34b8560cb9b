"""A second look at a loss that leaves no trace."""

from __future__ import annotations

import copy
import threading

import pytest
import torch
from torch import nn

from lrpilot.online.evaluation import Evaluator


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))


def test_running_statistics_move_once_a_step() -> None:
    net, twin = network(), network()
    evaluator = Evaluator(shared_masks=False)
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
    evaluator = Evaluator(shared_masks=False)
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
    first, second = (evaluator.extra_pass(lambda x: net(x).square().mean(), batch) for _ in range(2))
    assert torch.equal(loss, first) == shared
    assert torch.equal(first, second) == shared


def test_shared_masks_leave_the_random_stream_alone() -> None:
    """Whatever the extra pass draws of it: here twice as many numbers, for a batch of twice the size."""
    net, twin = network(), network()
    evaluator = Evaluator(shared_masks=True)
    torch.manual_seed(1)
    for _ in range(2):
        evaluator.training_pass(lambda x: net(x).mean(), torch.ones(8, 4))
        evaluator.extra_pass(lambda x: net(x).mean(), torch.ones(16, 4))
    drawn = torch.rand(1)
    torch.manual_seed(1)
    twin(torch.ones(8, 4))
    twin(torch.ones(8, 4))
    assert torch.equal(drawn, torch.rand(1))


def test_a_buffer_that_a_pass_replaces_is_put_back_where_it_stands() -> None:
    """As modules do that compute a statistic and assign it."""

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("seen", torch.zeros(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.seen = self.seen + 1
            return x.sum()

    net, evaluator = Counting(), Evaluator(shared_masks=False)
    for step in range(1, 4):
        evaluator.training_pass(net, torch.ones(2))
        evaluator.extra_pass(net, torch.ones(2))
        assert net.seen == step


def test_modules_that_another_thread_calls_are_none_of_its_business() -> None:
    mine, theirs = network(), network()
    evaluator = Evaluator(shared_masks=False)

    def loss_fn(batch: torch.Tensor) -> torch.Tensor:
        thread = threading.Thread(target=theirs, args=(batch,))
        thread.start()
        thread.join()
        return mine(batch).mean()

    evaluator.training_pass(loss_fn, torch.ones(8, 4))
    assert {id(buffer) for buffer in evaluator.buffers()} == {id(buffer) for buffer in mine.buffers()}


def test_an_error_is_explained_where_the_loss_takes_gradients_of_its_own() -> None:
    evaluator, w = Evaluator(shared_masks=False), nn.Parameter(torch.ones(2))

    def broken(batch: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("of another kind")

    with pytest.raises(RuntimeError, match="does not require grad") as failure:
        evaluator.extra_pass(lambda x: torch.autograd.grad((w * x).sum(), w)[0].sum(), torch.ones(2))
    assert "torch.enable_grad()" in failure.value.__notes__[0]
    with pytest.raises(RuntimeError, match="of another kind") as failure:
        evaluator.extra_pass(broken, torch.ones(2))
    assert not hasattr(failure.value, "__notes__")


@pytest.mark.skipif(not hasattr(torch.compiler, "set_stance"), reason="torch 2.6 is the first that can leave it out")
def test_a_compiled_network_is_compiled_from_the_second_pass_on() -> None:
    """What is traced in the first would have the hook that notes which modules are called."""
    compiled: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, _: object) -> object:
        compiled.append(graph)
        return graph.forward

    network = torch.compile(nn.Linear(3, 1), backend=backend)
    evaluator, counts = Evaluator(shared_masks=False), []
    for _ in range(3):
        evaluator.training_pass(lambda batch: network(batch).sum(), torch.ones(2, 3))
        counts.append(len(compiled))
    assert counts == [0, 1, 1]
