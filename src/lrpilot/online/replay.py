"""Transitions, and the memory from which the critic learns them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from lrpilot.core.arguments import real
from lrpilot.core.state import StateDict
from lrpilot.errors import InvalidArgument

from .arrays import Array, to_arrays, to_tensors

if TYPE_CHECKING:
    from jaxtyping import Float


class Transition(NamedTuple):
    """``(s_t, a_t, r_t, s_{t+1}, a_{t+1})``, one or a batch, and the slope of the reward if measured."""

    observation: Float[Array, "*batch s"]
    rate: Float[Array, "*batch action"]
    reward: float | Float[Array, " batch"]
    next_observation: Float[Array, "*batch s"]
    next_rate: Float[Array, "*batch action"]
    slope: Float[Array, "*batch action"] | None


class LastTransition:
    """No memory (the paper): the critic learns from the transition that has just happened, and from no other."""

    def learn_from(self, transition: Transition, generator: torch.Generator) -> Transition:
        """The transition itself, as a batch of one."""
        return Transition._make(None if part is None else np.asarray(part)[None] for part in transition)

    def state_dict(self) -> StateDict:
        """Empty."""
        return {}

    def load_state_dict(self, state: StateDict) -> None:
        """Nothing to take up."""


class Replay:
    """The last ``capacity`` transitions; the critic learns from ``batch`` of them, drawn uniformly, each step.

    Args:
        capacity: in transitions.
        batch: transitions drawn, the newest always among them.
    """

    def __init__(self, capacity: int = 2000, batch: int = 64) -> None:
        if not 1 <= real(batch) <= real(capacity):
            raise InvalidArgument("batch", f"between 1 and the capacity of {capacity}", batch)
        self.capacity = capacity
        self.batch = batch
        self._rows: Float[Array, "transition number"] | None = None
        self._count = 0

    def learn_from(self, transition: Transition, generator: torch.Generator) -> Transition:
        """Store ``transition`` and draw a batch; one row of memory holds one transition."""
        parts = [np.asarray(part) for part in transition if part is not None]
        if self._rows is None:
            self._rows = np.zeros((self.capacity, sum(part.size for part in parts)))
        newest = self._count % self.capacity
        self._rows[newest] = np.concatenate([part.reshape(-1) for part in parts])
        self._count += 1
        drawn = torch.randint(min(self._count, self.capacity), (self.batch,), generator=generator, device="cpu")
        drawn[0] = newest
        ends = np.cumsum([part.size for part in parts])
        columns = iter(np.split(self._rows[drawn.numpy()], ends[:-1], axis=1))
        return Transition._make(
            None if part is None else next(columns).reshape(self.batch, *np.shape(part)) for part in transition
        )

    def state_dict(self) -> StateDict:
        """The rows and how many transitions were ever stored."""
        return to_tensors({"rows": self._rows, "count": self._count})

    def load_state_dict(self, state: StateDict) -> None:
        """Take up what :meth:`state_dict` gave."""
        self._rows, self._count = to_arrays(state["rows"]), state["count"]
