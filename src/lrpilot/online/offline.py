"""The paper's appendix: the actor is frozen within a training run and improves from one run to the next."""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from lrpilot.core.randomness import own_generator
from lrpilot.core.state import StateDict, load_all_or_nothing
from lrpilot.errors import InvalidArgument

from . import losses
from .actor_critic import ActorCritic
from .arrays import Array
from .controller import OnlineActorCritic
from .placement import checked_dtype
from .settings import Setting, check_draw, resolve

if TYPE_CHECKING:
    from jaxtyping import Float


class RunByRun(ActorCritic):
    """An actor and a critic of which the critic learns at every step, and the actor once, at the end of a run."""

    def begin_run(self, action: Sequence[float]) -> None:
        """As for any run; the sum of equation 10 begins at zero."""
        super().begin_run(action)
        self._t = 0
        self.actor.zero_grad()

    def improve_actor(self, s_j: Float[Array, " s"]) -> Float[Array, " action"]:
        """Add this step's term of equation 10 to the gradient, with its weight h(t). Returns dQ/da at pi(s_j)."""
        self._t += 1
        return self.policy_gradient(s_j, losses.run_weight(self._t))[1]

    def end_run(self) -> bool:
        """The run's one update of the actor. False if no step of it taught anything."""
        if self._chunk:
            self.end_chunk()
        if self._t:
            self.update_actor()
        return self._t > 0

    def state_dict(self) -> StateDict:
        """As for any learner, and the sum of equation 10 so far."""
        gradients = [p.grad for p in self.actor.parameters()]
        return {**super().state_dict(), "t": self._t, "gradients": gradients}

    def load_state_dict(self, state: StateDict) -> None:
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

    `lrpilot.Refinement` does the same for the pilot's policy.

    Args:
        setting: ``"paper"``, ``"stable"`` or a :class:`~lrpilot.Setting`.
        draw: for ``actor_batch="draw"`` alone: returns a batch x_j.
        generator: draws initial weights, exploration and replay; a CPU generator.
        dtype: of the actor's weights: float32 or float64.

    Attributes:
        learner: the actor and the critic.
        runs: completed so far, with something to learn from in each; the actor has been updated as often.
    """

    def __init__(
        self,
        setting: str | Setting = "paper",
        *,
        draw: Callable[[], Any] | None = None,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.setting = resolve(setting)
        check_draw(draw, self.setting)
        self.runs = 0
        self._draw = draw
        self._generator = own_generator(generator)
        self.learner = RunByRun(self.setting, generator=self._generator, dtype=checked_dtype(dtype))

    @contextmanager
    def run(self, optimizer: torch.optim.Optimizer) -> Generator[OnlineActorCritic]:
        """A training run of a fresh network; the actor is updated when the block ends without an error."""
        yield OnlineActorCritic(optimizer, draw=self._draw, learner=self.learner, generator=self._generator)
        self.runs += self.learner.end_run()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.setting.name}, runs={self.runs})"

    def state_dict(self) -> StateDict:
        """A copy of all that the runs to come depend on; to be taken between two runs."""
        state = {
            "setting": self.setting.describe(),
            "dtype": str(self.learner.dtype),
            "runs": self.runs,
            "generator": self._generator.get_state(),
            "learner": self.learner.state_dict(),
        }
        return copy.deepcopy(state)

    def load_state_dict(self, state: StateDict) -> None:
        """Take up what :meth:`state_dict` gave.

        Raises:
            InvalidArgument: it comes from another setting, or does not fit; nothing is changed then.
        """
        load_all_or_nothing(self, state, self._take_up)

    def _take_up(self, state: StateDict) -> None:
        self.setting.check_same(state["setting"])
        if state.get("dtype", str(self.learner.dtype)) != str(self.learner.dtype):  # 0.2 did not keep it
            raise InvalidArgument("the saved dtype", f"{self.learner.dtype} as here", state["dtype"])
        self.learner.load_state_dict(state["learner"])
        self._generator.set_state(state["generator"])
        self.runs = state["runs"]
