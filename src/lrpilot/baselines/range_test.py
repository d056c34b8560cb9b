"""The learning-rate range test (Smith, 2017) as people run it today: fastai's ``lr_find``."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch.optim import Optimizer

LOWEST, HIGHEST = 1e-7, 10.0  # rates, of the first step and of the last
STEPS = 100
SMOOTHING = 0.98  # of the mean loss, bias-corrected
BLOWN_UP = 4.0  # times the least smoothed loss: the test ends


class RangeTest:
    """Raises the rate exponentially, step by step, and watches the smoothed loss.

    Args:
        optimizer: whose rate is set, here and after each step.
        steps: from :data:`LOWEST` to :data:`HIGHEST`, at least 2.
    """

    def __init__(self, optimizer: Optimizer, steps: int = STEPS) -> None:
        self.over = False
        """Whether the loss has blown up: nothing is to be learned from further steps."""
        self._optimizer = optimizer
        self._steps = steps
        self._mean = 0.0
        self._rates: list[float] = []
        self._losses: list[float] = []
        self._set()

    @property
    def rate(self) -> float:
        """The rate of the step to come."""
        return LOWEST * (HIGHEST / LOWEST) ** (len(self._rates) / (self._steps - 1))

    def step(self, loss: float) -> None:
        """After a step at :attr:`rate`, with the loss before it."""
        self._mean = SMOOTHING * self._mean + (1 - SMOOTHING) * loss
        smoothed = self._mean / (1 - SMOOTHING ** (len(self._losses) + 1))
        self.over = not math.isfinite(smoothed) or smoothed > BLOWN_UP * min([*self._losses, math.inf])
        if not self.over:
            self._rates.append(self.rate)
            self._losses.append(smoothed)
            self._set()

    def suggestion(self) -> float:
        """The rate in the valley of the losses, their first tenth and last five left out where enough remain."""
        part = slice(self._steps // 10, -5)
        if len(self._losses[part]) < 2:
            part = slice(None)
        return self._rates[part][valley(self._losses[part])] if self._losses else LOWEST

    def _set(self) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = self.rate


def valley(losses: Sequence[float]) -> int:
    """The place half-way down the longest falling subsequence, as fastai counts it; 0 where nothing falls.

    Of subsequences of one length the one that ends first counts, and it is taken for a stretch without gaps, which
    begins where fastai's loop first found it to be the longest.
    """
    lengths, begin, end = [1] * len(losses), 0, 0
    for place in range(1, len(losses)):
        for earlier in range(place):
            if losses[place] < losses[earlier]:
                lengths[place] = max(lengths[place], lengths[earlier] + 1)
            if lengths[end] < lengths[place]:
                begin, end = place - lengths[place], place
    third = (end - begin) / 3
    return max(0, begin + int(third) + int(third / 2))
