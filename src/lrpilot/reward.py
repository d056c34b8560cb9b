"""Rewards: what a step was worth. ``f_t, f_{t+1} -> r_t``."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
from torch import Tensor

from . import losses
from .errors import InvalidArgument

if TYPE_CHECKING:
    from jaxtyping import Float


class Evidence(NamedTuple):
    """What a step showed. All scalars, detached."""

    before: Float[Tensor, ""]
    """f_t: the loss of x_i before the step."""
    after: Float[Tensor, ""] | None = None
    """f_{t+1}: the loss of x_i after it, if it was looked at."""
    promised: Float[Tensor, ""] | None = None
    """The first-order decrement of the loss of x_i at the step's start, ``-(w_{t+1} - w_t) . g_i``, if measured."""
    elsewhere: Float[Tensor, ""] | None = None
    """The first-order decrement of the next batch's loss at the step's end, ``-(w_{t+1} - w_t) . g_j``, if measured."""


class Reward(Protocol):
    """Turns the evidence of a step into a reward, and perhaps into the reward's slope."""

    needs_after: bool
    """Whether ``after`` is asked for, which costs a forward pass."""
    measures_slope: bool
    """Whether ``promised`` and ``elsewhere`` are asked for, and a slope is answered."""

    def __call__(self, evidence: Evidence) -> tuple[Float[Tensor, ""], Float[Tensor, ""] | None]:
        """Reward and slope ``a dr/da`` as they are remembered; moves running statistics. Called once a step."""
        ...

    def scaled(self, rewards: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Remembered rewards or slopes as the critic sees them now."""
        ...

    def state_dict(self) -> dict[str, object]:
        """The running statistics."""
        ...

    def load_state_dict(self, state: dict) -> None:
        """Take up what ``state_dict`` gave."""
        ...


class LossDecrement:
    """The paper's reward, equation 5, as it is. Stateless."""

    needs_after = True
    measures_slope = False

    def __call__(self, evidence: Evidence) -> tuple[Float[Tensor, ""], None]:
        """``f_t - f_{t+1}``, and no slope."""
        if evidence.after is None:
            raise InvalidArgument("evidence", "complete with the loss after the step", None)
        return losses.reward(evidence.before, evidence.after), None

    def scaled(self, rewards: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """The rewards themselves."""
        return rewards

    def state_dict(self) -> dict[str, object]:
        """Empty."""
        return {}

    def load_state_dict(self, state: dict) -> None:
        """Nothing to take up."""


class TransferredDecrement:
    """The decrement of the *next* batch's loss, and a little of the batch's own, both to first order.

    Equation 5 asks how much a step lowered the loss of the very batch it was made from. That is largest where each step
    undoes the one before. What a step did to a batch it has not seen is ``N = -(w_{t+1} - w_t) . g_j`` to first order,
    with the gradient that the next step computes anyway; and N is also the slope ``a df_j/da`` at the step's end,
    without the noise of a trial with another rate. But the rate that gains most on the next batch is smaller than the
    one that gains most in the long run, hence the little of equation 5, ``P = -(w_{t+1} - w_t) . g_i``: ::

        reward r  =  slope a dr/da  =  (N + own_batch P) / mean |f|

    Neither takes a forward pass.

    Args:
        own_batch: weight of P. At rest N and P shrink alike with the batch size, so that the weight need not follow it.
        decay: of the running means, each step.
        bound: scaled rewards are clipped to plus and minus this, so that one explosion does not drown the rest.
    """

    needs_after = False
    measures_slope = True

    def __init__(self, own_batch: float = 0.01, decay: float = 0.99, bound: float = 5.0) -> None:
        if not 0 <= own_batch <= 1:
            raise InvalidArgument("own_batch", "a number in [0, 1]", own_batch)
        self.own_batch = own_batch
        self.decay = decay
        self.bound = bound
        self._loss: Tensor | None = None
        self._square: Tensor | None = None

    def __call__(self, evidence: Evidence) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Reward and slope relative to the running loss."""
        if evidence.promised is None or evidence.elsewhere is None:
            raise InvalidArgument("evidence", "complete with promised and elsewhere", None)
        size = evidence.before.abs()
        self._loss = self._mean(self._loss, size)
        decrement = evidence.elsewhere + self.own_batch * evidence.promised
        reward = decrement / self._loss.clamp_min(torch.finfo(size.dtype).tiny)
        self._square = self._mean(self._square, reward.square())
        return reward, reward

    def scaled(self, rewards: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Divided by the root of the running mean square reward as it is now, clipped."""
        if self._square is None:
            return rewards
        size = self._square.sqrt().clamp_min(torch.finfo(rewards.dtype).tiny)
        return (rewards / size).clamp(-self.bound, self.bound)

    def _mean(self, mean: Tensor | None, value: Tensor) -> Tensor:
        return value if mean is None else torch.lerp(value, mean, self.decay)

    def state_dict(self) -> dict[str, object]:
        """The two running means."""
        return {"loss": self._loss, "square": self._square}

    def load_state_dict(self, state: dict) -> None:
        """Take up what :meth:`state_dict` gave."""
        self._loss, self._square = state["loss"], state["square"]
