"""What a sound run does not do: which networks are taken back, and how far the rate may rise.

Pure functions, the same for one run (in floats) and for a batched population (in tensors).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .arithmetic import as_in, isnan, log, maximum, minimum, ratio, single, where
from .interval import MEASURED_STEPS, Interval
from .memory import CHANGED, PROGRESS, Memory, anchored, log_losses

if TYPE_CHECKING:
    from .arithmetic import Number, Truth

GUARD_WINDOW = 0.05
"""The fraction of the run within which a network that is worse than untrained is taken back to its start."""

FORCED_CUT = -math.log(3.0)
"""The log-rate step that follows a taking back is at most this."""

SPIKE = math.log(100.0)
"""A single loss this far above the first log loss has destroyed the network, even if the following ones are lower."""

FAR = math.log(10.0)
"""Above the first log loss; a batch of a sound network may lie there, but not one after the other."""

TELLING = 8
"""The losses of fewer steps may be so by chance."""

FARTHEST = 1.0
"""While an untrained network has learned nothing, the rate may rise until its weights would move by this many times
their own size within an interval, if the steps went in random directions."""


def takes_back(interval: Interval, memory: Memory, *, closing: bool) -> Truth:
    """Which runs should be taken back to their initial weights: those whose network is worse than untrained.

    To be asked at the decisions of the first `GUARD_WINDOW` of a run, in which that costs nothing but these
    steps. A run is taken back if the second half of the interval lies half above the first loss, or is not
    finite, or if any loss lies a hundredfold above it; and, when the window closes (``closing``, the last
    decision within it), also if no interval has brought the loss 3 % below the first one after a rate at least
    three times the present one has been tried: such a network may have been silenced for good. The step that
    follows must be at most `FORCED_CUT` in the first cases.
    """
    memory = anchored(interval, memory)
    logs = log_losses(interval.losses, memory)
    late, highest = logs[..., logs.shape[-1] // 2 :].mean(-1), logs.amax(-1)
    exploded = (as_in(memory.first, late) > math.log(CHANGED)) | (as_in(memory.first, highest) > SPIKE)
    if not closing:
        return exploded
    stalled = minimum(memory.best, as_in(memory.first, logs.mean(-1))) > PROGRESS
    return exploded | (stalled & (memory.highest - interval.log_rate > -FORCED_CUT))


def another_loss(interval: Interval, memory: Memory) -> bool:
    """Whether one run's loss has fallen as no step explains: it is another one now, and what came before told nothing.

    Its last value lies more than `SPIKE` below the last interval's mean. Yet to move the weights by all of their size
    along the gradient of that time would have taken less than an eighth from it.
    """
    before, now = float(memory.last), float(log_losses(interval.losses[-1:], memory))
    pull = float(log(memory.gradient_norm * interval.weight_norm))
    return now < before - SPIKE and pull < before - math.log(8.0)


def lost(interval: Interval, memory: Memory, *, half: bool) -> Truth:
    """Which networks have surely lost all that they had learned, or ``half`` of it.

    Over the last two or three intervals the loss stood at less than half of the first one. In the second half of this
    interval it is back within 3 % of the first one, or (``half``) half of the way in logs, by two standard errors.
    With ``half`` a network also counts that had learned anything, and whose loss is now 1.5 times the first one by two
    standard errors.
    Fewer than `TELLING` steps tell less. There the loss must have stood at less than half of the first one in any
    earlier interval, and the second half of this one, two losses or more, must lie half above the first one.
    """
    memory = anchored(interval, memory)
    steps = interval.losses.shape[-1]
    fallen = (memory.short if steps >= TELLING else memory.best) < -math.log(2.0)
    learned = memory.short < PROGRESS
    late = log_losses(interval.losses, memory)[..., steps // 2 :]
    if steps < TELLING:
        return fallen & (late.shape[-1] > 1) & (as_in(memory.first, late.mean(-1)) > math.log(CHANGED))
    surely = as_in(memory.first, late.mean(-1) - 2 * late.std(-1) / math.sqrt(late.shape[-1]))
    if not half:
        return fallen & (surely > PROGRESS)
    return (fallen & (surely > memory.short / 2)) | (learned & (surely > math.log(CHANGED)))


def blown_up(interval: Interval, memory: Memory) -> Truth:
    """Which networks are far worse than untrained: every loss in the second half is more than `FAR` above the first."""
    memory = anchored(interval, memory)
    late = log_losses(interval.losses, memory)[..., interval.losses.shape[-1] // 2 :]
    return as_in(memory.first, late.amin(-1)) > FAR


def fitted(interval: Interval, memory: Memory) -> bool:
    """Whether one run's network has learned until nothing is left of its loss, as a hinge loss lets it."""
    return float(memory.best) <= PROGRESS and not interval.losses[-MEASURED_STEPS:].any()


def step_ceiling(interval: Interval, memory: Memory) -> Number:
    """The highest sound log-rate step: infinite once the network has learned something, and 0 without gradients.

    A network whose loss rests at its first level gives no sign that a rate is too high, and one whose weights are
    overwritten by noise may never learn. n steps in random directions, each of the size u relative to the weights
    (the median tensor's), move them by u sqrt(n); the next interval's n is known from the boundaries.

    Args:
        interval: which has just ended.
        memory: after it.
    """
    steps = interval.losses.shape[-1]
    if interval.boundaries is not None:
        before, now, after = interval.boundaries
        coming = steps * ratio(after - now, now - before)
        steps = where(isnan(coming), steps, coming)
    distance = single(interval.tensor_update) * steps**0.5
    room = log(ratio(FARTHEST, distance))
    room = where(isnan(room), math.inf, maximum(room, 0.0))
    ceiling = where(memory.best > PROGRESS, room, math.inf)
    return where(interval.gradient_norm == 0, 0.0, ceiling)
