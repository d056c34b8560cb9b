"""Chunks: the steps that the actor is unrolled through for one update, where it is unrolled in chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from lrpilot.core.state import StateDict

from .arrays import Array, to_arrays, to_tensors

if TYPE_CHECKING:
    from jaxtyping import Float

    from .actor import LSTMState


class Chunk:
    """What decisions have read, and what was judged, since the actor was last updated. Mutable.

    Args:
        branches: whether what is judged after a step (s_j) is something else than what the next decision reads.
    """

    def __init__(self, *, branches: bool) -> None:
        self._branches = branches
        self.drop()

    def drop(self) -> None:
        """Begin anew: with an update, or where steps follow that nobody judges."""
        self._start: LSTMState | None = None
        self._visited: list[Array] = []
        self._judged: list[tuple[Array, Array]] = []

    def __len__(self) -> int:
        """Steps judged so far."""
        return len(self._judged)

    def visit(self, observation: Float[Array, "place s"]) -> None:
        """A decision has read ``observation``."""
        if self._judged:
            self._visited.append(observation)

    def judge(self, observation: Float[Array, "place s"], dq_da: Float[Array, " action"], memory: LSTMState) -> None:
        """The actor was judged at ``observation``, read from ``memory``; the first one's is where the chunk begins."""
        if self._start is None:
            self._start = memory
        self._judged.append((observation, dq_da))

    def read(self) -> tuple[Float[Array, "step sequence place s"], LSTMState]:
        """What the actor has to read to answer to all that was judged, and the (constant) memory at the beginning.

        One sequence, if nothing branches. Else one for each step judged, the n-th of which follows the decisions for
        n - 1 steps and then branches off: its n-th output counts, and what comes later does not.

        Raises:
            RuntimeError: nothing was judged.
        """
        if self._start is None:
            raise RuntimeError("an empty chunk")
        judged = np.stack([observation for observation, _ in self._judged])
        if not self._branches:
            return judged[:, None], self._start
        lived = np.stack([*self._visited[: len(judged) - 1], judged[-1]])[:, None]
        there = np.eye(len(judged), dtype=bool)[..., None, None]
        return np.where(there, judged, lived), self._start

    def outputs(self, read: Float[Tensor, "step sequence place knob"]) -> Float[Tensor, "step place knob"]:
        """Of what the actor answered to :meth:`read`, its outputs at what was judged."""
        return read.diagonal().movedim(-1, 0) if self._branches else read.squeeze(1)

    def slopes(self) -> Float[Array, "step action"]:
        """dQ/da as it was at each."""
        return np.stack([dq_da for _, dq_da in self._judged])

    def state_dict(self) -> StateDict:
        """All tensors."""
        return to_tensors({"start": self._start, "visited": self._visited, "judged": self._judged})

    def load_state_dict(self, state: StateDict) -> None:
        """Take up what :meth:`state_dict` gave."""
        state = to_arrays(state)
        self._start, self._visited, self._judged = state["start"], list(state["visited"]), list(state["judged"])
