"""What torch makes tensors of when nobody says."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch


@contextmanager
def own_defaults() -> Generator[None]:
    """Float32 on the CPU, which the pilot computes in, whatever the user has set as default dtype and device."""
    dtype, probe = torch.get_default_dtype(), torch.empty(0)
    if dtype == torch.float32 and probe.is_cpu:
        yield
        return
    torch.set_default_dtype(torch.float32)
    try:
        with torch.device("cpu"):
            yield
    finally:
        torch.set_default_dtype(dtype)
