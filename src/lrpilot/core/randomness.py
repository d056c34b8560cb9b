"""Where random numbers come from: a generator of one's own, never torch's global one."""

from __future__ import annotations

import torch

from lrpilot.errors import InvalidArgument


def own_generator(given: torch.Generator | None) -> torch.Generator:
    """The given generator, or a new one on the CPU, seeded from torch's global one.

    Raises:
        InvalidArgument: the given one is none, or not on the CPU.
    """
    if given is None:
        return torch.Generator("cpu").manual_seed(int(torch.randint(2**62, (), device="cpu")))
    if not isinstance(given, torch.Generator):
        raise InvalidArgument("generator", "a torch.Generator, or None", given)
    if given.device.type != "cpu":
        raise InvalidArgument("generator", "one on the CPU", str(given.device))
    return given
