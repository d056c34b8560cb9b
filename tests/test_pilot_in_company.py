"""The pilot beside what else touches a training loop: compiled steps, loss scaling, several processes."""

from __future__ import annotations

import multiprocessing

import pytest
import torch
import torch.distributed as dist
from torch import nn

from lrpilot.pilot.controller import Pilot
from scripted import Reactive

STEPS = 60


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 1))


def batch(step, rows=slice(None)):
    inputs = torch.randn(16, 6, generator=torch.Generator().manual_seed(step))
    return inputs[rows], inputs[rows, :2].sum(1, keepdim=True)


# torch.compile itself reads the loss's .grad where a graph breaks.
@pytest.mark.integration
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize("what", ["model", "in place", "optimizer", "whole step"])
def test_compiled_steps(what):
    def run(compiled):
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        model = network()
        rate = torch.tensor(0.01)
        optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
        pilot = Pilot(optimizer, STEPS, policy=Reactive())
        forward, advance = model, optimizer.step
        if compiled and what == "model":
            forward = torch.compile(model, backend="eager")
        if compiled and what == "in place":
            model.compile(backend="eager")
        if compiled and what == "optimizer":
            advance = torch.compile(optimizer.step, backend="eager")

        def step(inputs, targets):
            optimizer.zero_grad()
            loss = (forward(inputs) - targets).square().mean()
            loss.backward()
            advance()
            return loss.detach()

        if compiled and what == "whole step":
            step = torch.compile(step, backend="eager")
        frames = 0
        for number in range(STEPS):
            pilot.step(step(*batch(number)))
            if number == 5:
                frames = torch._dynamo.utils.counters["frames"]["total"]
        assert torch._dynamo.utils.counters["frames"]["total"] <= frames + 4  # not compiled again at each decision
        assert optimizer.param_groups[0]["lr"] is rate
        return pilot.history["rate"]

    torch.testing.assert_close(run(True), run(False), rtol=1e-2, atol=0)


@pytest.mark.parametrize("fused", [True, False])
def test_loss_scaling(fused):
    def run(scaled):
        model = network()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01, fused=fused)
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16, enabled=scaled)
        pilot = Pilot(optimizer, STEPS, policy=Reactive())
        for step in range(STEPS):
            inputs, targets = batch(step)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=scaled):
                loss = (model(inputs) - targets).square().mean()
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
            pilot.step(loss)
        return pilot.history

    scaled, plain = run(True), run(False)
    for mine, theirs in zip(scaled.decisions[:5], plain.decisions[:5], strict=True):
        assert mine.features == pytest.approx(theirs.features, abs=0.3)
    assert scaled["loss"][-1] < scaled["loss"][0]


def fly_on_a_rank(rank, store, queue):
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    alone = [dist.new_group([r]) for r in range(2)][rank]
    results = []
    for group in (None, alone):
        model = nn.parallel.DistributedDataParallel(network()) if group is None else network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        pilot = Pilot(optimizer, STEPS, policy=Reactive(), process_group=group)
        for step in range(STEPS):
            inputs, targets = batch(step, slice(8 * rank, 8 * rank + 8))
            loss = (model(inputs) - targets).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            pilot.step(loss)
        decisions = [(d.step, d.loss, d.features) for d in pilot.history.decisions]
        results.append((pilot.history["rate"].tolist(), pilot.history["loss"].tolist(), decisions))
    queue.put((rank, results))
    dist.destroy_process_group()


@pytest.mark.integration
def test_ranks_decide_alike(tmp_path):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    ranks = [context.Process(target=fly_on_a_rank, args=(rank, tmp_path / "store", queue)) for rank in range(2)]
    for process in ranks:
        process.start()
    results = dict(queue.get(timeout=100) for _ in ranks)
    for process in ranks:
        process.join(30)
        assert process.exitcode == 0
    (rates, losses, decisions), (own_rates, _, own_decisions) = results[0]
    (other_rates, other_losses, other_decisions), (others_own_rates, _, others_own_decisions) = results[1]
    assert losses != other_losses
    assert rates == other_rates
    assert decisions == other_decisions
    step, loss, _ = decisions[0]
    assert loss == pytest.approx((sum(losses[:step]) + sum(other_losses[:step])) / (2 * step))
    # Negative control: each in a group of its own, they drift apart.
    assert own_rates != others_own_rates
    assert own_decisions != others_own_decisions
