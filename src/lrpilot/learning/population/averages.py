"""What gradients and updates of an interval say, summed up step by step for all runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lrpilot.pilot.interval import Interval

if TYPE_CHECKING:
    from torch import Tensor


class IntervalAverages:
    """What gradients and updates say, averaged over the measured steps of one interval.

    Args:
        before: those of the interval before, if it was measured up to the very step before this one's first.
        kept: the runs for which that holds; the others were taken back between.
    """

    def __init__(self, runs: int, *, before: IntervalAverages | None = None, kept: Tensor | None = None) -> None:
        zero = torch.zeros(runs)
        self._steps, self._pairs = 0, zero.clone()
        self._gradient_norm, self._update_norm, self._decrease = zero, zero.clone(), zero.clone()
        self._gradient_cosine, self._update_cosine, self._next = zero.clone(), zero.clone(), zero.clone()
        self._last = before._last if before is not None else None
        self._known = torch.ones(runs, dtype=torch.bool) if kept is None else kept
        self._weights: Tensor | None = None

    def before(self, gradient: Tensor, weights: Tensor) -> None:
        """To be called with the gradient, before the optimizer's step."""
        self._norm = gradient.norm(dim=1)
        self._gradient_norm = self._gradient_norm + self._norm
        self._weights = weights.clone()
        if self._last is not None:
            last, last_norm, update, update_norm = self._last
            descent = -(update * gradient).sum(1)
            product = (last * gradient).sum(1)
            self._pairs += self._known
            self._next += torch.where(self._known, descent, 0.0)
            self._update_cosine += torch.where(self._known, descent / (update_norm * self._norm + 1e-30), 0.0)
            self._gradient_cosine += torch.where(self._known, product / (last_norm * self._norm + 1e-30), 0.0)

    def after(self, gradient: Tensor, weights: Tensor) -> None:
        """To be called with the same gradient, after the optimizer's step."""
        update = weights - self._weights if self._weights is not None else torch.zeros_like(weights)
        norm = update.norm(dim=1)
        self._steps += 1
        self._update_norm = self._update_norm + norm
        self._decrease = self._decrease - (gradient * update).sum(1)
        self._last = gradient, self._norm, update, norm
        self._known = torch.ones_like(self._known)

    @property
    def last_update(self) -> Tensor:
        """[run, parameter], of the last step."""
        return self._last[2] if self._last is not None else torch.zeros(0)

    def interval(self, losses: Tensor, weights: Tensor, tensor_updates: Tensor) -> Interval:
        """The interval that ends here; tensor_updates: [run, matrix], |dw| / |w| of each in the last step."""
        pairs = torch.where(self._pairs > 0, self._pairs, torch.nan)
        return Interval.unmeasured(
            losses,
            gradient_cosine=self._gradient_cosine / pairs,
            update_cosine=self._update_cosine / pairs,
            decrease=self._decrease / self._steps,
            next_decrease=self._next / pairs,
            gradient_norm=self._gradient_norm / self._steps,
            update_norm=self._update_norm / self._steps,
            weight_norm=weights.norm(dim=1),
            tensor_update=tensor_updates.sort(1).values[:, tensor_updates.shape[1] // 2],
            largest_tensor_update=tensor_updates.amax(1),
        )
