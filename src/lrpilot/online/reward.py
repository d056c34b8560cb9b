"""Rewards: what a step was worth. ``f_t, f_{t+1} -> r_t``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

import numpy as np

from lrpilot.core.arguments import number_in, whole
from lrpilot.core.state import StateDict
from lrpilot.errors import InvalidArgument

from . import losses
from .arrays import TINY, Array

if TYPE_CHECKING:
    from jaxtyping import Float


class Evidence(NamedTuple):
    """What a step showed."""

    before: float
    """f_t: the loss of x_i before the step."""
    after: float | None = None
    """f_{t+1}: the loss of x_i after it, if it was looked at."""
    promised: float | None = None
    """The first-order decrement of the loss of x_i at the step's start, ``-(w_{t+1} - w_t) . g_i``, if measured."""
    elsewhere: float | None = None
    """The first-order decrement of the next batch's loss at the step's end, ``-(w_{t+1} - w_t) . g_j``, if measured. In
    place of the step a reward with a memory is shown all that it remembers, at the last one's rate."""
    along: tuple[Float[Array, " action"], Float[Array, " action"]] | None = None
    """``-(a dw_{t+1}/da) . g`` along each number of the action, not of the whole step. None where the
    rate is the only one: the step is proportional to it."""


@runtime_checkable
class Reward(Protocol):
    """Turns the evidence of a step into a reward, and perhaps into the reward's slope."""

    looks_every: int | None
    """``after`` is asked for at every so many steps, or never; it costs a forward pass."""
    measures_slope: bool
    """Whether ``promised`` and ``elsewhere`` are asked for, and a slope is answered."""
    memory: float
    """Of the steps before the last one, how much counts in ``elsewhere``: each ``memory`` times as much as the next."""

    def __call__(self, evidence: Evidence) -> tuple[float, Float[Array, " action"] | None]:
        """Reward and slope ``a dr/da`` along each number of the action as they are remembered.

        Moves running statistics. Called once a step.
        """
        ...

    def scaled(self, rewards: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """Remembered rewards or slopes as the critic sees them now."""
        ...

    def state_dict(self) -> StateDict:
        """The running statistics."""
        ...

    def load_state_dict(self, state: StateDict) -> None:
        """Take up what ``state_dict`` gave."""
        ...


class LossDecrement:
    """The paper's reward, equation 5, as it is. Stateless."""

    looks_every: int | None = 1
    measures_slope = False
    memory = 0.0

    def __call__(self, evidence: Evidence) -> tuple[float, None]:
        """``f_t - f_{t+1}``, and no slope."""
        if evidence.after is None:
            raise InvalidArgument("evidence", "complete with the loss after the step", None)
        return losses.reward(evidence.before, evidence.after), None

    def scaled(self, rewards: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """The rewards themselves."""
        return rewards

    def state_dict(self) -> StateDict:
        """Empty."""
        return {}

    def load_state_dict(self, state: StateDict) -> None:
        """Nothing to take up."""


class TransferredDecrement:
    """The decrement of the *next* batch's loss, and a little of the batch's own, both to first order.

    Equation 5 asks how much a step lowered the loss of the very batch it was made from. That is largest where each step
    undoes the one before. What a step did to a batch it has not seen is ``N = -(w_{t+1} - w_t) . g_j`` to first order,
    with the gradient that the next step computes anyway; and N is also the slope ``a df_j/da`` at the step's end,
    without the noise of a trial with another rate. But the rate that gains most on the next batch is smaller than the
    one that gains most in the long run, hence a little of equation 5. The decrement ``D = f_t - f_{t+1}`` of the
    own batch being quadratic in a, its slope is ``2 D - P`` with ``P = -(w_{t+1} - w_t) . g_i``; a look at f_{t+1} now
    and then tells how that compares to P: ::

        reward r  =  slope a dr/da  =  (N + own_batch c P) / mean |f|        c = running mean of (2 D - P) / P

    Where the action has several numbers, the slope along each is the same expression of what N and P are along it: c
    tells how much of the own batch's gradient along the step is left at the step's end.

    Args:
        own_batch: weight of equation 5. At rest N and P are both proportional to the gradient's noise, so that the
            weight should not have to follow the batch size.
        looks_every: steps from one look at f_{t+1} (a forward pass) to the next; None: none, and c is 1.
        decay: of the running means, each step.
        bound: scaled rewards are clipped to plus and minus this, so that one explosion does not drown the rest.
    """

    measures_slope = True
    memory = 0.0

    def __init__(
        self, own_batch: float = 0.03, *, looks_every: int | None = 8, decay: float = 0.99, bound: float = 5.0
    ) -> None:
        self.own_batch = number_in("own_batch", 0, 1, own_batch)
        self.looks_every = None if looks_every is None else whole("looks_every", looks_every)
        self.decay = number_in("decay", 0, 1, decay, ends="[)")
        self.bound = number_in("bound", 0, math.inf, bound, ends="(]")
        self._loss: float | None = None
        self._bend: float | None = None
        self._square: float | None = None

    def __call__(self, evidence: Evidence) -> tuple[float, Float[Array, " action"]]:
        """Reward and slope relative to the running loss."""
        before, after, promised, elsewhere, along = evidence
        if promised is None or elsewhere is None:
            raise InvalidArgument("evidence", "complete with promised and elsewhere", None)
        self._loss = _mean(self._loss, abs(before), self.decay)
        if after is not None and self.looks_every is not None:
            bend = (2 * losses.reward(before, after) - promised) / max(abs(promised), TINY)
            self._bend = _mean(self._bend, min(max(bend, -1.0), 1.0), self.decay**self.looks_every)
        size, left = max(self._loss, TINY), 1.0 if self._bend is None else self._bend

        def worth(promised: losses.Numbers, elsewhere: losses.Numbers) -> losses.Numbers:
            return (elsewhere + self.own_batch * (left * promised)) / size

        reward = worth(promised, elsewhere)
        self._square = _mean(self._square, reward * reward, self.decay)
        return reward, np.array([reward]) if along is None else worth(*along)

    def scaled(self, rewards: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """Divided by the root of the running mean square reward as it is now, clipped."""
        if self._square is None:
            return rewards
        size = max(math.sqrt(self._square), TINY)
        return np.minimum(np.maximum(rewards / size, -self.bound), self.bound)

    def state_dict(self) -> StateDict:
        """The running means."""
        return {"loss": self._loss, "bend": self._bend, "square": self._square}

    def load_state_dict(self, state: StateDict) -> None:
        """Take up what :meth:`state_dict` gave."""
        means = (state[name] for name in ("loss", "bend", "square"))
        self._loss, self._bend, self._square = (None if mean is None else float(mean) for mean in means)


class LastingDecrement(TransferredDecrement):
    """What the last hundred steps together would be worth to the next batch, and a little of what the step promised.

    One step's N charges little for steps that go back and forth, and how little depends on the network. In the sum of
    the last steps these cancel while those that lead somewhere add up, which makes it nearly the same at the best
    rate of very different networks. The steps are counted as they would have been at the present rate, so that a rate
    which has come down does not pay for the larger steps before: ::

        reward r  =  slope a dr/da  =  (M + own_batch P) / mean |f|
        M = -a_t sum_k memory^k (w_{t+1-k} - w_{t-k}) / a_{t-k} . g_j

    No further forward pass is needed.

    Args:
        own_batch: weight of what the step promised. A larger one settles at a higher rate.
        decay: of the running means, each step.
        bound: scaled rewards are clipped to plus and minus this.
    """

    memory = 0.99

    def __init__(self, own_batch: float = 0.17, *, decay: float = 0.99, bound: float = 5.0) -> None:
        super().__init__(own_batch, looks_every=None, decay=decay, bound=bound)


def _mean(mean: float | None, value: float, decay: float) -> float:
    """A running mean, one step on."""
    return value if mean is None else decay * mean + (1 - decay) * value
