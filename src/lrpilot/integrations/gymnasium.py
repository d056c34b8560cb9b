"""Learning rates as a Gymnasium environment: an episode is one small training of `lrpilot.learning.population`.

Observation: what the pilot's policy sees at a decision, a number for each row of `lrpilot.pilot.features.TABLE`.
Action: one number in [-1, 1], the decades by which the rate moves before the next interval is trained.
Reward: the fall, over that interval, of the log loss on examples held out of the training set, relative to the
untrained network's. Test sets are not among the data at all.

An episode draws a network, an optimizer, a length, data and a starting rate; it ends with its training, after up to 49
decisions. ``gymnasium.make("lrpilot.integrations.gymnasium:lrpilot/LearningRate-v0")`` makes one, ``make_vec`` many.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import Tensor

from lrpilot.core.arguments import whole
from lrpilot.errors import InvalidArgument
from lrpilot.learning.population.data import Source, load_sources
from lrpilot.learning.population.draw import draw_group, draw_tasks
from lrpilot.learning.population.evaluation import STARTS
from lrpilot.learning.population.score import LOSS_CAP, LOSS_FLOOR
from lrpilot.learning.population.trainings import Pool, Trainings
from lrpilot.pilot.features import TABLE, observe
from lrpilot.pilot.memory import Memory
from lrpilot.pilot.rates import WIDEST
from lrpilot.pilot.timetable import decision_steps

Numbers = np.ndarray[Any, Any]

HELD_OUT = 0.1
"""The share of each training set that rewards are measured on and no network is trained on."""
EXAMINED = 256
"""Examples of it, at most, that a reward is measured on."""

OBSERVATIONS = Box(np.array([f.low for f in TABLE], np.float32), np.array([f.high for f in TABLE], np.float32))
ACTIONS = Box(-1.0, 1.0, (1,), np.float32)


class LearningRateEnv(gymnasium.Env[Numbers, Numbers]):
    """One training at a time. ``info`` has the rate of the last interval and the held-out loss after it.

    Args:
        sources: the data sets to draw from; None: scikit-learn's digits and twelve synthetic ones.
        shortest: steps of a training, at least.
        longest: at most; lengths are log-uniform.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - as the base class has it

    def __init__(
        self,
        sources: Sequence[Source] | None = None,
        *,
        shortest: int = 100,
        longest: int = 1000,
        render_mode: None = None,
    ) -> None:
        self.observation_space, self.action_space = OBSERVATIONS, ACTIONS
        self._population = _Population(sources, shortest, longest)
        self._runs: _Runs | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Numbers, dict[str, Any]]:
        """Draw a training and make its first steps. All that is random follows from the last ``seed`` given."""
        super().reset(seed=seed)
        self._runs = self._population.draw(1, self.np_random)
        return self._runs.observations[0], self._info(self._runs)

    def step(self, action: Numbers) -> tuple[Numbers, float, bool, bool, dict[str, Any]]:
        """Move the rate, and train one interval. Actions out of range are clipped."""
        if self._runs is None or self._runs.over:
            raise gymnasium.error.ResetNeeded("call reset before step")
        reward = self._runs.step(action)
        return self._runs.observations[0], float(reward[0]), self._runs.over, False, self._info(self._runs)

    @staticmethod
    def _info(runs: _Runs) -> dict[str, Any]:
        return {name: float(values[0]) for name, values in runs.info.items()}


class LearningRateVectorEnv(VectorEnv[Numbers, Numbers, Numbers]):
    """Many trainings at once, as one batched program: more steps a second than one after the other.

    They share network, optimizer and length, drawn anew for each episode, so that all end at once; each has its own
    data, initial weights and starting rate. The step after the last one resets all (`AutoresetMode.NEXT_STEP`).

    Args:
        num_envs: trainings.
        sources: as of `LearningRateEnv`.
        shortest: as of `LearningRateEnv`.
        longest: as of `LearningRateEnv`.
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(
        self,
        num_envs: int = 64,
        sources: Sequence[Source] | None = None,
        *,
        shortest: int = 100,
        longest: int = 1000,
        render_mode: None = None,
    ) -> None:
        self.num_envs = whole("num_envs", num_envs)
        self.single_observation_space, self.single_action_space = OBSERVATIONS, ACTIONS
        self.observation_space, self.action_space = (batch_space(space, num_envs) for space in (OBSERVATIONS, ACTIONS))
        self._population = _Population(sources, shortest, longest)
        self._runs: _Runs | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Numbers, dict[str, Any]]:
        """As of `LearningRateEnv`, for all."""
        super().reset(seed=seed)
        self._runs = self._population.draw(self.num_envs, self.np_random)
        return self._runs.observations, self._info(self._runs)

    def step(self, actions: Numbers) -> tuple[Numbers, Numbers, Numbers, Numbers, dict[str, Any]]:
        """As of `LearningRateEnv`, for all; after an episode's end, the beginning of the next."""
        if self._runs is None:
            raise gymnasium.error.ResetNeeded("call reset before step")
        no = np.zeros(self.num_envs, bool)
        if self._runs.over:
            observations, info = self.reset()
            return observations, np.zeros(self.num_envs), no, no, info
        rewards = self._runs.step(actions)
        return self._runs.observations, rewards, no | self._runs.over, no, self._info(self._runs)

    def _info(self, runs: _Runs) -> dict[str, Any]:
        """With a mask for each entry, as Gymnasium has it."""
        everywhere = {f"_{name}": np.ones(self.num_envs, bool) for name in runs.info}
        return runs.info | everywhere


class _Population:
    """What episodes are drawn from."""

    def __init__(self, sources: Sequence[Source] | None, shortest: int, longest: int) -> None:
        if not 2 <= whole("shortest", shortest) <= whole("longest", longest):
            raise InvalidArgument(
                "shortest and longest", "whole numbers with 2 <= shortest <= longest", (shortest, longest)
            )
        several = isinstance(sources, Sequence) and all(isinstance(each, Source) for each in sources)
        if not (sources is None or (several and sources)):
            raise InvalidArgument("sources", "data sets of lrpilot.learning.population.data, or None", sources)
        self._pool = Pool([_without_tests(source) for source in (_usual_sources() if sources is None else sources)])
        self._lengths = {"shortest": shortest, "longest": longest}

    def draw(self, runs: int, random: np.random.Generator) -> _Runs:
        """Trainings of one group, after their first interval."""
        generator = torch.Generator("cpu").manual_seed(int(random.integers(2**62)))
        group = draw_group(generator, **self._lengths)
        tasks = draw_tasks(group, runs, generator, training_rows=self._pool.training, anytime=0.0)
        trainings = Trainings(group, tasks, self._pool, replicas=1, generator=generator)
        lowest, highest = min(STARTS), max(STARTS)
        decades = lowest + (highest - lowest) * torch.rand(runs, generator=generator)
        return _Runs(trainings, tasks.usual + math.log(10) * decades)


class _Runs:
    """Trainings under way, and what is seen of them.

    Args:
        trainings: fresh ones.
        log_rate: that they begin at, [run].

    Attributes:
        observations: [run, feature].
        info: the rate of the last interval and the held-out loss after it, each [run].
        over: whether the last interval has been trained.
    """

    def __init__(self, trainings: Trainings, log_rate: Tensor) -> None:
        self._trainings = trainings
        self._ends = (0, *decision_steps(trainings.group.steps))
        self._origin = self._log_rate = log_rate
        self._memory = Memory.fresh(log_rate.shape)
        self._untrained = self._held_out_loss()
        self._trained = 0  # intervals
        self._advance(torch.zeros_like(log_rate))

    def step(self, action: Numbers) -> Numbers:
        """Move the rates by ``action`` decades, [run] or [run, 1], and train an interval; the rewards, [run]."""
        try:
            decades = torch.as_tensor(np.asarray(action, np.float32)).reshape(self._origin.shape)
        except (OverflowError, RuntimeError, TypeError, ValueError) as error:
            raise InvalidArgument("action", "numbers, one for each training", action) from error
        if decades.isnan().any():
            raise InvalidArgument("action", "numbers", action)
        before = self._log_loss
        self._advance(math.log(10) * decades.clamp(-1, 1))
        return (before - self._log_loss).double().numpy()

    def _advance(self, step: Tensor) -> None:
        self._log_rate = (self._log_rate + step).clamp(self._origin - WIDEST, self._origin + WIDEST)
        begin, end, after = (*self._ends, self._ends[-1])[self._trained : self._trained + 3]
        interval = self._trainings.advance(end - begin, self._log_rate)
        self._trained += 1
        self.over = end == self._ends[-1]
        begin, end, after = (mark / self._ends[-1] for mark in (begin, end, after))
        marked = replace(
            interval, log_rate=self._log_rate - self._origin, last_step=step, boundaries=(begin, end, after)
        )
        seen, self._memory = observe(marked, self._memory)
        self.observations = seen.numpy()
        loss = self._held_out_loss()
        highest = LOSS_CAP * self._untrained  # beyond, all networks are equally lost
        self._log_loss = (torch.where(loss < highest, loss, highest) / self._untrained + LOSS_FLOOR).log()
        self.info = {"learning_rate": self._log_rate.exp().numpy(), "held_out_loss": loss.numpy()}

    def _held_out_loss(self) -> Tensor:
        return self._trainings.evaluate(EXAMINED).held_out_loss


def _without_tests(source: Source) -> Source:
    """The training rows alone, the last of them held out."""
    rows = slice(source.training)
    kept = source.training - math.ceil(HELD_OUT * source.training)
    return replace(
        source, inputs=source.inputs[rows], labels=source.labels[rows], targets=source.targets[rows], training=kept
    )


@cache
def _usual_sources() -> list[Source]:
    return load_sources(0, mnist=False)


gymnasium.register(
    "lrpilot/LearningRate-v0",
    entry_point="lrpilot.integrations.gymnasium:LearningRateEnv",
    vector_entry_point="lrpilot.integrations.gymnasium:LearningRateVectorEnv",
)
