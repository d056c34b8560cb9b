"""What the pilot sees: a scale-free observation of the steps since its last decision.

Pure functions on tensors with any leading run dimension ``*run``, the same for one run and for a batched
population. Multiplying the loss by a constant, or all parameters with their updates, changes nothing: every
feature is a difference of log losses, a ratio, a cosine, or a count of decisions.

The data's way at a decision: `Interval` -> `takes_back` (is the network worse than untrained?) -> `observe`
-> features for the policy, and the `Memory` for the next decision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch

from lrpilot.errors import InvalidArgument

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor

MEASURED_STEPS = 4
"""Gradients and updates are measured in the last so many steps of an interval (fewer if it is shorter)."""

GUARD_WINDOW = 0.05
"""The fraction of the run within which a network that is worse than untrained is taken back to its start."""

FORCED_CUT = -math.log(3.0)
"""The log-rate step that follows a taking back is at most this."""

SPIKE = math.log(100.0)
"""A single loss this far above the first log loss has destroyed the network, even if the following ones are lower."""

PROGRESS = math.log(0.97)
"""An untrained network has learned something once an interval's mean log loss lies this far from the first."""

LOWEST, HIGHEST = -16.0, 7.0
"""Log losses are held within these distances of the first one."""

FEATURES = (
    "progress",  # 2 p - 1, or 0 in the anytime mode
    "anytime",  # 1 if the length of the run is unknown
    "linear_decay",  # the log-rate step that a linear decay to zero takes at this moment, 0 if anytime
    "change",  # mean log loss minus the last interval's
    "change_short",  # minus the average over the last two or three intervals
    "change_long",  # minus the average over the last ten intervals or so
    "above_best",  # minus the best interval's
    "below_first",  # minus the first loss
    "trend",  # mean log loss of the interval's second half minus the first half's
    "trend_certainty",  # the trend in units of its own standard error
    "noise",  # log of the standard deviation of the log losses within the interval
    "worst",  # the interval's highest log loss minus its mean
    "gradient_cosine",  # cosine of successive gradients
    "update_cosine",  # cosine of the next gradient with the descent just taken: negative means overshot
    "realised",  # decrease that the next gradient predicts for the last update / what its own predicted
    "predicted_decrease",  # log of |g . dw| / loss
    "uphill",  # -1 if g . dw predicts a decrease, +1 if it predicts an increase
    "update_ratio",  # log of |dw| / |w|
    "sensitivity",  # log of |g| |w| / loss
    "gradient_change",  # log of |g| minus the last interval's
    "last_step",  # the log-rate step in force since the last decision
    "above_start",  # log of rate / the rate that the run began at
    "below_highest",  # log of rate / highest rate so far
    "steps",  # log of the number of steps in the interval, of 64 at most
    "taken_back",  # 1 if the network is being taken back to its start at this very decision
)
"""The names of the features, in the order of the observation's last dimension."""

LINEAR_DECAY = FEATURES.index("linear_decay")


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
    log_rate: Float[Tensor, "*run"]
    last_step: Float[Tensor, "*run"]
    boundaries: tuple[float | Tensor, float | Tensor, float | Tensor] | None
    taken_back: Bool[Tensor, "*run"] | None = None

    @classmethod
    def unmeasured(cls, losses: Float[Tensor, "*run step"], **known: object) -> Interval:
        """An interval of which the losses are known and what else is named; the rest is NaN, steps are 0."""
        nan = torch.full_like(losses[..., 0], torch.nan)
        measured = ("gradient_cosine", "update_cosine", "decrease", "next_decrease")
        norms = ("gradient_norm", "update_norm", "weight_norm")
        values: dict[str, object] = dict.fromkeys(measured + norms, nan)
        values |= {"log_rate": torch.zeros_like(nan), "last_step": torch.zeros_like(nan), "boundaries": None}
        return cls(losses=losses, **(values | known))  # type: ignore[arg-type]


class Memory(NamedTuple):
    """What is remembered between decisions, each [*run]; log losses are relative to the first loss's log.

    `_asdict()` gives it to a state_dict, `Memory(**state)` takes it back.
    """

    first: Tensor  # |first loss|; NaN before the first observation
    last: Tensor  # the last interval's mean log loss
    short: Tensor  # running averages of the intervals' mean log losses
    long: Tensor
    best: Tensor  # the lowest interval's mean log loss
    gradient_norm: Tensor  # of the last interval, relative to the first loss
    highest: Tensor  # the highest log(rate / start rate) so far

    @classmethod
    def fresh(cls, shape: tuple[int, ...] = (), *, like: Tensor | None = None) -> Memory:
        """The memory before a run's first observation."""
        like = torch.empty(()) if like is None else like
        nan = torch.full(shape, torch.nan, dtype=torch.float32, device=like.device)
        zero = torch.zeros_like(nan)
        return cls(nan, zero, zero, zero, zero, nan, torch.full_like(nan, -torch.inf))


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


def _log_losses(losses: Tensor, first: Tensor) -> Tensor:
    """log(loss / first), within [LOWEST, HIGHEST]; losses that are not finite count as the highest."""
    scaled = losses.float() / first.unsqueeze(-1)
    scaled = torch.where(torch.isfinite(scaled), scaled, torch.inf)
    return scaled.clamp(math.exp(LOWEST), math.exp(HIGHEST)).log()


def _first_loss(losses: Tensor, memory: Memory) -> Tensor:
    now = losses[..., 0].float().abs()
    now = torch.where(torch.isfinite(now) & (now > 0), now, torch.ones_like(now))
    return torch.where(torch.isnan(memory.first), now, memory.first)


def takes_back(interval: Interval, memory: Memory, *, closing: bool) -> Bool[Tensor, "*run"]:
    """Which runs should be taken back to their initial weights: those whose network is worse than untrained.

    To be asked at the decisions of the first `GUARD_WINDOW` of a run, in which that costs nothing but these
    steps. A run is taken back if the second half of the interval lies half above the first loss, or is not
    finite, or if any loss lies a hundredfold above it; and, when the window closes (``closing``, the last
    decision within it), also if no interval has brought the loss 3 % below the first one after a rate at least
    three times the present one has been tried: such a network may have been silenced for good. The step that
    follows must be at most `FORCED_CUT` in the first cases.
    """
    logs = _log_losses(interval.losses, _first_loss(interval.losses, memory))
    exploded = (logs[..., logs.shape[-1] // 2 :].mean(-1) > math.log(1.5)) | (logs.amax(-1) > SPIKE)
    if not closing:
        return exploded
    stalled = torch.minimum(memory.best, logs.mean(-1)) > PROGRESS
    return exploded | (stalled & (memory.highest - interval.log_rate > -FORCED_CUT))


def observe(interval: Interval, memory: Memory) -> tuple[Float[Tensor, "*run feature"], Memory]:
    """The observation at a decision, float32, each feature within about [-3, 3], and the memory after it.

    No gradient flows through it; a feature that was not measured is 0.
    """
    losses = interval.losses.detach()
    first = _first_loss(losses, memory)
    logs = _log_losses(losses, first)
    steps, mean = logs.shape[-1], logs.mean(-1)
    new = torch.isnan(memory.first)
    last, short, long = (torch.where(new, mean, past) for past in (memory.last, memory.short, memory.long))
    best = torch.where(new, mean, torch.minimum(memory.best, mean))
    taken_back = torch.zeros_like(new) if interval.taken_back is None else interval.taken_back

    half = steps // 2
    noise = logs.std(-1, correction=0)
    trend = logs[..., half:].mean(-1) - logs[..., :half].mean(-1) if half else torch.zeros_like(mean)
    certainty = trend / (2.0 * noise / math.sqrt(steps) + 1e-3)

    # What follows is relative to the level of the loss, floored like the log losses.
    level = first * mean.exp()
    gradient_norm = interval.gradient_norm.float() / first
    decrease = interval.decrease.float()
    tiny = 1e-12
    ratio = interval.next_decrease.float() / torch.where(decrease.abs() > tiny * level, decrease, torch.nan)
    progress, anytime, decay = _clock(interval, mean)
    highest = torch.maximum(memory.highest, interval.log_rate)

    features = torch.stack(
        [
            progress,
            anytime,
            decay.clamp(-2, 2),
            (2 * (mean - last)).clamp(-3, 3),
            (2 * (mean - short)).clamp(-3, 3),
            (2 * (mean - long)).clamp(-3, 3),
            (2 * (mean - best)).clamp(0, 3),
            (mean / 2).clamp(-4, 3),
            (4 * trend).clamp(-3, 3),
            (certainty / 3).clamp(-3, 3),
            ((noise + 1e-4).log() / 3 + 0.7).clamp(-3, 3),
            (logs.amax(-1) - mean).clamp(0, 3),
            2 * interval.gradient_cosine,
            2 * interval.update_cosine,
            ratio.clamp(-3, 3),
            ((decrease.abs() / level + tiny).log() / 4 + 1).clamp(-3, 3),
            -decrease.sign(),
            ((interval.update_norm / (interval.weight_norm + tiny) + tiny).log() / 4 + 1.5).clamp(-3, 3),
            ((interval.gradient_norm * interval.weight_norm / level + tiny).log() / 3).clamp(-3, 3),
            (2 * ((gradient_norm + tiny) / (memory.gradient_norm + tiny)).log()).clamp(-3, 3),
            interval.last_step,
            (interval.log_rate / 4).clamp(-3, 3),
            ((interval.log_rate - highest) / 3).clamp(-3, 0),
            # Capped, so that runs longer than those learned on look like the longest of them.
            torch.full_like(mean, math.log(min(steps, 64)) / 4 - 0.7),
            taken_back.float(),
        ],
        dim=-1,
    )
    zero = torch.zeros_like(mean)  # a network that is taken back stands again where the first loss was
    after = Memory(
        first,
        torch.where(taken_back, zero, mean),
        torch.where(taken_back, zero, short + 0.4 * (mean - short)),
        torch.where(taken_back, zero, long + 0.1 * (mean - long)),
        torch.where(taken_back, zero, best),
        torch.where(torch.isfinite(gradient_norm), gradient_norm, memory.gradient_norm),
        highest,
    )
    return torch.nan_to_num(features.detach(), nan=0.0, posinf=3.0, neginf=-3.0).clamp(-4, 4), after


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
