"""What makes the host wait for a device, counted on the CPU, and that the pilot's steps between decisions do not."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks.host_reads import HostReads, reads_by_step
from benchmarks.small_runs import plain, problem, rows
from lrpilot.pilot.controller import Pilot

STEPS = 60


@pytest.mark.parametrize(
    "reading",
    [
        lambda t: t[0].item(),
        lambda t: float(t[0]),
        lambda t: bool(t[0] > 0),
        lambda t: t[t > 0],
        lambda t: t.nonzero(),
        lambda t: torch.equal(t, t + 1),
        lambda t: t.index_put_((t > 0,), torch.tensor(2.0)),
    ],
)
def test_what_reads(reading):
    values = torch.arange(4.0)
    with HostReads("cpu") as reads:
        reading(values)
    assert len(reads.seen) == 1


def test_what_does_not_read():
    values = torch.arange(4.0, requires_grad=True)
    with HostReads("cpu") as reads:
        chosen = values[torch.tensor([0, 2])]
        torch.where(values > 0, values, 0.0).sum().backward()
        torch.linalg.vector_norm(chosen.detach()).reshape(1, 1).expand(2, 2).clone()
    assert reads.seen == []


def test_copies_to_the_host_read_and_copies_from_it_do_not():
    """On a device that is not there: nothing is computed."""
    with FakeTensorMode():
        there = torch.empty(3, device="cuda")
        with HostReads("cuda") as reads:
            there.cpu()
            torch.empty(3).copy_(there)
            there.to(torch.float64)
            there.copy_(torch.empty(3))
    assert reads.seen == ["aten._to_copy.default", "aten.copy_.default"]


class Elsewhere(torch.Tensor):
    """A loss as on a device: of one on the CPU the pilot keeps a plain number, read where nobody waits."""

    is_cpu = property(lambda self: False)


@pytest.mark.parametrize("total_steps", [STEPS, None])
@pytest.mark.parametrize("name", ["relu", "batch norm"])
def test_between_its_decisions_the_pilot_reads_nothing(name, total_steps):
    task = problem(name, 0)
    pilot = Pilot(torch.optim.SGD(task.network.parameters(), lr=0.01, momentum=0.9), total_steps, network=task.network)
    step = plain(task, pilot.optimizer)
    counts = reads_by_step(lambda chosen: pilot.step(step(chosen).as_subclass(Elsewhere)), rows(16, STEPS, 0), "cpu")
    decided = {decision.step for decision in pilot.history.decisions} | {total_steps}
    assert [number for number, count in enumerate(counts, start=1) if count > 0 and number not in decided] == []
    assert sum(counts) > 0  # at its decisions it does
    assert len(counts) == STEPS > len(decided)
