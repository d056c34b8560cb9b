"""What the pilot sees: a scale-free observation of the steps since its last decision.

Pure functions on tensors with any leading run dimension ``*run``, the same for one run and for a batched
population. Multiplying the loss by a constant, or all parameters with their updates, changes nothing: every
feature is a difference of log losses, a ratio, a cosine, or a count of decisions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch

from .interval import Interval
from .memory import PROGRESS, Memory, anchored, log_losses

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


@dataclass(frozen=True)
class Seen:
    """What the features are made of, each [*run]. Log losses are relative to the first loss's log."""

    interval: Interval
    past: Memory
    steps: int
    mean: Tensor  # the interval's mean log loss
    last: Tensor  # the memory's averages, which begin with the first interval
    short: Tensor
    long: Tensor
    best: Tensor  # including this interval
    noise: Tensor  # standard deviation of the log losses
    trend: Tensor  # mean of the second half minus the first half's
    worst: Tensor  # the highest log loss minus the mean
    level: Tensor  # geometric mean of the losses, above the floor
    gradient_norm: Tensor  # relative to the first loss above the floor
    progress: Tensor
    anytime: Tensor
    decay: Tensor
    highest: Tensor
    rested: Tensor
    moved: Tensor
    taken_back: Tensor


class Feature(NamedTuple):
    """One number that the policy sees: its name, its formula and the range that it is held in."""

    name: str
    formula: Callable[[Seen], Tensor]
    low: float = -3.0
    high: float = 3.0


TINY = 1e-12


def _realised(seen: Seen) -> Tensor:
    decrease = seen.interval.decrease.float()
    known = torch.where(decrease.abs() > TINY * seen.level, decrease, torch.nan)
    return seen.interval.next_decrease.float() / known


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
    Feature("noise", lambda s: (s.noise + 1e-4).log() / 3 + 0.7),
    # the interval's highest log loss minus its mean
    Feature("worst", lambda s: s.worst, 0, 3),
    # cosine of successive gradients
    Feature("gradient_cosine", lambda s: 2 * s.interval.gradient_cosine),
    # cosine of the next gradient with the descent just taken: negative means overshot
    Feature("update_cosine", lambda s: 2 * s.interval.update_cosine),
    # decrease that the next gradient predicts for the last update / what its own predicted
    Feature("realised", _realised),
    # log of |g . dw| / loss
    Feature("predicted_decrease", lambda s: (s.interval.decrease.float().abs() / s.level + TINY).log() / 4 + 1),
    # -1 if g . dw predicts a decrease, +1 if it predicts an increase
    Feature("uphill", lambda s: -s.interval.decrease.float().sign()),
    # log of |dw| / |w|
    Feature("update_ratio", lambda s: _log_ratio(s.interval.update_norm / (s.interval.weight_norm + TINY))),
    # log of |g| |w| / loss
    Feature("sensitivity", lambda s: (s.interval.gradient_norm * s.interval.weight_norm / s.level + TINY).log() / 3),
    # log of |g| minus the last interval's
    Feature("gradient_change", lambda s: 2 * ((s.gradient_norm + TINY) / (s.past.gradient_norm + TINY)).log()),
    # the log-rate step in force since the last decision
    Feature("last_step", lambda s: s.interval.last_step, -4, 4),
    # log of rate / the rate that the run began at
    Feature("above_start", lambda s: s.interval.log_rate / 4),
    # log of rate / highest rate so far
    Feature("below_highest", lambda s: (s.interval.log_rate - s.highest) / 3, -3, 0),
    # log of the number of steps in the interval; capped, so that longer runs than those learned from look like these
    Feature("steps", lambda s: torch.full_like(s.mean, math.log(min(s.steps, 64)) / 4 - 0.7)),
    # 1 if the network is being taken back to its start at this very decision
    Feature("taken_back", lambda s: s.taken_back.float()),
    # log of |dw| / |w| of the median weight tensor
    Feature("tensor_update", lambda s: _log_ratio(s.interval.tensor_update)),
    # log of the largest of these over the median
    Feature("tensor_spread", lambda s: (s.interval.largest_tensor_update / s.interval.tensor_update).log() / 2, 0, 3),
    # 1 once the loss has fallen by 3 % since the beginning, less before
    Feature("learned", lambda s: s.best / PROGRESS, -1, 1),
    # log of the steps since the loss last fell by 3 %
    Feature("rested", lambda s: (1 + s.rested).log() / 4 - 1),
    # log of how far the weights have moved since then, in units of their own size
    Feature("moved", lambda s: (s.moved + 1e-4).log() / 4 + 0.5),
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
    new = torch.isnan(memory.first)
    memory = anchored(interval, memory)
    scale = memory.first - memory.floor
    logs = log_losses(interval.losses.detach(), memory)
    steps, mean = logs.shape[-1], logs.mean(-1)
    last, short, long = (torch.where(new, mean, past) for past in (memory.last, memory.short, memory.long))
    best = torch.where(new, mean, torch.minimum(memory.best, mean))
    taken_back = torch.zeros_like(new) if interval.taken_back is None else interval.taken_back
    half = steps // 2
    trend = logs[..., half:].mean(-1) - logs[..., :half].mean(-1) if half else torch.zeros_like(mean)
    gradient_norm = interval.gradient_norm.float() / scale
    progress, anytime, decay = _clock(interval, mean)
    highest = torch.maximum(memory.highest, interval.log_rate)
    fell = best < memory.mark + PROGRESS
    rested = torch.where(fell, 0.0, memory.rested + steps)
    moved = torch.where(fell, 0.0, memory.moved + steps * interval.tensor_update.float().nan_to_num(0.0, 1e6, 0.0))
    seen = Seen(
        interval=interval,
        past=memory,
        steps=steps,
        mean=mean,
        last=last,
        short=short,
        long=long,
        best=best,
        noise=logs.std(-1, correction=0),
        trend=trend,
        worst=logs.amax(-1) - mean,
        level=scale * mean.exp(),
        gradient_norm=gradient_norm,
        progress=progress,
        anytime=anytime,
        decay=decay,
        highest=highest,
        rested=rested,
        moved=moved,
        taken_back=taken_back,
    )
    features = torch.stack([feature.formula(seen).float() for feature in TABLE], dim=-1).detach().nan_to_num(0.0)
    features = features.clamp(_LOWEST_VALUES, _HIGHEST_VALUES)
    zero = torch.zeros_like(mean)  # a network that is taken back stands again where the first loss was
    anew = taken_back & (memory.floor != 0)  # the floor was found at a rate that destroyed the network
    unknown = new & ~interval.losses.isfinite().any(-1)
    after = Memory(
        torch.where(anew | unknown, torch.nan, memory.first),
        torch.where(anew, 0.0, memory.floor),
        torch.where(taken_back, zero, mean),
        torch.where(taken_back, zero, short + 0.4 * (mean - short)),
        torch.where(taken_back, zero, long + 0.1 * (mean - long)),
        torch.where(taken_back, zero, best),
        torch.where(torch.isfinite(gradient_norm), gradient_norm, memory.gradient_norm),
        highest,
        torch.where(taken_back, zero, torch.where(fell, best, memory.mark)),
        torch.where(taken_back, zero, rested),
        torch.where(taken_back, zero, moved),
        taken_back.to(mean.dtype),
    )
    return features, after


def _log_ratio(ratio: Tensor) -> Tensor:
    return (ratio + TINY).log() / 4 + 1.5


def _clock(interval: Interval, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Progress, the anytime flag and the log-rate step of a linear decay to zero, each [*run]."""
    if interval.boundaries is None:
        return torch.zeros_like(like), torch.ones_like(like), torch.zeros_like(like)
    if all(isinstance(boundary, float) for boundary in interval.boundaries):  # of one run; spares a sixth of the time
        before, now, after = map(float, interval.boundaries)
        decay = math.log(max(1 - (now + after) / 2, 1e-3)) - math.log(max(1 - (before + now) / 2, 1e-3))
        return torch.full_like(like, 2 * now - 1), torch.zeros_like(like), torch.full_like(like, decay)
    before, now, after = (torch.as_tensor(b, dtype=like.dtype, device=like.device) for b in interval.boundaries)
    unknown = torch.isnan(now + before + after)
    # The mean of a linear decay over an interval is its value in the middle.
    decay = (1 - (now + after) / 2).clamp(min=1e-3).log() - (1 - (before + now) / 2).clamp(min=1e-3).log()
    progress = torch.where(unknown, 0.0, 2 * now - 1)
    return (
        progress.expand_as(like),
        unknown.to(like.dtype).expand_as(like),
        torch.where(unknown, 0.0, decay).expand_as(like),
    )
