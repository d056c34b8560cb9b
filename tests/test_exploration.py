"""Noise of the right size."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lrpilot import InvalidArgument
from lrpilot.online.exploration import LogNormal


@pytest.mark.parametrize(("step", "sigma"), [(0, 0.3), (3000, 0.15), (10**6, 0.1)])
def test_log_normal_deviation(step: int, sigma: float) -> None:
    explore, generator = LogNormal(start=0.3, end=0.1, time=1000), torch.Generator().manual_seed(0)
    logs = np.log([explore(np.array([0.2]), step, generator) for _ in range(2000)])
    assert logs.std(ddof=1) == pytest.approx(sigma, rel=0.06)
    assert logs.mean() == pytest.approx(math.log(0.2), abs=0.03)


def test_a_deviation_that_grows_is_refused() -> None:
    for start, end, named in (
        (0.1, 0.3, r"start .* in \[0\.3, inf\)"),
        (0.1, -0.1, "end"),
        (float("nan"), 0.1, "start"),
    ):
        with pytest.raises(InvalidArgument, match=f"^{named}"):
            LogNormal(start=start, end=end)
    assert LogNormal(start=0.0, end=0.0).end == 0.0  # no noise at all
    assert LogNormal(time=0.5).time == 0.5
    for time in (0.0, -0.5):
        with pytest.raises(InvalidArgument, match=rf"^time must be a number in \(0, inf\], got {time}$"):
            LogNormal(time=time)


@pytest.mark.parametrize(("step", "sigma"), [(0, 0.2), (1000, 0.2 / math.sqrt(2)), (10**6, 0.1)])
def test_log_normal_begins_at_a_fifth_and_ends_at_a_tenth(step: int, sigma: float) -> None:
    """A fifth of the rate is contrast enough for the critic and hurts no step; a tenth is what a settled rate bears."""
    explore, twin = LogNormal(), torch.Generator().manual_seed(3)
    rate = explore(np.array([0.5]), step, torch.Generator().manual_seed(3))
    noise = torch.randn(1, generator=twin)
    assert rate.tolist() == pytest.approx([0.5 * math.exp(sigma * noise.item())], rel=1e-5)
