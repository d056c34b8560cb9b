"""The shipped policy goes on learning over a user's own runs: the paper's appendix, on the pilot.

    fly with a little exploration -> the run's flight -> PPO with GAE on the flights so far -> fly again

Runs of one length are compared decision by decision, so that what is learned is what made one run better than another;
the first run of a length teaches the critic alone.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lrpilot.errors import InvalidArgument
from lrpilot.learning.population.rollouts import Rollout
from lrpilot.pilot.controller import Pilot
from lrpilot.pilot.features import LINEAR_DECAY, Interval, Memory, observe
from lrpilot.pilot.policy import Policy, bounded_step

from .ppo import ValuedRollout, advantages, centre_over_replicas, rewards, update
from .pretrain_config import PretrainConfig

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from lrpilot.pilot.logbook import Logbook


@dataclass(frozen=True, kw_only=True)
class Refining:
    """How a policy is refined. The defaults are those of its pretraining where that has them.

    Attributes:
        exploration: standard deviation of the Gaussian noise on the raw action.
        actor_rate: Adam's, of the actor; critic_rate: of the critic.
        epochs: updates after each run.
        memory: how many of the last runs they are made on.
        clip: of the probability ratio.
        gae: decay of the advantage estimate.
        dense: share of the telescoping log-loss reward, beside the final score.
        tail: share of a run over whose end the loss is averaged for the score.
    """

    exploration: float = PretrainConfig.exploration
    actor_rate: float = PretrainConfig.ppo_rate
    critic_rate: float = 1e-3
    epochs: int = 6
    memory: int = 16
    clip: float = PretrainConfig.clip
    gae: float = PretrainConfig.gae
    dense: float = PretrainConfig.dense
    tail: float = 0.1


@dataclass(frozen=True)
class Lived:
    """One run as it was flown: [decision, feature], [decision], [decision], [interval], and a number.

    Attributes:
        observations: before each decision.
        raw: the raw actions taken.
        means: what the actor proposed before exploration.
        log_losses: mean log loss of each interval relative to the first loss.
        score: how the run ended; lower is better.
    """

    observations: Tensor
    raw: Tensor
    means: Tensor
    log_losses: Tensor
    score: Tensor


class ExploringPolicy:
    """A policy in flight that explores, and remembers what it saw and did."""

    def __init__(self, policy: Policy, exploration: float, generator: torch.Generator) -> None:
        self._policy, self._exploration, self._generator = policy, exploration, generator
        self.observations: list[Tensor] = []
        self.raw: list[Tensor] = []
        self.means: list[Tensor] = []

    def initial_memory(self) -> Tensor:
        """The policy's."""
        return self._policy.initial_memory()

    @torch.no_grad()
    def act(self, features: Float[Tensor, " feature"], memory: Tensor) -> tuple[Tensor, Tensor]:
        """As `Policy.act`, with noise on the raw action."""
        mean, state = self._policy.actor(features.view(1, 1, -1), memory.view(1, 1, -1))
        raw = mean.view(()) + self._exploration * torch.randn((), generator=self._generator)
        for record, value in ((self.observations, features), (self.raw, raw), (self.means, mean.view(()))):
            record.append(value)
        return bounded_step(raw, features[LINEAR_DECAY]), state.view(-1)


class Refiner:
    """A policy, its optimizers, and the runs that it learns from.

    Args:
        policy: ``"shipped"``, the path of a policy file, or a policy, which is copied.
        refining: how.
        generator: of the exploration; a CPU generator.
    """

    def __init__(
        self, policy: str | Path | Policy = "shipped", refining: Refining | None = None, *, generator: torch.Generator
    ) -> None:
        self.refining = refining or Refining()
        self.policy = copy.deepcopy(policy) if isinstance(policy, Policy) else Policy.load(policy)
        self._generator = generator
        self._actor = torch.optim.Adam(self.policy.actor.parameters(), lr=self.refining.actor_rate)
        self._critic = torch.optim.Adam(self.policy.critic.parameters(), lr=self.refining.critic_rate)
        self._lived: list[Lived] = []
        self._flying: tuple[ExploringPolicy, Pilot] | None = None
        self._score: float | None = None
        self._flown = 0

    def fly(self, optimizer: torch.optim.Optimizer, total_steps: int | None) -> Pilot:
        """The pilot of the next run; it keeps the last good network, for exploration may destroy one."""
        explorer = ExploringPolicy(self.policy, self.refining.exploration, self._generator)
        pilot = Pilot(optimizer, total_steps, policy=explorer, rollback=True)
        self._flying, self._score = (explorer, pilot), None
        return pilot

    def score(self, value: float) -> None:
        """Say how the run under way ended: lower is better, on a logarithmic scale such as that of an error's log."""
        self._score = float(value)

    def end_run(self) -> None:
        """Learn from the run that has ended, and those before it. A run without a decision teaches nothing.

        Raises:
            InvalidArgument: the run is shorter than its ``total_steps``.
        """
        if self._flying is None:
            return
        (explorer, pilot), self._flying = self._flying, None
        history, steps = pilot.history, len(pilot.history["loss"])
        if pilot.total_steps is not None and steps < pilot.total_steps:
            raise InvalidArgument("the run's steps", f"{pilot.total_steps}, as was said", steps)
        pilot.close()
        if not explorer.raw:
            return
        log_losses = _log_losses(history, len(explorer.raw))
        ending = max(1, round(self.refining.tail * steps))
        score = _last_loss(history, ending) if self._score is None else torch.tensor(self._score)
        observations, raw, means = map(torch.stack, (explorer.observations, explorer.raw, explorer.means))
        lived = Lived(observations, raw, means, log_losses, score)
        self._lived = [*self._lived, lived][-self.refining.memory :]
        self._flown += 1
        self._learn()

    def _learn(self) -> None:
        refining = self.refining
        for _ in range(refining.epochs):
            update(
                list(self._experiences()),
                self.policy,
                self._actor,
                self._critic,
                exploration=refining.exploration,
                clip=refining.clip,
            )
        self.policy.provenance = {**self.policy.provenance, "refined": {"runs": self._flown, **asdict(refining)}}

    def _experiences(self) -> Iterator[ValuedRollout]:
        """The runs so far, those of as many decisions together, valued by the critic as it stands."""
        by_length: dict[int, list[Lived]] = {}
        for lived in self._lived:
            by_length.setdefault(len(lived.raw), []).append(lived)
        for runs in by_length.values():
            observations, raw, means, log_losses = (
                torch.stack([getattr(lived, name) for lived in runs], 1)
                for name in ("observations", "raw", "means", "log_losses")
            )
            unused = torch.zeros_like(raw)
            scores = torch.stack([lived.score for lived in runs])
            rollout = Rollout(observations, raw, unused, log_losses, unused.bool(), scores)
            with torch.no_grad():
                values, _ = self.policy.critic(observations)
            estimate = advantages(rewards(rollout, dense=self.refining.dense), values, decay=self.refining.gae)
            advantage = centre_over_replicas(estimate, len(runs)) if len(runs) > 1 else torch.zeros_like(estimate)
            yield ValuedRollout(rollout, means, advantage, estimate + values)

    def state_dict(self) -> dict[str, Any]:
        """All that the runs to come depend on, between two runs."""
        return {
            "policy": self.policy.state_dict(),
            "provenance": self.policy.provenance,
            "actor": self._actor.state_dict(),
            "critic": self._critic.state_dict(),
            "lived": [asdict(lived) for lived in self._lived],
            "flown": self._flown,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`state_dict` gave."""
        self.policy.load_state_dict(state["policy"])
        self.policy.provenance = state["provenance"]
        self._actor.load_state_dict(state["actor"])
        self._critic.load_state_dict(state["critic"])
        self._lived = [Lived(**lived) for lived in state["lived"]]
        self._flown = state["flown"]


def _log_losses(history: Logbook, decisions: int) -> Float[Tensor, " interval"]:
    """Of the intervals that the decisions ended, and of what came after the last one."""
    losses = history["loss"].cpu()
    taken = history.decisions[:decisions]
    ends = [*(decision.step for decision in taken), len(losses)]
    memory, means = Memory.fresh(), []
    for begin, end, decision in zip([0, *ends[:-1]], ends, [*taken, None], strict=True):
        if begin == end:  # an anytime run that stopped at a decision
            means.append(memory.last)
            continue
        back = torch.tensor(decision is not None and decision.back_to is not None)
        _, memory = observe(replace(Interval.unmeasured(losses[begin:end]), taken_back=back), memory)
        means.append(memory.last)
    return torch.stack(means)


def _last_loss(history: Logbook, steps: int) -> Float[Tensor, ""]:
    """The mean log loss of the last so many steps, relative to the first loss."""
    losses = history["loss"].cpu()
    _, memory = observe(Interval.unmeasured(losses[:1]), Memory.fresh())
    _, memory = observe(Interval.unmeasured(losses[-steps:]), memory)
    return memory.last
