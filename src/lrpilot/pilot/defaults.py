"""What torch makes tensors of when nobody says."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager

import torch


@contextmanager
def own_defaults() -> Generator[None]:
    """Float32 on the CPU, which the pilot computes in, whatever the user has set as default dtype and device.

    Under `torch.inference_mode` too tensors are made that later steps may change.
    """
    dtype, probe = torch.get_default_dtype(), torch.empty(0)
    with ExitStack() as own:
        if torch.is_inference_mode_enabled():
            own.enter_context(torch.inference_mode(False))
            own.enter_context(torch.no_grad())  # which leaving that mode would end
        if dtype != torch.float32 or not probe.is_cpu:
            torch.set_default_dtype(torch.float32)
            own.callback(torch.set_default_dtype, dtype)
            own.enter_context(torch.device("cpu"))
        yield
