"""What the pilot sees: a scale-free observation of the steps since its last decision.

Pure functions on the floats of one run, or on the tensors of a batched population with any leading run dimension
``*run``. Multiplying the loss by a constant, or all parameters with their updates, changes nothing: every
feature is a difference of log losses, a ratio, a cosine, or a count of decisions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch

from .arithmetic import as_in, column, exp, isfinite, isnan, log, maximum, minimum, ratio, single, where
from .interval import Interval
from .memory import PROGRESS, Memory, anchored, log_losses

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from .arithmetic import Number


@dataclass(frozen=True)
class Seen:
    """What the features are made of, each [*run]. Log losses are relative to the first loss's log."""

    interval: Interval
    past: Memory
    steps: int
    mean: Number  # the interval's mean log loss
    last: Number  # the memory's averages, which begin with the first interval
    short: Number
    long: Number
    best: Number  # including this interval
    noise: Number  # standard deviation of the log losses
    trend: Number  # mean of the second half minus the first half's
    worst: Number  # the highest log loss minus the mean
    level: Number  # geometric mean of the losses, above the floor
    gradient_norm: Number  # relative to the first loss above the floor
    progress: Number
    anytime: Number
    decay: Number
    highest: Number
    rested: Number
    moved: Number


class Feature(NamedTuple):
    """One number that the policy sees: its name, its formula and the range that it is held in."""

    name: str
    formula: Callable[[Seen], Number]
    low: float = -3.0
    high: float = 3.0


TINY = 1e-12


def _realised(seen: Seen) -> Number:
    decrease = single(seen.interval.decrease)
    known = where(abs(decrease) > TINY * seen.level, decrease, math.nan)
    return single(seen.interval.next_decrease) / known


TABLE = (
    # 2 p - 1 at the fraction p of the run, 0 in the anytime mode
    Feature("progress", lambda s: s.progress),
    # 1 if the length of the run is unknown
    Feature("anytime", lambda s: s.anytime),
    # the log-rate step that a linear decay to zero takes at this moment, 0 if anytime
    Feature("linear_decay", lambda s: s.decay, -2, 2),
    # mean log loss minus the last interval's
    Feature("change", lambda s: 2 * (s.mean - s.last)),
    # minus the average over the last two or three intervals
    Feature("change_short", lambda s: 2 * (s.mean - s.short)),
    # minus the average over the last ten intervals or so
    Feature("change_long", lambda s: 2 * (s.mean - s.long)),
    # minus the best interval's
    Feature("above_best", lambda s: 2 * (s.mean - s.best), 0, 3),
    # minus the first loss
    Feature("below_first", lambda s: s.mean / 2, -4, 3),
    # mean log loss of the interval's second half minus the first half's
    Feature("trend", lambda s: 4 * s.trend),
    # the trend in units of its own standard error
    Feature("trend_certainty", lambda s: s.trend / (2 * s.noise / math.sqrt(s.steps) + 1e-3) / 3),
    # log of the standard deviation of the log losses within the interval
    Feature("noise", lambda s: log(s.noise + 1e-4) / 3 + 0.7),
    # the interval's highest log loss minus its mean
    Feature("worst", lambda s: s.worst, 0, 3),
    # cosine of successive gradients
    Feature("gradient_cosine", lambda s: 2 * s.interval.gradient_cosine),
    # cosine of the next gradient with the descent just taken: negative means overshot
    Feature("update_cosine", lambda s: 2 * s.interval.update_cosine),
    # decrease that the next gradient predicts for the last update / what its own predicted
    Feature("realised", _realised),
    # log of |g . dw| / loss
    Feature("predicted_decrease", lambda s: log(ratio(abs(single(s.interval.decrease)), s.level) + TINY) / 4 + 1),
    # -1 if g . dw predicts a decrease, +1 if it predicts an increase
    Feature("uphill", lambda s: where(s.interval.decrease < 0, 1.0, where(s.interval.decrease > 0, -1.0, 0.0))),
    # log of |dw| / |w|
    Feature("update_ratio", lambda s: _log_ratio(s.interval.update_norm / (s.interval.weight_norm + TINY))),
    # log of |g| |w| / loss
    Feature("sensitivity", lambda s: log(ratio(s.interval.gradient_norm * s.interval.weight_norm, s.level) + TINY) / 3),
    # log of |g| minus the last interval's
    Feature("gradient_change", lambda s: 2 * log((s.gradient_norm + TINY) / (s.past.gradient_norm + TINY))),
    # the log-rate step in force since the last decision
    Feature("last_step", lambda s: s.interval.last_step, -4, 4),
    # log of rate / the rate that the run began at
    Feature("above_start", lambda s: s.interval.log_rate / 4),
    # log of rate / highest rate so far
    Feature("below_highest", lambda s: (s.interval.log_rate - s.highest) / 3, -3, 0),
    # log of the number of steps in the interval; capped, so that longer runs than those learned from look like these
    Feature("steps", lambda s: math.log(min(s.steps, 64)) / 4 - 0.7),
    # 1 if the network is being taken back to its start at this very decision
    Feature("taken_back", lambda s: s.interval.taken_back),
    # log of |dw| / |w| of the median weight tensor
    Feature("tensor_update", lambda s: _log_ratio(s.interval.tensor_update)),
    # log of the largest of these over the median
    Feature("tensor_spread", lambda s: log(_spread(s.interval)) / 2, 0, 3),
    # 1 once the loss has fallen by 3 % since the beginning, less before
    Feature("learned", lambda s: s.best / PROGRESS, -1, 1),
    # log of the steps since the loss last fell by 3 %
    Feature("rested", lambda s: log(1 + s.rested) / 4 - 1),
    # log of how far the weights have moved since then, in units of their own size
    Feature("moved", lambda s: log(s.moved + 1e-4) / 4 + 0.5),
)
"""The observation: a row for each feature, in the order of its last dimension."""

FEATURES = tuple(feature.name for feature in TABLE)
LINEAR_DECAY = FEATURES.index("linear_decay")
_LOWEST_VALUES = torch.tensor([feature.low for feature in TABLE])
_HIGHEST_VALUES = torch.tensor([feature.high for feature in TABLE])


def observe(interval: Interval, memory: Memory) -> tuple[Float[Tensor, "*run feature"], Memory]:
    """The observation at a decision, float32, as in `TABLE`, and the memory after it.

    No gradient flows through it; a feature that was not measured is 0.
    """
    new, taken_back = isnan(memory.first), interval.taken_back
    memory = anchored(interval, memory)
    scale = memory.first - memory.floor
    logs = log_losses(interval.losses.detach(), memory)
    steps, half = logs.shape[-1], logs.shape[-1] // 2

    def of_losses(reduced: Tensor) -> Number:
        return as_in(memory.first, reduced)

    mean = of_losses(logs.mean(-1))
    last, short, long = (where(new, mean, past) for past in (memory.last, memory.short, memory.long))
    best = where(new, mean, minimum(memory.best, mean))
    gradient_norm = ratio(single(interval.gradient_norm), scale)
    progress, anytime, decay = _clock(interval)
    highest = maximum(memory.highest, interval.log_rate)
    fell = best < memory.mark + PROGRESS
    update = single(interval.tensor_update)
    moved = memory.moved + steps * where(isnan(update), 0.0, minimum(update, 1e6))
    rested, moved = where(fell, 0.0, memory.rested + steps), where(fell, 0.0, moved)
    seen = Seen(
        interval=interval,
        past=memory,
        steps=steps,
        mean=mean,
        last=last,
        short=short,
        long=long,
        best=best,
        noise=of_losses(logs.std(-1, correction=0)),
        trend=of_losses(logs[..., half:].mean(-1) - logs[..., :half].mean(-1)) if half else 0.0,
        worst=of_losses(logs.amax(-1)) - mean,
        level=scale * exp(mean),
        gradient_norm=gradient_norm,
        progress=progress,
        anytime=anytime,
        decay=decay,
        highest=highest,
        rested=rested,
        moved=moved,
    )
    features = column([feature.formula(seen) for feature in TABLE]).detach().nan_to_num(0.0)
    features = features.clamp(_LOWEST_VALUES, _HIGHEST_VALUES)
    # A network that is taken back stands again where the first loss was, and its floor is unknown: the one that was
    # found at a rate that destroyed it is none.
    anew = taken_back & (memory.floor != 0)
    unknown = new & (as_in(memory.first, interval.lowest) == math.inf)
    after = Memory(
        where(anew | unknown, math.nan, memory.first),
        where(anew, 0.0, memory.floor),
        where(taken_back, 0.0, mean),
        where(taken_back, 0.0, short + 0.4 * (mean - short)),
        where(taken_back, 0.0, long + 0.1 * (mean - long)),
        where(taken_back, 0.0, best),
        where(isfinite(gradient_norm), gradient_norm, memory.gradient_norm),
        highest,
        where(taken_back, 0.0, where(fell, best, memory.mark)),
        where(taken_back, 0.0, rested),
        where(taken_back, 0.0, moved),
        single(taken_back) + 0 * mean,  # for each run, also where one answer stands for all
    )
    return features, after


def _log_ratio(ratio: Number) -> Number:
    return log(ratio + TINY) / 4 + 1.5


def _spread(interval: Interval) -> Number:
    return ratio(interval.largest_tensor_update, interval.tensor_update)


def _clock(interval: Interval) -> tuple[Number, Number, Number]:
    """Progress, the anytime flag and the log-rate step of a linear decay to zero, each [*run]."""
    if interval.boundaries is None:
        return 0.0, 1.0, 0.0
    before, now, after = interval.boundaries
    # The mean of a linear decay over an interval is its value in the middle; NaN where one of its ends is.
    decay = log(maximum(1e-3, 1 - (now + after) / 2)) - log(maximum(1e-3, 1 - (before + now) / 2))
    unknown = isnan(decay)
    return where(unknown, 0.0, 2 * now - 1), single(unknown), where(unknown, 0.0, decay)
