"""Rewards: what a step was worth. ``f_t, f_{t+1} -> r_t``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from . import losses

if TYPE_CHECKING:
    from jaxtyping import Float


class Reward(Protocol):
    """Turns the losses of one batch before and after a step into a reward."""

    counts_other_batch: bool
    """Whether ``elsewhere`` is asked for."""

    def __call__(
        self, before: Float[Tensor, ""], after: Float[Tensor, ""], elsewhere: Float[Tensor, ""] | None
    ) -> Float[Tensor, ""]:
        """The reward as it is remembered; moves running statistics. Called once a step.

        Args:
            before: f_t on x_i.
            after: f_{t+1} on x_i.
            elsewhere: the decrement of the loss of x_j, to first order.
        """
        ...

    def scaled(self, rewards: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Remembered rewards as the critic sees them now."""
        ...

    def state_dict(self) -> dict[str, object]:
        """The running statistics."""
        ...

    def load_state_dict(self, state: dict) -> None:
        """Take up what ``state_dict`` gave."""
        ...


class LossDecrement:
    """The paper's reward, equation 5, as it is. Stateless."""

    counts_other_batch = False

    def __call__(self, before: Tensor, after: Tensor, elsewhere: Tensor | None) -> Tensor:
        """``f_t - f_{t+1}``."""
        return losses.reward(before, after)

    def scaled(self, rewards: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """The rewards themselves."""
        return rewards

    def state_dict(self) -> dict[str, object]:
        """Empty."""
        return {}

    def load_state_dict(self, state: dict) -> None:
        """Nothing to take up."""


class NormalisedDecrement:
    """Equation 5 relative to the running loss, and scaled by its own running size: near one throughout a run.

    The decrement of the very batch just trained on is largest when every step undoes the one before it; the
    decrement of another batch falls for ever smaller rates. Their mean does neither.

    Args:
        other_batch: weight of the other batch's decrement, in [0, 1].
        decay: of both running means, each step.
        bound: scaled rewards are clipped to plus and minus this, so that one explosion does not drown the rest.
    """

    def __init__(self, other_batch: float = 0.5, decay: float = 0.99, bound: float = 5.0) -> None:
        self.other_batch = other_batch
        self.counts_other_batch = other_batch > 0
        self.decay = decay
        self.bound = bound
        self._loss: Tensor | None = None
        self._square: Tensor | None = None

    def __call__(self, before: Tensor, after: Tensor, elsewhere: Tensor | None) -> Tensor:
        """``(f_t - f_{t+1}) / mean |f|``, over both batches."""
        size = before.abs()
        self._loss = size if self._loss is None else torch.lerp(size, self._loss, self.decay)
        decrement = losses.reward(before, after)
        if elsewhere is not None:
            decrement = torch.lerp(decrement, elsewhere, self.other_batch)
        reward = decrement / self._loss.clamp_min(torch.finfo(size.dtype).tiny)
        square = reward.square()
        self._square = square if self._square is None else torch.lerp(square, self._square, self.decay)
        return reward

    def scaled(self, rewards: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Divided by the root of the running mean square as it is now, clipped."""
        if self._square is None:
            return rewards
        size = self._square.sqrt().clamp_min(torch.finfo(rewards.dtype).tiny)
        return (rewards / size).clamp(-self.bound, self.bound)

    def state_dict(self) -> dict[str, object]:
        """The two running means."""
        return {"loss": self._loss, "square": self._square}

    def load_state_dict(self, state: dict) -> None:
        """Take up what :meth:`state_dict` gave."""
        self._loss, self._square = state["loss"], state["square"]
