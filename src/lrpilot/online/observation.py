"""Observations: what training shows the actor. ``loss -> s_t``.

The paper's state function chi is the average loss of the current mini-batch. Deviation D1 reads the same loss
in a form that keeps its scale over a whole run.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from lrpilot.core.arguments import number_in
from lrpilot.core.state import StateDict

from .arrays import TINY, Array

if TYPE_CHECKING:
    from jaxtyping import Float


@runtime_checkable
class Observation(Protocol):
    """Turns the loss of a mini-batch into a vector. ``__call__`` is pure; ``commit`` moves running statistics."""

    size: int

    def __call__(self, loss: float) -> Float[Array, " s"]:
        """The observation of ``loss`` (a finite scalar)."""
        ...

    def commit(self, loss: float) -> None:
        """Take ``loss`` into the running statistics: called once a step, for the loss of the decision (line 6)."""
        ...

    def state_dict(self) -> StateDict:
        """The running statistics."""
        ...

    def load_state_dict(self, state: StateDict) -> None:
        """Take up what ``state_dict`` gave."""
        ...


class BatchLoss:
    """The paper's observation (section 4.1): the average loss of the mini-batch, as it is. Size 1, stateless."""

    size = 1

    def __call__(self, loss: float) -> Float[Array, " s"]:
        """``[f_t]``."""
        return np.array([loss])

    def commit(self, loss: float) -> None:
        """Nothing to remember."""

    def state_dict(self) -> StateDict:
        """Empty."""
        return {}

    def load_state_dict(self, state: StateDict) -> None:
        """Nothing to take up."""


class RelativeLogLoss:
    """``[log f_t - m_t, m_t - m_0]`` with ``m`` the running mean of the log loss: both near one in size, size 2.

    Multiplying every loss by a constant changes nothing. Losses below ``floor`` times the first one's size (among
    them all losses that are not positive) are read as that floor.

    Args:
        decay: of the running mean, each step.
        floor: relative to the first loss.
    """

    size = 2

    def __init__(self, decay: float = 0.99, floor: float = 1e-8) -> None:
        self.decay = number_in("decay", 0, 1, decay, ends="[)")
        self.floor = number_in("floor", 0, 1, floor, ends="()")
        self._past: tuple[float, float] | None = None  # the first loss and the running mean

    def __call__(self, loss: float) -> Float[Array, " s"]:
        """The observation of ``loss``: zeros before the first commit."""
        if self._past is None:
            return np.zeros(2)
        first, mean = self._past
        return np.array([self._log(loss / first) - mean, mean])

    def commit(self, loss: float) -> None:
        """Move the running mean."""
        if self._past is None:
            self._past = max(abs(loss), TINY), 0.0
        else:
            first, mean = self._past
            self._past = first, (1 - self.decay) * self._log(loss / first) + self.decay * mean

    def _log(self, relative: float) -> float:
        return math.log(max(relative, self.floor))

    def state_dict(self) -> StateDict:
        """The first loss and the running mean."""
        first, mean = self._past or (None, None)
        return {"first": first, "mean": mean}

    def load_state_dict(self, state: StateDict) -> None:
        """Take up what :meth:`state_dict` gave."""
        self._past = None if state["first"] is None else (float(state["first"]), float(state["mean"]))
