"""The hand-made schedules at steps where their value is known."""

import pytest
import torch
from torch import nn

from lrpilot.baselines.schedules import cosine, inverse_time
from lrpilot.errors import InvalidArgument


def rates(make_schedule, steps, lr=0.5):
    optimizer = torch.optim.SGD(
        [{"params": [nn.Parameter(torch.ones(1))]}, {"params": [nn.Parameter(torch.ones(1))], "lr": 2 * lr}],
        lr=lr,
    )
    schedule = make_schedule(optimizer)
    trace = []
    for _ in range(steps):
        trace.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    return torch.tensor(trace, dtype=torch.float64)


def test_inverse_time():
    trace = rates(lambda o: inverse_time(o, 0.25), 13)
    assert trace[[0, 1, 4, 12], 0].tolist() == pytest.approx([0.5, 0.4, 0.25, 0.125])
    assert torch.allclose(trace[:, 1], 2 * trace[:, 0])
    assert torch.equal(rates(lambda o: inverse_time(o, 0.0), 5)[:, 0], torch.full((5,), 0.5, dtype=torch.float64))


def test_cosine():
    trace = rates(lambda o: cosine(o, 12), 13)[:, 0]
    assert trace[[0, 4, 6, 8, 12]].tolist() == pytest.approx([0.5, 0.375, 0.25, 0.125, 0.0], abs=1e-12)


def test_settings_out_of_range_are_named():
    assert rates(lambda o: cosine(o, 1), 2)[:, 0].tolist() == pytest.approx([0.5, 0.0], abs=1e-12)  # the shortest run
    with pytest.raises(InvalidArgument, match="gamma"):
        rates(lambda o: inverse_time(o, -1.0), 1)
    with pytest.raises(InvalidArgument, match="total_steps"):
        rates(lambda o: cosine(o, 0), 1)
