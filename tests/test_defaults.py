"""What torch makes tensors of while the pilot computes."""

from __future__ import annotations

from contextlib import suppress

import pytest
import torch

from lrpilot.pilot.defaults import own_defaults


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_float32_on_the_cpu_and_then_what_it_was(dtype: torch.dtype, device: str) -> None:
    torch.set_default_dtype(dtype)
    torch.set_default_device(device)
    try:
        with suppress(ZeroDivisionError), own_defaults():
            own = torch.empty(1)
            raise ZeroDivisionError
        users = torch.empty(1)
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    assert (own.dtype, own.device.type) == (torch.float32, "cpu")
    assert (users.dtype, users.device.type) == (dtype, device)


def test_tensors_made_in_inference_mode_may_be_changed_after_it() -> None:
    """And no gradient is recorded, as in that mode; outside of it nothing is changed."""
    with torch.inference_mode(), own_defaults():
        own, records = torch.empty(1), torch.is_grad_enabled()
    assert not own.is_inference()
    assert not records
    with own_defaults():
        assert torch.is_grad_enabled()
