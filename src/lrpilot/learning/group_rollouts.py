"""A group of tasks is drawn, and the policy is rolled out on it from random rates, beside schedules if asked for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch

from lrpilot.learning.population.draw import draw_group, draw_tasks
from lrpilot.learning.population.rollouts import Explorer, Rollout, blur, roll_out
from lrpilot.learning.population.schedules import PEAKS, Script, log_warm_up, peak_grid
from lrpilot.learning.population.trainings import Pool, Trainings

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from lrpilot.pilot.policy import Policy

    from .pretrain_config import PretrainConfig

COSTLY = 40_000.0
"""Groups whose runs take more microseconds than this get half as many tasks."""

LOWEST_START, HIGHEST_START = -4.7, 0.8
"""The policy's runs begin at a random rate, this many decades from the usual peak. (A pilot begins at a tenth of the
rate that its user gives: the user's rates that are learned on lie one decade higher.)"""
WILD_START, WILD_SHARE = 4.0, 1 / 12
"""This share of the runs begins higher still, between `HIGHEST_START` and this many decades above the usual peak."""


class GroupRollout(NamedTuple):
    """A group's rollout and what was tried beside the policy.

    Attributes:
        rollout: of all runs, task by task; of each task's runs, the schedules' come first.
        grid: log peaks of the schedules.
        log_warm_up: as in `distill.Lesson`.
    """

    rollout: Rollout
    grid: Float[Tensor, "task peak"]
    log_warm_up: Float[Tensor, "decision run"]


def roll_out_group(
    policy: Policy,
    pool: Pool,
    config: PretrainConfig,
    generator: torch.Generator,
    *,
    tasks: int,
    replicas: int,
    noise: Float[Tensor, "1 replica"],
    schedules: bool,
) -> GroupRollout:
    """Draw a group and train ``replicas`` runs of each of its tasks to their end.

    Args:
        policy: drives all runs but the schedules'.
        pool: the data.
        config: what is drawn, and how the rollout goes.
        generator: of all random numbers.
        tasks: their number; half of it where the group is costly.
        replicas: runs of each task.
        noise: standard deviation of the noise on the raw actions of each replica.
        schedules: whether the first `PEAKS` replicas follow schedules from a grid of peaks.
    """
    group = draw_group(generator, shortest=config.shortest, longest=config.longest)
    if group.cost > COSTLY:
        tasks = max(tasks // 2, 1)
    drawn = draw_tasks(group, tasks, generator, training_rows=pool.training, anytime=config.anytime)
    trainings = Trainings(group, drawn, pool, replicas=replicas, generator=generator)
    grid = peak_grid(drawn.usual, torch.rand(tasks, 1, generator=generator) - 0.5)
    peaks = torch.full((tasks, replicas), torch.nan)
    if schedules:
        peaks[:, :PEAKS] = grid
    start = drawn.usual.unsqueeze(1) + math.log(10) * _decades(tasks, replicas, generator)
    constant = drawn.anytime | (not config.deviates)
    script = Script(peaks.flatten(), constant.repeat_interleave(replicas))
    shift = config.blur * blur(trainings.runs, generator)
    rollout = roll_out(
        trainings,
        Explorer(policy, noise.expand(tasks, replicas).flatten(), generator),
        start.flatten(),
        script,
        shift=shift,
        deviates=config.deviates,
        horizon=config.horizon,
    )
    warm_up = torch.where(script.constant, 0.0, log_warm_up(group.steps)[1:].unsqueeze(1))
    return GroupRollout(rollout, grid, warm_up)


def _decades(tasks: int, replicas: int, generator: torch.Generator) -> Float[Tensor, "task replica"]:
    """Where the policy's runs begin, in decades from the usual peak."""
    share = torch.rand(tasks, replicas, generator=generator)
    wild = torch.rand(tasks, replicas, generator=generator) < WILD_SHARE
    lowest = torch.where(wild, HIGHEST_START, LOWEST_START)
    highest = torch.where(wild, WILD_START, HIGHEST_START)
    return lowest + (highest - lowest) * share
