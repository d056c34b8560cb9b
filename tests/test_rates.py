"""One rate into many groups."""

from __future__ import annotations

import pytest
import torch

from lrpilot import InvalidArgument
from lrpilot.core.knobs import LearningRates


def optimizer(*rates: object) -> torch.optim.Optimizer:
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates]
    return torch.optim.SGD(groups, lr=0.1)


def test_ratios_are_kept() -> None:
    rates = LearningRates(optimizer(0.1, 0.01))
    rates.write(torch.tensor(0.5))
    assert rates.last() == pytest.approx([0.5, 0.05])


def test_a_tensor_is_filled_in_place() -> None:
    held = torch.tensor(0.1)
    driven = optimizer(held, 0.2)
    rates = LearningRates(driven)
    rates.write(torch.tensor(0.4))
    assert driven.param_groups[0]["lr"] is held
    assert rates.last() == pytest.approx([0.4, 0.8])


def test_a_group_that_joins_later_keeps_its_ratio_to_the_present_rate() -> None:
    driven = optimizer(0.1)
    rates = LearningRates(driven)
    rates.write(0.4)
    driven.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.2})
    rates.write(0.8)
    assert rates.last() == pytest.approx([0.8, 0.4])


@pytest.mark.parametrize("rate", [0.0, float("nan"), float("inf")])
def test_a_start_rate_that_cannot_be_scaled_is_refused(rate: float) -> None:
    driven = optimizer(0.1)
    driven.param_groups[0]["lr"] = rate
    with pytest.raises(InvalidArgument, match="the optimizer's learning rate must be a finite number above 0"):
        LearningRates(driven)


def test_what_is_no_optimizer_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"optimizer must be a torch\.optim\.Optimizer, got 'list'"):
        LearningRates([])  # type: ignore[arg-type]
