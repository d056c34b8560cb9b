"""What the pilot sees: a scale-free observation of the steps since its last decision.

Pure functions on tensors with any leading run dimension ``*run``, the same for one run and for a batched
population. Multiplying the loss by a constant, or all parameters with their updates, changes nothing: every
feature is a difference of log losses, a ratio, a cosine, or a count of decisions.

The data's way at a decision: `Interval` -> `takes_back` (is the network worse than untrained?) -> `observe`
-> features for the policy, and the `Memory` for the next decision.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch

from lrpilot.errors import InvalidArgument

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor

MEASURED_STEPS = 6
"""Gradients and updates are measured in the last so many steps of an interval (fewer if it is shorter)."""

GUARD_WINDOW = 0.05
"""The fraction of the run within which a network that is worse than untrained is taken back to its start."""

FORCED_CUT = -math.log(3.0)
"""The log-rate step that follows a taking back is at most this."""

SPIKE = math.log(100.0)
"""A single loss this far above the first log loss has destroyed the network, even if the following ones are lower."""

PROGRESS = math.log(0.97)
"""An untrained network has learned something once an interval's mean log loss lies this far from the first."""

FARTHEST = 1.0
"""While an untrained network has learned nothing, the rate may rise until its weights would move by this many times
their own size within an interval, if the steps went in random directions."""

USUAL, STEEPEST = 2.0, 7.0
"""log(|g| |w| / loss) is about the first on most networks, and nowhere near the second at their beginning."""

LOWEST, HIGHEST = -16.0, 7.0
"""Log losses are held within these distances of the first one."""


@dataclass(frozen=True)
class Interval:
    """What happened between two decisions. Every tensor is [*run] unless said; NaN where not measured.

    Attributes:
        losses: [*run, step], the losses of the steps since the last decision, at least one.
        gradient_cosine: mean of cos(g_t, g_{t+1}) over successive measured steps, in [-1, 1].
        update_cosine: mean of cos(-dw_t, g_{t+1}) over successive measured steps, in [-1, 1]; dw_t is what
            the optimizer's step t added to the parameters, g_{t+1} the gradient of the step after it.
        decrease: mean of -(g_t . dw_t) over the measured steps, in units of the loss.
        next_decrease: mean of -(g_{t+1} . dw_t) over successive measured steps, in units of the loss.
        gradient_norm: mean of |g_t| over the measured steps, over all parameters together.
        update_norm: mean of |dw_t| over the measured steps.
        weight_norm: |w| at the decision.
        tensor_update: |dw| / |w| of the last measured step for each weight tensor alone (biases and gains left out
            where there are others), the median over tensors; largest_tensor_update: the largest.
        log_rate: log(rate / start rate) in force during the interval.
        last_step: the log-rate step the last decision made, as applied; 0 before the first.
        boundaries: (last decision, this one, the next one) as fractions of the run; None in the anytime mode.
            Numbers, or tensors [*run] with NaN for runs of unknown length.
        taken_back: whether the network is taken back to its start at this decision (see `takes_back`).
    """

    losses: Float[Tensor, "*run step"]
    gradient_cosine: Float[Tensor, "*run"]
    update_cosine: Float[Tensor, "*run"]
    decrease: Float[Tensor, "*run"]
    next_decrease: Float[Tensor, "*run"]
    gradient_norm: Float[Tensor, "*run"]
    update_norm: Float[Tensor, "*run"]
    weight_norm: Float[Tensor, "*run"]
    tensor_update: Float[Tensor, "*run"]
    largest_tensor_update: Float[Tensor, "*run"]
    log_rate: Float[Tensor, "*run"]
    last_step: Float[Tensor, "*run"]
    boundaries: tuple[float | Tensor, float | Tensor, float | Tensor] | None
    taken_back: Bool[Tensor, "*run"] | None = None

    @classmethod
    def unmeasured(cls, losses: Float[Tensor, "*run step"], **known: object) -> Interval:
        """An interval of which the losses are known and what else is named; the rest is NaN, steps are 0."""
        nan = torch.full_like(losses[..., 0], torch.nan)
        measured = ("gradient_cosine", "update_cosine", "decrease", "next_decrease")
        norms = ("gradient_norm", "update_norm", "weight_norm", "tensor_update", "largest_tensor_update")
        values: dict[str, object] = dict.fromkeys(measured + norms, nan)
        values |= {"log_rate": torch.zeros_like(nan), "last_step": torch.zeros_like(nan), "boundaries": None}
        return cls(losses=losses, **(values | known))  # type: ignore[arg-type]


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

    @classmethod
    def fresh(cls, shape: tuple[int, ...] = (), *, like: Tensor | None = None) -> Memory:
        """The memory before a run's first observation."""
        like = torch.empty(()) if like is None else like
        nan = torch.full(shape, torch.nan, dtype=torch.float32, device=like.device)
        zero = torch.zeros_like(nan)
        return cls(nan, zero, zero, zero, zero, zero, nan, torch.full_like(nan, -torch.inf), zero, zero, zero)


def decision_steps(total_steps: int, count: int = 50, power: float = 2.2) -> tuple[int, ...]:
    """The boundaries of the intervals, T (d / count)^power rounded up for d = 1..count, without repetitions.

    A decision is taken after each of these many steps, but the last, which ends the run. The first one in a
    hundred steps of the run already sees six of fifty.

    >>> decision_steps(100, count=5)
    (3, 14, 33, 62, 100)
    """
    if total_steps < 1:
        raise InvalidArgument("total_steps", "at least 1", total_steps)
    # The small subtraction keeps T (count/count)^power from being rounded up past T.
    steps = {max(1, math.ceil(total_steps * (d / count) ** power - 1e-9)) for d in range(1, count + 1)}
    return tuple(sorted(steps))


def anytime_decision_step(decision: int, scale: float = 0.5, power: float = 2.2) -> int:
    """The step after which decision 1, 2, ... is taken when the length of the run is unknown."""
    return math.ceil(scale * decision**power)


def _log_losses(losses: Tensor, memory: Memory) -> Tensor:
    """log((loss - floor) / (first - floor)), within [LOWEST, HIGHEST]; losses that are not finite count as highest."""
    scaled = (losses.float() - memory.floor.unsqueeze(-1)) / (memory.first - memory.floor).unsqueeze(-1)
    scaled = torch.where(torch.isfinite(scaled), scaled, torch.inf)
    return scaled.clamp(math.exp(LOWEST), math.exp(HIGHEST)).log()


def anchored(interval: Interval, memory: Memory) -> Memory:
    """The memory with the loss's first value and floor as this interval makes them known.

    Losses are measured from a floor, which is 0 until a loss comes down to it, or the first loss is next to nothing
    beside what its gradient says: then the floor moves below the lowest loss by |g| |w| / e^2, the distance at which
    most networks' losses lie from the lowest that they can reach. What is remembered is measured anew from there.
    """
    losses = interval.losses.detach().float()
    finite = losses.isfinite()
    begun = ~torch.isnan(memory.first)
    now = torch.where(finite[..., 0], losses[..., 0], torch.ones_like(losses[..., 0]))
    first = torch.where(begun, memory.first, now)
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


def takes_back(interval: Interval, memory: Memory, *, closing: bool) -> Bool[Tensor, "*run"]:
    """Which runs should be taken back to their initial weights: those whose network is worse than untrained.

    To be asked at the decisions of the first `GUARD_WINDOW` of a run, in which that costs nothing but these
    steps. A run is taken back if the second half of the interval lies half above the first loss, or is not
    finite, or if any loss lies a hundredfold above it; and, when the window closes (``closing``, the last
    decision within it), also if no interval has brought the loss 3 % below the first one after a rate at least
    three times the present one has been tried: such a network may have been silenced for good. The step that
    follows must be at most `FORCED_CUT` in the first cases.
    """
    memory = anchored(interval, memory)
    logs = _log_losses(interval.losses, memory)
    exploded = (logs[..., logs.shape[-1] // 2 :].mean(-1) > math.log(1.5)) | (logs.amax(-1) > SPIKE)
    if not closing:
        return exploded
    stalled = torch.minimum(memory.best, logs.mean(-1)) > PROGRESS
    return exploded | (stalled & (memory.highest - interval.log_rate > -FORCED_CUT))


def step_ceiling(interval: Interval, memory: Memory) -> Float[Tensor, "*run"]:
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
        before, now, after = (torch.as_tensor(mark, dtype=torch.float32) for mark in interval.boundaries)
        steps = (steps * (after - now) / (now - before)).nan_to_num(steps)
    distance = interval.tensor_update.float() * torch.as_tensor(steps, dtype=torch.float32).sqrt()
    room = (FARTHEST / distance).log().nan_to_num(torch.inf, torch.inf).clamp(min=0)
    ceiling = torch.where(memory.best > PROGRESS, room, torch.inf)
    return torch.where(interval.gradient_norm == 0, 0.0, ceiling)


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
    logs = _log_losses(interval.losses.detach(), memory)
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
    after = Memory(
        torch.where(anew, torch.nan, memory.first),
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
