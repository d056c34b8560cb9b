"""A pretrained policy goes on learning over a user's own training runs: the paper's appendix, for the pilot.

    a run with a little exploration -> what was seen, done and lost in it -> PPO on the runs so far -> the next run

Runs of one length are compared decision by decision, so that what is learned is what made one run better than another;
the first run of a length teaches the critic alone.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from lrpilot.core.arguments import real
from lrpilot.core.randomness import own_generator
from lrpilot.core.state import StateDict, load_all_or_nothing
from lrpilot.errors import InvalidArgument
from lrpilot.learning.population.rollouts import Rollout
from lrpilot.pilot.controller import Pilot
from lrpilot.pilot.features import LINEAR_DECAY, observe
from lrpilot.pilot.interval import Interval
from lrpilot.pilot.memory import Memory
from lrpilot.pilot.policy import Policy, bounded_step

from .ppo import ValuedRollout, advantages, centre_over_replicas, rewards, update
from .refinement_config import RefinementConfig

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from lrpilot.pilot.logbook import Logbook


@dataclass(frozen=True)
class RecordedRun:
    """What the policy learns from one run.

    Attributes:
        observations: before each decision.
        raw: the raw actions taken.
        means: what the actor proposed before exploration.
        log_losses: mean log loss of each interval relative to the first loss; there is one more than decisions.
        score: how the run ended; lower is better.
    """

    observations: Float[Tensor, "decision feature"]
    raw: Float[Tensor, " decision"]
    means: Float[Tensor, " decision"]
    log_losses: Float[Tensor, " interval"]
    score: Float[Tensor, ""]


class ExploringPolicy:
    """A policy that explores during a run, and remembers what it saw and did."""

    def __init__(self, policy: Policy, exploration: float, generator: torch.Generator) -> None:
        self._policy, self._exploration, self._generator = policy, exploration, generator
        self.observations: list[Tensor] = []
        self.raw: list[Tensor] = []
        self.means: list[Tensor] = []

    def initial_memory(self) -> Float[Tensor, " width"]:
        """The policy's."""
        return self._policy.initial_memory()

    @torch.no_grad()
    def act(
        self, features: Float[Tensor, " feature"], memory: Float[Tensor, " width"]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, " width"]]:
        """As `Policy.act`, with noise on the raw action."""
        mean, state = self._policy.actor(features.view(1, 1, -1), memory.view(1, 1, -1))
        raw = mean.view(()) + self._exploration * torch.randn((), generator=self._generator)
        for record, value in ((self.observations, features), (self.raw, raw), (self.means, mean.view(()))):
            record.append(value)
        return bounded_step(raw, features[LINEAR_DECAY]), state.view(-1)


class Refinement:
    """Refines a pretrained policy over repeated training runs: each is driven by a `Pilot` that explores a little.

    At a run's end actor and critic are updated by PPO on the runs so far. :attr:`policy` is the policy as it stands,
    and :meth:`save` writes its file.

    >>> study = Refinement("shipped")
    >>> for _ in range(2):
    ...     w = torch.nn.Parameter(torch.ones(3))
    ...     optimizer = torch.optim.SGD([w], lr=0.1)
    ...     with study.run(optimizer, total_steps=5) as pilot:
    ...         for _ in range(5):
    ...             loss = w.square().mean()
    ...             optimizer.zero_grad()
    ...             loss.backward()
    ...             optimizer.step()
    ...             pilot.step(loss)
    >>> study.runs
    2

    `lrpilot.OfflineActorCritic` does the same for the paper's actor.

    Args:
        policy: ``"shipped"``, the path of a policy file, or a `lrpilot.Policy`, which is copied.
        config: how it learns.
        generator: of the exploration; a CPU generator. The ranks of a distributed run need alike ones.

    Raises:
        InvalidArgument: an argument of another kind.

    Attributes:
        policy: as the runs so far have made it.
        runs: completed so far.
    """

    def __init__(
        self,
        policy: str | Path | Policy = "shipped",
        config: RefinementConfig | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        if not isinstance(policy, str | Path | Policy):
            raise InvalidArgument("policy", "'shipped', the path of a policy file, or a Policy", policy)
        if not (config is None or isinstance(config, RefinementConfig)):
            raise InvalidArgument("config", "a RefinementConfig, or None", config)
        self.config = config or RefinementConfig()
        self.policy = copy.deepcopy(policy) if isinstance(policy, Policy) else Policy.load(policy)
        self.runs = 0
        self._generator = own_generator(generator)
        self._actor = torch.optim.Adam(self.policy.actor.parameters(), lr=self.config.actor_rate)
        self._critic = torch.optim.Adam(self.policy.critic.parameters(), lr=self.config.critic_rate)
        self._records: list[RecordedRun] = []
        self._score: float | None = None

    @contextmanager
    def run(self, optimizer: torch.optim.Optimizer, total_steps: int | None = None) -> Generator[Pilot]:
        """A training run of a fresh network; actor and critic learn from it when the block ends without an error.

        The pilot keeps a copy of the last good network, for exploration may destroy one. A run without a decision
        teaches nothing.

        Args:
            optimizer: of the network.
            total_steps: as `Pilot` takes it.

        Raises:
            InvalidArgument: at the end of the block, if the run was shorter than ``total_steps``.
        """
        explorer = ExploringPolicy(self.policy, self.config.exploration, self._generator)
        self._score = None
        pilot = Pilot(optimizer, total_steps, policy=explorer, rollback=True)
        yield pilot
        steps = len(pilot.history["loss"])
        if pilot.total_steps is not None and steps < pilot.total_steps:
            raise InvalidArgument("the run's steps", f"{pilot.total_steps}, as was said", steps)
        pilot.close()
        self.runs += 1
        if explorer.raw:
            self._records = [*self._records, self._record(explorer, pilot.history)][-self.config.memory :]
            self._learn()

    def score(self, value: float) -> None:
        """Say, within a run, how it ended, on held-out data say: lower is better.

        On a logarithmic scale, such as the log of an error. Without it, the log of the loss over the run's last tenth
        (:attr:`RefinementConfig.tail`) is what counts.

        Raises:
            InvalidArgument: no finite number, from which nothing can be learned.
        """
        number = real(value.item() if isinstance(value, torch.Tensor) and value.numel() == 1 else value)
        if not math.isfinite(number):
            raise InvalidArgument("score", "a finite number", value)
        self._score = number

    def save(self, path: str | Path) -> None:
        """Write the policy's file, which ``Pilot(..., policy=path)`` is driven by."""
        self.policy.save(path)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(runs={self.runs}, remembered={len(self._records)}, {self.config})"

    def _record(self, explorer: ExploringPolicy, history: Logbook) -> RecordedRun:
        tail = max(1, round(self.config.tail * len(history["loss"])))
        return RecordedRun(
            torch.stack(explorer.observations),
            torch.stack(explorer.raw),
            torch.stack(explorer.means),
            _log_losses(history, len(explorer.raw)),
            _last_loss(history, tail) if self._score is None else torch.tensor(self._score),
        )

    def _learn(self) -> None:
        config = self.config
        for _ in range(config.epochs):
            update(
                list(self._valued_rollouts()),
                self.policy,
                self._actor,
                self._critic,
                exploration=config.exploration,
                clip=config.clip,
            )
        self.policy.provenance = {**self.policy.provenance, "refined": {"runs": self.runs, **asdict(config)}}

    def _valued_rollouts(self) -> Iterator[ValuedRollout]:
        """The runs so far, those of as many decisions together, valued by the critic as it stands."""
        by_length: dict[int, list[RecordedRun]] = {}
        for record in self._records:
            by_length.setdefault(len(record.raw), []).append(record)
        for runs in by_length.values():
            observations, raw, means, log_losses = (
                torch.stack([getattr(record, name) for record in runs], 1)
                for name in ("observations", "raw", "means", "log_losses")
            )
            unused = torch.zeros_like(raw)
            scores = torch.stack([record.score for record in runs])
            rollout = Rollout(observations, raw, unused, log_losses, unused.bool(), scores)
            with torch.no_grad():
                values, _ = self.policy.critic(observations)
            estimate = advantages(rewards(rollout, dense=self.config.dense), values, decay=self.config.gae)
            advantage = centre_over_replicas(estimate, len(runs)) if len(runs) > 1 else torch.zeros_like(estimate)
            yield ValuedRollout(rollout, means, advantage, estimate + values)

    def state_dict(self) -> StateDict:
        """A copy of all that the runs to come depend on; to be taken between two runs."""
        state = {
            "policy": self.policy.state_dict(),
            "provenance": self.policy.provenance,
            "actor": self._actor.state_dict(),
            "critic": self._critic.state_dict(),
            "records": [vars(record) for record in self._records],
            "runs": self.runs,
            "generator": self._generator.get_state(),
        }
        return copy.deepcopy(state)

    def load_state_dict(self, state: StateDict) -> None:
        """Take up what :meth:`state_dict` gave.

        Raises:
            InvalidArgument: it does not fit; nothing is changed then.
        """
        load_all_or_nothing(self, state, self._take_up)

    def _take_up(self, state: StateDict) -> None:
        self.policy.load_state_dict(state["policy"])
        self.policy.provenance = state["provenance"]
        self._actor.load_state_dict(state["actor"])
        self._critic.load_state_dict(state["critic"])
        self._records = [RecordedRun(**record) for record in state["records"]]
        self._generator.set_state(state["generator"])
        self.runs = state["runs"]


def _log_losses(history: Logbook, decisions: int) -> Float[Tensor, " interval"]:
    """Of the intervals that the decisions ended, and of what came after the last one."""
    losses = history["loss"].cpu()
    taken = history.decisions[:decisions]
    ends = [*(decision.step for decision in taken), len(losses)]
    memory = Memory.fresh()
    means: list[Tensor] = []
    for begin, end, decision in zip([0, *ends[:-1]], ends, [*taken, None], strict=True):
        if begin == end:  # an anytime run that stopped at a decision
            means.append(torch.as_tensor(memory.last))
            continue
        back = torch.tensor(decision is not None and decision.back_to is not None)
        _, memory = observe(replace(Interval.unmeasured(losses[begin:end]), taken_back=back), memory)
        means.append(torch.as_tensor(memory.last))
    return torch.stack(means)


def _last_loss(history: Logbook, steps: int) -> Float[Tensor, ""]:
    """The mean log loss of the last so many steps, relative to the first loss."""
    losses = history["loss"].cpu()
    _, memory = observe(Interval.unmeasured(losses[:1]), Memory.fresh())
    _, memory = observe(Interval.unmeasured(losses[-steps:]), memory)
    return torch.as_tensor(memory.last)
