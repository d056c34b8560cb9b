"""Rollouts: batched trainings from start to end, each run under a scripted schedule or driven by a policy."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from lrpilot.pilot.features import FEATURES, LINEAR_DECAY, observe
from lrpilot.pilot.memory import Memory
from lrpilot.pilot.policy import bounded_step
from lrpilot.pilot.rates import WIDEST
from lrpilot.pilot.soundness import FORCED_CUT, GUARD_WINDOW, step_ceiling, takes_back
from lrpilot.pilot.timetable import decision_steps

from .schedules import Script, log_warm_up, remaining
from .score import score

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Bool, Float
    from torch import Tensor

    from lrpilot.pilot.policy import Policy

    from .trainings import Trainings

    Driver = Callable[[Tensor], Tensor]
    """Observations [run, feature] of one decision -> raw actions [run]; keeps its own memory."""

BLURRED = {"update_ratio": 0.3, "sensitivity": 0.6, "steps": 0.4, "predicted_decrease": 0.15}
"""Features whose level depends on a network's size or a run's length, and how far training shifts them."""


@dataclass(frozen=True)
class Rollout:
    """What happened, decision by decision.

    Attributes:
        observations: before each decision.
        raw: the raw actions of the policy (scripted runs: what it would have done).
        log_peaks: the log rate in force minus the log of the linear decay: the peak of the decay on which it lies.
        log_losses: mean log loss of each interval relative to the first loss.
        restored: the runs taken back at each decision.
        scores: of the finished runs; lower is better.
    """

    observations: Float[Tensor, "decision run feature"]
    raw: Float[Tensor, "decision run"]
    log_peaks: Float[Tensor, "decision run"]
    log_losses: Float[Tensor, "interval run"]
    restored: Bool[Tensor, "decision run"]
    scores: Float[Tensor, " run"]


def blur(runs: int, generator: torch.Generator) -> Float[Tensor, "run feature"]:
    """A random shift of some features for each run, the same throughout the run.

    Networks ten or a hundred times as large as the population's have other norms of gradients and updates. A
    policy that has learned under shifts reads how these features move rather than where they stand.
    """
    sizes = torch.tensor([BLURRED.get(name, 0.0) for name in FEATURES])
    return sizes * torch.randn(runs, len(FEATURES), generator=generator)


def roll_out(
    trainings: Trainings,
    driver: Driver,
    start: Float[Tensor, " run"],
    script: Script,
    *,
    shift: Float[Tensor, "run feature"] | None = None,
    deviates: bool = True,
    horizon: float = 1.0,
) -> Rollout:
    """Train all runs to their end.

    Args:
        trainings: fresh ones.
        driver: the policy.
        start: log rates at which the policy's runs begin.
        script: which runs follow schedules, and which.
        shift: added to the observations of each run (see `blur`).
        deviates: whether the policy's steps are deviations from the linear decay, or from a constant rate.
        horizon: the share of the run after which it is scored, at the first decision from there on.
    """
    first = trainings.evaluate()
    ends = decision_steps(trainings.group.steps)
    marks = [0.0, *(end / ends[-1] for end in ends)]
    warm_up = log_warm_up(trainings.group.steps)
    scripted = ~torch.isnan(script.log_peak)
    hidden = trainings.tasks.anytime.repeat_interleave(trainings.replicas)

    def scheduled(interval: int) -> Tensor:
        decay = math.log(remaining(marks[interval], marks[interval + 1]))
        return script.log_peak + torch.where(script.constant, 0.0, decay + warm_up[interval])

    origin = torch.where(scripted, scheduled(0), start)
    log_rate, last_step = origin.clone(), torch.zeros_like(origin)
    memory = Memory.fresh(origin.shape)
    records: list[list[Tensor]] = [[], [], [], [], []]
    final = None
    for index in range(len(ends)):
        if final is None and marks[index] >= horizon:
            final = trainings.evaluate()
        steps = ends[index] - (ends[index - 1] if index else 0)
        interval = trainings.advance(steps, log_rate)
        if index == len(ends) - 1:
            _, after = observe(interval, memory)
            records[3].append(torch.as_tensor(after.last))
            break
        known = [torch.where(hidden, torch.nan, mark) for mark in marks[index : index + 3]]
        interval = replace(
            interval,
            log_rate=log_rate - origin,
            last_step=last_step,
            boundaries=(known[0], known[1], known[2]),
        )
        back = trainings.broken()
        if marks[index + 1] <= GUARD_WINDOW:
            back = back | takes_back(interval, memory, closing=marks[index + 2] > GUARD_WINDOW)
        back = back & ~scripted
        observations, memory = observe(replace(interval, taken_back=back), memory)
        decays = observations[..., LINEAR_DECAY]
        if shift is not None:
            observations = observations + shift
        raw = driver(observations)
        decay = math.log(remaining(marks[index], marks[index + 1]))
        log_peak = torch.where(hidden, log_rate, log_rate - decay) if deviates else log_rate
        values = (observations, raw, log_peak, torch.as_tensor(memory.last), back)
        for record, value in zip(records, values, strict=True):
            record.append(value)
        step = bounded_step(raw, decays if deviates else torch.zeros_like(decays))
        step = torch.minimum(step, torch.as_tensor(step_ceiling(interval, memory)))
        step = torch.where(back, step.clamp(max=FORCED_CUT), step)
        step = torch.where(scripted, scheduled(index + 1) - log_rate, step)
        lowest, highest = origin - WIDEST, origin + WIDEST
        new_rate = torch.where(scripted, log_rate + step, (log_rate + step).clamp(lowest, highest))
        log_rate, last_step = new_rate, new_rate - log_rate
        trainings.take_back(back)
    stacked = [torch.stack(record) for record in records]
    return Rollout(*stacked, scores=score(final or trainings.evaluate(), first))


class Explorer:
    """The actor as the driver of a rollout: its own recurrent state, and Gaussian noise on the raw action.

    ``noise`` is its standard deviation, of each run or of all; without a ``generator`` there is none. ``hidden`` is the
    place of a feature that the actor sees as 0, like one that was not measured.
    """

    def __init__(
        self,
        policy: Policy,
        noise: Tensor | float,
        generator: torch.Generator | None,
        *,
        hidden: int | None = None,
    ) -> None:
        self._policy, self._noise, self._generator, self._hidden = policy, noise, generator, hidden
        self._state: Tensor | None = None

    @torch.no_grad()
    def __call__(self, seen: Float[Tensor, "run feature"]) -> Float[Tensor, " run"]:
        """The raw actions at one decision."""
        if self._hidden is not None:
            seen = seen.index_fill(-1, torch.tensor(self._hidden), 0.0)
        raw, self._state = self._policy.actor(seen.unsqueeze(0), self._state)
        if self._generator is None:
            return raw[0]
        return raw[0] + self._noise * torch.randn(raw[0].shape, generator=self._generator)
