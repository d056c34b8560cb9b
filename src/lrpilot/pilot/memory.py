"""What the pilot remembers of a run between two decisions, and the floor from which losses are measured."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch

from .interval import Interval

if TYPE_CHECKING:
    from torch import Tensor

PROGRESS = math.log(0.97)
"""An untrained network has learned something once an interval's mean log loss lies this far from the first."""

USUAL, STEEPEST = 2.0, 7.0
"""log(|g| |w| / loss) is about the first on most networks, and nowhere near the second at their beginning."""

CHANGED = 1.5
"""A loss this many times the first one is that of another network, or of another loss function."""

LOWEST, HIGHEST = -16.0, 7.0
"""Log losses are held within these distances of the first one."""


class Memory(NamedTuple):
    """What is remembered between decisions, each [*run]; log losses are log((loss - floor) / (first - floor)).

    `_asdict()` gives it to a state_dict, `Memory(**state)` takes it back.
    """

    first: Tensor  # the first loss; NaN before the first observation
    floor: Tensor  # what losses are measured from: 0, unless they come below it
    last: Tensor  # the last interval's mean log loss
    short: Tensor  # running averages of the intervals' mean log losses
    long: Tensor
    best: Tensor  # the lowest interval's mean log loss
    gradient_norm: Tensor  # of the last interval, relative to the first loss
    highest: Tensor  # the highest log(rate / start rate) so far
    mark: Tensor  # the best that the loss had fallen to when it last fell by 3 % or more
    rested: Tensor  # the number of steps since then
    moved: Tensor  # how far the weights have moved since then, in units of their own size: the sum of tensor_update
    back: Tensor  # 1 if the network has been taken back to its start since, and stands there as the interval begins

    @classmethod
    def fresh(cls, shape: tuple[int, ...] = (), *, like: Tensor | None = None) -> Memory:
        """The memory before a run's first observation."""
        like = torch.empty(()) if like is None else like
        nan = torch.full(shape, torch.nan, dtype=torch.float32, device=like.device)
        zero = torch.zeros_like(nan)
        return cls(nan, zero, zero, zero, zero, zero, nan, torch.full_like(nan, -torch.inf), zero, zero, zero, zero)

    def from_here(self, interval: Interval) -> Memory:
        """The memory whose first and best losses are this interval's: what was reached before counts no more."""
        fresh = Memory.fresh(self.first.shape, like=self.first)
        return fresh._replace(highest=self.highest) if interval.losses.isfinite().any() else self


def log_losses(losses: Tensor, memory: Memory) -> Tensor:
    """log((loss - floor) / (first - floor)), within [LOWEST, HIGHEST]; losses that are not finite count as highest."""
    scaled = (losses.float() - memory.floor.unsqueeze(-1)) / (memory.first - memory.floor).unsqueeze(-1)
    scaled = torch.where(torch.isfinite(scaled), scaled, torch.inf)
    return scaled.clamp(math.exp(LOWEST), math.exp(HIGHEST)).log()


def anchored(interval: Interval, memory: Memory) -> Memory:
    """The memory with the loss's first value and floor as this interval makes them known.

    Losses are measured from a floor, which is 0 until a loss comes down to it, or the first loss is next to nothing
    beside what its gradient says: then the floor moves below the lowest loss by |g| |w| / e^2, the distance at which
    most networks' losses lie from the lowest that they can reach. What is remembered is measured anew from there.

    A network that has just been taken back to its start gives its first loss again; if that is half as much again as
    the one known, it is the loss that has changed, not the network, and what comes is measured by the new one. The
    first loss is the first that is finite, and 1 as long as none is.
    """
    losses = interval.losses.detach().float()
    finite = losses.isfinite()
    begun = ~torch.isnan(memory.first)
    now = losses.gather(-1, finite.float().argmax(-1, keepdim=True)).squeeze(-1)
    now = torch.where(finite.any(-1), now, torch.ones_like(now))
    changed = begun & (memory.back > 0) & (now - memory.floor > CHANGED * (memory.first - memory.floor))
    first = torch.where(begun & ~changed, memory.first, now)
    lowest = torch.where(finite, losses, torch.inf).amin(-1)
    # Weights that a step has overwritten say nothing of what the gradient was.
    sound = interval.tensor_update < 0.3
    pull = torch.where(sound, interval.gradient_norm * interval.weight_norm, torch.nan).float()
    below = (lowest <= memory.floor) | (first <= memory.floor)
    below |= ~begun & (pull > math.exp(STEEPEST) * (first - memory.floor))
    if not below.any():
        return memory._replace(first=first)
    lowest = torch.minimum(torch.where(lowest.isfinite(), lowest, first), first)
    distance = pull * math.exp(-USUAL)
    spread = torch.where(finite, losses, first.unsqueeze(-1)).std(-1, correction=0) + 1e-3 * first.abs()
    distance = torch.where(torch.isfinite(distance) & (distance > 0), distance, spread).clamp(min=1e-30)
    floor = torch.where(below, lowest - distance, memory.floor)
    scale, new_scale = first - memory.floor, first - floor

    def moved(log_loss: Tensor) -> Tensor:
        loss = memory.floor + scale * log_loss.exp()
        again = ((loss - floor) / new_scale).clamp(math.exp(LOWEST), math.exp(HIGHEST)).log()
        return torch.where(begun & below, again, log_loss)

    logs = {name: moved(getattr(memory, name)) for name in ("last", "short", "long", "best", "mark")}
    gradient_norm = torch.where(begun & below, memory.gradient_norm * scale / new_scale, memory.gradient_norm)
    return memory._replace(first=first, floor=floor, gradient_norm=gradient_norm, **logs)
