"""The stages of a pretraining. Each goes forward by a small step at a time and says in a line what came of it."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from lrpilot.core.state import StateDict
from lrpilot.learning.bank.rounds import Rounds, bank_loss
from lrpilot.learning.population.schedules import PEAKS

from .distill import Lesson, Regrets, lesson_loss
from .group_rollouts import roll_out_group
from .ppo import ValuedRollout, update

if TYPE_CHECKING:
    from lrpilot.learning.bank.lessons import BankLessons
    from lrpilot.learning.population.trainings import Pool
    from lrpilot.pilot.policy import Policy

    from .pretrain_config import PretrainConfig

BLOCK = 100
"""Updates in each step of the bank's stage."""


@dataclass
class Learner:
    """What the stages share.

    Attributes:
        config: of the pretraining.
        policy: that learns.
        actor, critic: the optimizers of its two networks.
        generator: of all random numbers.
        pool: the population's data.
        lessons: of the groups seen last.
        distilled: the actor as it came from the population, once the bank is learned from.
    """

    config: PretrainConfig
    policy: Policy
    actor: torch.optim.Optimizer
    critic: torch.optim.Optimizer
    generator: torch.Generator
    pool: Pool
    lessons: list[Lesson] = field(default_factory=list)
    distilled: StateDict = field(default_factory=dict)

    def begin_again(self) -> None:
        """From the actor as it came from the population, which is remembered at the first call."""
        if not self.distilled:
            self.distilled = copy.deepcopy(self.policy.actor.state_dict())
        self.policy.actor.load_state_dict(self.distilled)
        self.actor.state.clear()

    def set_rate(self, rate: float) -> None:
        """The learning rate of the actor's own optimizer."""
        for group in self.actor.param_groups:
            group["lr"] = rate

    def descend(self, losses: Iterable[Tensor]) -> float:
        """One update of the actor along the sum of the losses; the sum."""
        total = 0.0
        self.actor.zero_grad()
        for loss in losses:
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(self.policy.actor.parameters(), 1.0)
        self.actor.step()
        return total

    def population_loss(self, runs: int, *, newest: bool = False) -> Tensor:
        """Of some runs of a lesson drawn at random, or of the newest."""
        pick = int(torch.randint(len(self.lessons), (), generator=self.generator))
        return lesson_loss(self.lessons[-1 if newest else pick], self.policy.actor, runs, self.generator)

    def bank_loss(self, lessons: BankLessons) -> Tensor:
        """Of some of the bank's runs drawn at random."""
        config = self.config
        return bank_loss(
            lessons, self.policy.actor, runs=config.bank_runs, blur=config.bank_blur, generator=self.generator
        )


class Stage(Protocol):
    """A stage: ``done`` of ``total`` steps are made."""

    name: str
    total: int
    done: int

    def advance(self, learner: Learner) -> dict[str, Any]:
        """Make the next step; numbers about it."""
        ...


class Distillation:
    """Schedules are tried on a new group of tasks beside the policy, which learns from them and from earlier ones."""

    name = "distil"

    def __init__(self, config: PretrainConfig) -> None:
        self.total, self.done = config.distil_groups, 0

    def advance(self, learner: Learner) -> dict[str, Any]:
        """Take the next group."""
        config, generator = learner.config, learner.generator
        replicas = PEAKS + config.distil_driven
        # Half of the replicas are pushed about, so that the policy learns to come back.
        noise = torch.where(torch.rand(1, replicas, generator=generator) < 0.5, 0.0, 0.15)
        rollout, grid, log_warm_up = roll_out_group(
            learner.policy,
            learner.pool,
            config,
            generator,
            tasks=config.distil_tasks,
            replicas=replicas,
            noise=noise,
            schedules=True,
        )
        scores = rollout.scores.view(-1, replicas)
        regrets = Regrets.from_scores(grid, scores[:, :PEAKS], replicas)
        learner.lessons = [*learner.lessons, Lesson(rollout, regrets, log_warm_up)][-config.distil_memory :]
        learner.set_rate(config.distil_rate * (1 - self.done / self.total) + 0.03 * config.distil_rate)
        losses = [
            learner.descend(learner.population_loss(config.distil_runs, newest=i % 4 == 0) / 4 for _ in range(4))
            for i in range(config.distil_updates)
        ]
        self.done += 1
        if self.done == self.total:  # the bank's stage goes on with some of them
            learner.lessons = learner.lessons[-config.bank_population :] if config.bank_rounds else []
        best = scores[:, :PEAKS].amin(1, keepdim=True)
        regret = (scores[:, PEAKS:] - best).mean().item()
        return {"loss": sum(losses) / max(len(losses), 1), "regret": regret}


class BankRounds:
    """The policy learns from the bank of real trainings, in rounds: runs on all of its tasks, then updates.

    The updates of each round begin from the policy as it came from the population, and learn from all rounds' runs.

    Args:
        config: of the pretraining.
        rounds: the bank, and where the runs are kept.
        workers: processes that make the runs.
    """

    name = "bank"

    def __init__(self, config: PretrainConfig, rounds: Rounds, *, workers: int = 1) -> None:
        self._blocks = config.bank_updates // BLOCK
        self.total, self.done = config.bank_rounds * self._blocks, 0
        self._rounds, self._workers = rounds, workers

    def advance(self, learner: Learner) -> dict[str, Any]:
        """Make the runs of some tasks that the round lacks, or a block of updates."""
        config, (number, block) = learner.config, divmod(self.done, self._blocks)
        tasks = len(self._rounds.entries)
        if self._rounds.done(number) < tasks:
            ready = self._rounds.explore(learner.policy, number, tasks=4 * self._workers, workers=self._workers)
            return {"round": number, "runs": ready, "of": tasks}
        if block == 0:
            learner.begin_again()
        lessons = self._rounds.lessons(number)
        losses: list[float] = []
        for step in range(BLOCK):
            learner.set_rate(config.bank_rate * (1.03 - (block + step / BLOCK) / self._blocks))
            loss = learner.bank_loss(lessons)
            shared = [config.bank_mix / 2 * learner.population_loss(config.bank_runs) for _ in range(2)]
            learner.descend([loss, *shared])
            losses.append(loss.item())
        self.done += 1
        if self.done == self.total:
            learner.lessons = []
        return {"round": number, "loss": sum(losses) / len(losses)}


class Improvement:
    """The policy runs with exploration on new groups, and PPO makes what went well more likely.

    Between PPO's updates it goes on learning from the bank's runs: groups are of small networks alone.

    Args:
        config: of the pretraining.
        rounds: of the stage before.
    """

    name = "ppo"

    def __init__(self, config: PretrainConfig, rounds: Rounds) -> None:
        self.total, self.done = config.ppo_iterations, 0
        self._rounds = rounds

    def advance(self, learner: Learner) -> dict[str, Any]:
        """Make one iteration."""
        config = learner.config
        noise = torch.full((1, config.ppo_replicas), config.exploration)
        batch: list[ValuedRollout] = []
        for _ in range(config.ppo_groups):
            rollout, _, _ = roll_out_group(
                learner.policy,
                learner.pool,
                config,
                learner.generator,
                tasks=config.ppo_tasks,
                replicas=config.ppo_replicas,
                noise=noise,
                schedules=False,
            )
            valued = ValuedRollout.of(
                rollout, learner.policy, replicas=config.ppo_replicas, dense=config.dense, decay=config.gae
            )
            batch.append(valued)
        # the critic comes first
        learner.set_rate(config.ppo_rate * (1 - self.done / self.total) if self.done >= 5 else 0.0)
        errors: list[float] = []
        for _ in range(config.ppo_epochs):
            order = [batch[i] for i in torch.randperm(len(batch), generator=learner.generator)]
            errors = []
            for half in filter(None, (order[: len(batch) // 2], order[len(batch) // 2 :])):
                error = update(
                    half,
                    learner.policy,
                    learner.actor,
                    learner.critic,
                    exploration=config.exploration,
                    clip=config.clip,
                )
                errors.append(error)
                if config.bank_rounds:
                    lessons = self._rounds.lessons(config.bank_rounds - 1)
                    for _ in range(config.ppo_bank):
                        learner.descend([learner.bank_loss(lessons)])
        self.done += 1
        score = torch.cat([part.rollout.scores for part in batch]).mean().item()
        return {"score": score, "value_error": sum(errors) / len(errors)}
