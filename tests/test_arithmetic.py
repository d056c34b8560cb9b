"""The same arithmetic on one run's floats as on a population's tensors, which torch defines."""

from __future__ import annotations

import math

import pytest
import torch

from lrpilot.pilot import arithmetic

NUMBERS = [-math.inf, -2.0, -0.0, 0.0, 1e-30, 0.5, 2.0, math.inf, math.nan]


@pytest.mark.parametrize("number", NUMBERS)
def test_of_one_number(number: float) -> None:
    tensor = torch.tensor(number, dtype=torch.float64)
    assert arithmetic.log(number) == pytest.approx(tensor.log().item(), nan_ok=True)
    assert arithmetic.isfinite(number) == tensor.isfinite().item()
    assert arithmetic.isnan(number) == tensor.isnan().item()


@pytest.mark.parametrize("one", NUMBERS)
@pytest.mark.parametrize("other", [-1.0, 0.0, 3.0, math.inf])
def test_of_two_numbers(one: float, other: float) -> None:
    pair = torch.tensor([one, other], dtype=torch.float64)
    for name in ("minimum", "maximum", "ratio"):
        function = getattr(arithmetic, name)
        assert function(one, other) == pytest.approx(function(*pair).item(), nan_ok=True), name
