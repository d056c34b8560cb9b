"""What the pilot remembers of a run between two decisions, and the floor from which losses are measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import torch

from .arithmetic import anywhere, as_in, beside, exp, isfinite, isnan, log, maximum, minimum, ratio, single, where
from .interval import Interval

if TYPE_CHECKING:
    from torch import Tensor

    from .arithmetic import Number

PROGRESS = math.log(0.97)
"""An untrained network has learned something once an interval's mean log loss lies this far from the first."""

USUAL, STEEPEST = 2.0, 7.0
"""log(|g| |w| / loss) is about the first on most networks, and nowhere near the second at their beginning."""

SHORT, AGAIN = 0.5, 3.0
"""|g| |w| / e^2 is believed where it is at least the first times what the loss has fallen already. Weights that began
next to 0 make it less: then the loss is assumed to fall the second times as far again."""

CHANGED = 1.5
"""A loss this many times the first one is that of another network, or of another loss function."""

NOTHING = 1e-30
"""Losses are measured in units of more than this. A first batch that has neither loss nor gradient gives no more."""

LOWEST, HIGHEST = -16.0, 7.0
"""Log losses are held within these distances of the first one."""


class Memory(NamedTuple):
    """What is remembered between decisions: floats of one run, or tensors [*run].

    Log losses are log((loss - floor) / (first - floor)). A state_dict holds what `_asdict()` gives, and
    :meth:`of_one_run` takes it back.
    """

    first: Number  # the first loss; NaN before the first observation
    floor: Number  # what losses are measured from: 0, unless they come below it
    last: Number  # the last interval's mean log loss
    short: Number  # running averages of the intervals' mean log losses
    long: Number
    best: Number  # the lowest interval's mean log loss
    gradient_norm: Number  # of the last interval, relative to the first loss
    highest: Number  # the highest log(rate / start rate) so far
    mark: Number  # the best that the loss had fallen to when it last fell by 3 % or more
    rested: Number  # the number of steps since then
    moved: Number  # how far the weights have moved since then, in units of their own size: the sum of tensor_update
    back: Number  # 1 if the network has been taken back to its start since, and stands there as the interval begins

    @classmethod
    def fresh(cls, shape: tuple[int, ...] = (), *, like: Tensor | None = None) -> Memory:
        """The memory of many runs before their first observation."""
        like = torch.empty(()) if like is None else like
        nan = torch.full(shape, torch.nan, dtype=torch.float32, device=like.device)
        zero = torch.zeros_like(nan)
        return cls(nan, zero, zero, zero, zero, zero, nan, torch.full_like(nan, -torch.inf), zero, zero, zero, zero)

    @classmethod
    def of_one_run(cls, state: Mapping[str, float | Tensor] | None = None) -> Memory:
        """The memory of one run, in floats: that which gave a state, or one before the first observation."""
        state = cls.fresh()._asdict() if state is None else state
        return cls(**{name: float(value) for name, value in state.items()})

    def from_here(self, interval: Interval) -> Memory:
        """One run's memory whose first and best losses are this interval's: what was reached before counts no more."""
        return Memory.of_one_run()._replace(highest=self.highest) if interval.losses.isfinite().any() else self


def log_losses(losses: Tensor, memory: Memory) -> Tensor:
    """log((loss - floor) / (first - floor)), within [LOWEST, HIGHEST]; losses that are not finite count as highest."""
    scaled = (losses - beside(memory.floor)) / beside(memory.first - memory.floor)
    return scaled.nan_to_num(torch.inf, torch.inf, torch.inf).clamp(math.exp(LOWEST), math.exp(HIGHEST)).log()


def anchored(interval: Interval, memory: Memory) -> Memory:
    """The memory with the loss's first value and floor as this interval makes them known.

    Losses are measured from a floor, which is 0 until a loss comes down to it, or the first loss is next to nothing
    beside what its gradient says: then the floor moves below the lowest loss by |g| |w| / e^2, the distance at which
    most networks' losses lie from the lowest that they can reach, or by three times what the loss has fallen if that is
    far more. What is remembered is measured anew from there.

    A network that has just been taken back to its start gives its first loss again; if that is half as much again as
    the one known, it is the loss that has changed, not the network, and what comes is measured by the new one. The
    first loss is the first that is finite, and 1 as long as none is. Where it came without any gradient and is 0, as
    that of a batch whose targets are all masked, the next interval's takes its place.
    """
    new = isnan(memory.first) | (memory.first - memory.floor <= NOTHING)
    now = as_in(memory.first, interval.first)
    now = where(isfinite(now), now, 1.0)
    changed = (memory.back > 0) & (now - memory.floor > CHANGED * (memory.first - memory.floor))
    first = where(new | changed, now, memory.first)
    lowest = as_in(memory.first, interval.lowest)
    # Weights that a step has overwritten say nothing of what the gradient was.
    sound = interval.tensor_update < 0.3
    pull = single(where(sound, interval.gradient_norm * interval.weight_norm, math.nan))
    below = (lowest <= memory.floor) | (new & (pull > math.exp(STEEPEST) * (first - memory.floor)))
    if not anywhere(below):
        return memory._replace(first=first)
    lowest = minimum(lowest, first)
    distance = pull * math.exp(-USUAL)
    losses = interval.losses.detach()
    losses = torch.where(losses.isfinite(), losses, beside(first))
    spread = as_in(memory.first, losses.std(-1, correction=0)) + 1e-3 * abs(first)
    distance = where(isfinite(distance) & (distance > 0), distance, spread)
    fallen = first - lowest
    distance = maximum(where(distance < SHORT * fallen, AGAIN * fallen, distance), NOTHING)
    floor = where(below, lowest - distance, memory.floor)
    scale, new_scale = first - memory.floor, first - floor

    def moved(log_loss: Number) -> Number:
        loss = memory.floor + scale * exp(log_loss)
        again = ratio(loss - floor, new_scale)
        again = log(minimum(maximum(again, math.exp(LOWEST)), math.exp(HIGHEST)))
        return where(below, where(new, log_loss, again), log_loss)

    logs = {name: moved(getattr(memory, name)) for name in ("last", "short", "long", "best", "mark")}
    again = ratio(memory.gradient_norm * scale, new_scale)
    gradient_norm = where(below, where(new, memory.gradient_norm, again), memory.gradient_norm)
    return memory._replace(first=first, floor=floor, gradient_norm=gradient_norm, **logs)
