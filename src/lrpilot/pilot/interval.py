"""What happened between two decisions: losses, and what gradients, updates and weights tell."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from .measurement import Measured

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from .arithmetic import Number, Truth

MEASURED_STEPS = 6
"""Gradients and updates are measured in the last so many steps of an interval (fewer if it is shorter)."""


@dataclass(frozen=True, kw_only=True)
class Interval(Measured["Number"]):
    """What happened between two decisions. Every number is [*run], or a float of one run.

    What gradients, updates and weights tell are the fields of :class:`Measured`.

    Attributes:
        losses: [*run, step], the losses of the steps since the last decision, at least one.
        log_rate: log(rate / start rate) in force during the interval.
        last_step: the log-rate step the last decision made, as applied; 0 before the first.
        boundaries: (last decision, this one, the next one) as fractions of the run; None in the anytime mode.
            Tensors have NaN for runs of unknown length.
        taken_back: whether the network is taken back to its start at this decision (see `takes_back`).
    """

    losses: Float[Tensor, "*run step"]
    log_rate: Number
    last_step: Number
    boundaries: tuple[Number, Number, Number] | None
    taken_back: Truth = False

    @cached_property
    def first(self) -> Float[Tensor, "*run"]:
        """The first loss that is finite; one that is not if none is."""
        losses = self.losses.detach()
        return losses.gather(-1, losses.isfinite().byte().argmax(-1, keepdim=True)).squeeze(-1)

    @cached_property
    def lowest(self) -> Float[Tensor, "*run"]:
        """The lowest loss that is finite; infinite if none is."""
        return self.losses.detach().nan_to_num(torch.inf, torch.inf, torch.inf).amin(-1)

    @classmethod
    def unmeasured(cls, losses: Float[Tensor, "*run step"], **known: object) -> Interval:
        """An interval of which the losses are known and what else is named; the rest is NaN, steps are 0."""
        nan = torch.full_like(losses[..., 0], torch.nan)
        values: dict[str, object] = dict.fromkeys((field.name for field in fields(Measured)), nan)
        values |= {"log_rate": torch.zeros_like(nan), "last_step": torch.zeros_like(nan), "boundaries": None}
        return cls(losses=losses, **(values | known))  # type: ignore[arg-type]
