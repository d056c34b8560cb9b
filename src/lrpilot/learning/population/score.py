"""How a run ended, in one number: the policy is learned and judged by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

LOSS_CAP = 1.5
"""A loss counts as at most this multiple of the untrained network's: beyond, all runs are equally lost."""
LOSS_FLOOR = 0.005
"""Added to the relative loss: below a two-hundredth of the untrained network's, a lower loss hardly counts."""
CHANCE = 0.9
"""The error of guessing one of ten classes, the unit of the error; a run without finite losses has it."""
ERROR_FLOOR = 0.01
"""Added to the error: below one percent, a lower error hardly counts."""


class Performance(NamedTuple):
    """How networks do, noise-free and with the loss scale taken out, each [run]."""

    training_loss: Tensor
    held_out_loss: Tensor
    held_out_error: Tensor  # share of wrong labels; NaN for regression


def score(final: Performance, first: Performance) -> Float[Tensor, " run"]:
    """Mean of log losses relative to the untrained network and, for classification, the log error; lower is better.

    1/4 log training loss + 1/4 log held-out loss + 1/2 log held-out error    (classification)
    1/2 log training loss + 1/2 log held-out loss                             (regression)

    What generalises weighs three quarters; the error, which users read, as much as both losses, which are less noisy.
    """
    losses = _log_loss(final.training_loss, first.training_loss) / 2
    losses = losses + _log_loss(final.held_out_loss, first.held_out_loss) / 2
    error = torch.where(torch.isfinite(final.held_out_loss), final.held_out_error, CHANCE)
    both = 0.5 * losses + 0.5 * ((error + ERROR_FLOOR) / CHANCE).log()
    return torch.where(torch.isnan(first.held_out_error), losses, both)


def _log_loss(loss: Float[Tensor, " run"], untrained: Float[Tensor, " run"]) -> Float[Tensor, " run"]:
    loss = torch.where(torch.isfinite(loss), loss, torch.inf)
    return (torch.minimum(loss, LOSS_CAP * untrained) / untrained + LOSS_FLOOR).log()
