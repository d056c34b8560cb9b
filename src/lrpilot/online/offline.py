"""The paper's appendix: the actor is frozen within a training run and improves from one run to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lrpilot.errors import InvalidArgument
from lrpilot.learning.refinement import Refiner, Refining
from lrpilot.online import losses
from lrpilot.pilot.controller import Pilot
from lrpilot.pilot.policy import Policy

from .actor_critic import ActorCritic
from .controller import OnlineActorCritic
from .settings import Setting, resolve

if TYPE_CHECKING:
    from jaxtyping import Float


class RunByRun(ActorCritic):
    """An actor and a critic of which the critic learns at every step, and the actor once, at the end of a run."""

    def begin_run(self, rate: float) -> None:
        """As for any run; the sum of equation 10 begins at zero."""
        super().begin_run(rate)
        self._t = 0
        self.actor.zero_grad()

    def improve_actor(self, s_j: Float[Tensor, " s"]) -> Float[Tensor, ""]:
        """Add this step's term of equation 10 to the gradient, with its weight h(t). Returns dQ/da at pi(s_j)."""
        loss, dq_da = self.policy_loss(s_j)
        self._t += 1
        (losses.run_weight(self._t) * loss).backward()
        return dq_da

    def end_run(self) -> None:
        """The run's one update of the actor."""
        if self._t:
            self._actor_optimizer.step()
        self.actor.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """As for any learner, and the sum of equation 10 so far."""
        gradients = [p.grad for p in self.actor.parameters()]
        return {**super().state_dict(), "t": self._t, "gradients": gradients}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`state_dict` gave."""
        super().load_state_dict(state)
        self._t = state["t"]
        for parameter, gradient in zip(self.actor.parameters(), state["gradients"], strict=True):
            parameter.grad = gradient


class OfflineActorCritic:
    """Learns a controller over repeated training runs: within a run the actor is frozen, at its end it is updated once.

    The update is equation 10, one step of Adam along ``sum_t h(t) grad pi(s_j^{t+1}) dQ/da`` with ``h(t) = 1/t``. The
    critic is updated at every step and carried over from run to run.

    >>> study = OfflineActorCritic("paper")
    >>> for _ in range(2):
    ...     w = torch.nn.Parameter(torch.ones(3))
    ...     with study.run(torch.optim.SGD([w], lr=0.1)) as controller:
    ...         for _ in range(5):
    ...             loss = controller.step(lambda batch: (w - batch).square().mean(), torch.zeros(3))
    >>> study.runs
    2

    With ``policy``, what learns is the pilot's policy instead: each run is flown by a `Pilot` with a little
    exploration, and at its end actor and critic are updated by PPO on the runs so far. :attr:`policy` is the policy
    as it stands, and :meth:`save` writes its file.

    >>> study = OfflineActorCritic(policy="shipped")
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

    Args:
        setting: ``"paper"``, ``"stable"`` or a :class:`~lrpilot.Setting`; ``policy`` has none.
        policy: None for an actor and a critic of the setting; ``"shipped"``, the path of a policy file, or a
            `lrpilot.pilot.policy.Policy`, which is copied.
        refining: how a policy learns, if not as by default.
        draw: for ``actor_batch="draw"`` alone: returns a batch x_j.
        generator: draws initial weights, exploration and replay; a CPU generator. The ranks of a distributed run need
            alike ones where a policy explores.
        device: of actor and critic: where the networks to be trained are.
        dtype: of actor and critic.
    """

    def __init__(
        self,
        setting: str | Setting = "paper",
        *,
        policy: str | Path | Policy | None = None,
        refining: Refining | None = None,
        draw: Callable[[], Any] | None = None,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.setting = resolve(setting)
        self.runs = 0
        """Runs completed so far: the actor has been updated as often."""
        self._draw = draw
        self._generator = generator or torch.Generator().manual_seed(int(torch.randint(2**62, ())))
        self.learner: RunByRun | Refiner
        if policy is None:
            like = torch.empty(0, dtype=dtype, device=device)
            self.learner = RunByRun(self.setting, generator=self._generator, like=like)
        else:
            self.learner = Refiner(policy, refining, generator=self._generator)

    @contextmanager
    def run(self, optimizer: torch.optim.Optimizer, total_steps: int | None = None) -> Iterator[Any]:
        """One training run: yields its controller. A run that ends by an exception teaches the actor nothing.

        Args:
            optimizer: of a network that starts anew.
            total_steps: of a pilot's run, as for `Pilot`; an actor-critic of the paper has no use for it.

        Yields:
            An `OnlineActorCritic`, or the `Pilot` of a study that was given a policy.
        """
        yield self._controller(optimizer, total_steps)
        self.learner.end_run()
        self.runs += 1

    def _controller(self, optimizer: torch.optim.Optimizer, total_steps: int | None) -> OnlineActorCritic | Pilot:
        if isinstance(self.learner, Refiner):
            return self.learner.fly(optimizer, total_steps)
        dtype = self.learner.actor.output.weight.dtype
        return OnlineActorCritic(
            optimizer, draw=self._draw, learner=self.learner, generator=self._generator, dtype=dtype
        )

    def score(self, value: float) -> None:
        """Say, within a pilot's run, how it ended, on held-out data say: lower is better.

        On a logarithmic scale, such as the log of an error. Without it, the log of the loss over the run's last
        tenth is what counts.
        """
        self._refiner("score").score(value)

    @property
    def policy(self) -> Policy:
        """The policy as the runs so far have made it."""
        return self._refiner("policy").policy

    def save(self, path: str | Path) -> None:
        """Write the policy's file, which ``Pilot(..., policy=path)`` flies with."""
        self.policy.save(path)

    def _refiner(self, asked: str) -> Refiner:
        if not isinstance(self.learner, Refiner):
            raise InvalidArgument("policy", f"given to a study whose {asked} is asked for", None)
        return self.learner

    def state_dict(self) -> dict[str, Any]:
        """All that the runs to come depend on."""
        return {
            "setting": self.setting.describe(),
            "runs": self.runs,
            "generator": self._generator.get_state(),
            "learner": self.learner.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`state_dict` gave, for the same setting."""
        self.setting.check_same(state["setting"])
        self.runs = state["runs"]
        self._generator.set_state(state["generator"])
        self.learner.load_state_dict(state["learner"])
