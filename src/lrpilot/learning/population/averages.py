"""What gradients and updates of an interval say, summed up step by step for all runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lrpilot.pilot.features import Interval

if TYPE_CHECKING:
    from torch import Tensor


class IntervalAverages:
    """What gradients and updates say, averaged over the measured steps of one interval."""

    def __init__(self, runs: int) -> None:
        zero = torch.zeros(runs)
        self._steps = self._pairs = 0
        self._gradient_norm, self._update_norm, self._decrease = zero, zero.clone(), zero.clone()
        self._gradient_cosine, self._update_cosine, self._next = zero.clone(), zero.clone(), zero.clone()
        self._last: tuple[Tensor, Tensor, Tensor, Tensor] | None = None
        self._weights: Tensor | None = None

    def before(self, gradient: Tensor, weights: Tensor) -> None:
        """To be called with the gradient, before the optimizer's step."""
        self._norm = gradient.norm(dim=1)
        self._gradient_norm = self._gradient_norm + self._norm
        self._weights = weights.clone()
        if self._last is not None:
            last, last_norm, update, update_norm = self._last
            descent = -(update * gradient).sum(1)
            self._pairs += 1
            self._next = self._next + descent
            self._update_cosine = self._update_cosine + descent / (update_norm * self._norm + 1e-30)
            self._gradient_cosine += (last * gradient).sum(1) / (last_norm * self._norm + 1e-30)

    def after(self, gradient: Tensor, weights: Tensor) -> None:
        """To be called with the same gradient, after the optimizer's step."""
        update = weights - self._weights if self._weights is not None else torch.zeros_like(weights)
        norm = update.norm(dim=1)
        self._steps += 1
        self._update_norm = self._update_norm + norm
        self._decrease = self._decrease - (gradient * update).sum(1)
        self._last = gradient, self._norm, update, norm

    @property
    def last_update(self) -> Tensor:
        """[run, parameter], of the last step."""
        return self._last[2] if self._last is not None else torch.zeros(0)

    def interval(self, losses: Tensor, weights: Tensor, tensor_updates: Tensor) -> Interval:
        """The interval that ends here."""
        nan = torch.full_like(self._next, torch.nan)
        return Interval.unmeasured(
            losses,
            gradient_cosine=self._gradient_cosine / self._pairs if self._pairs else nan,
            update_cosine=self._update_cosine / self._pairs if self._pairs else nan,
            decrease=self._decrease / self._steps,
            next_decrease=self._next / self._pairs if self._pairs else nan,
            gradient_norm=self._gradient_norm / self._steps,
            update_norm=self._update_norm / self._steps,
            weight_norm=weights.norm(dim=1),
            tensor_update=tensor_updates.sort(1).values[:, tensor_updates.shape[1] // 2],
            largest_tensor_update=tensor_updates.amax(1),
        )
