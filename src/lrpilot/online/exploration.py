"""Exploration: how the executed rate departs from the actor's (deviation D7). The paper explores nothing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from lrpilot.core.arguments import number_in

from .arrays import Array

if TYPE_CHECKING:
    from jaxtyping import Float


class LogNormal:
    """Multiplies each number of an action by ``exp(sigma n)``, n standard normal, sigma falling from start to end.

    Without it the rate changes by about a hundredth from step to step, too little for the TD error to show how the
    value depends on it.

    Args:
        start: standard deviation of the log rate at step 0.
        end: the least standard deviation, to which it falls as ``1 / sqrt(1 + step / time)``.
        time: in steps. A longer one explores longer.
    """

    def __init__(self, start: float = 0.2, end: float = 0.1, time: float = 1000.0) -> None:
        self.end = number_in("end", 0, math.inf, end, ends="[)")
        self.start = number_in("start", end, math.inf, start, ends="[)")
        self.time = number_in("time", 0, math.inf, time, ends="(]")

    def __call__(self, rate: Float[Array, " action"], step: int, generator: torch.Generator) -> Float[Array, " action"]:
        """The executed numbers at ``step``."""
        sigma = max(self.end, self.start / math.sqrt(1 + step / self.time))
        noise = torch.randn(rate.shape, generator=generator, dtype=torch.float32, device="cpu").numpy()
        return rate * np.exp(sigma * noise)
