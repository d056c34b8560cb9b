"""The critic: how much a learning rate is worth in the long run. ``s_t, a_t -> Q``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from .actor import initialise_linear

if TYPE_CHECKING:
    from jaxtyping import Float

Activation = Literal["relu", "tanh"]
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": torch.relu, "tanh": torch.tanh}


class Critic(nn.Module):
    """One hidden layer over the observation and the action (section 4.1 of the paper: 10 units).

    Args:
        inputs: size of the observation plus size of the action as the critic sees it.
        hidden: hidden units.
        activation: of the hidden layer.
        initialisation: ``"tensorflow"`` (uniform, ±sqrt(3 / fan-in), biases 0) or ``"pytorch"`` (its default).
        generator: draws the initial weights.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int = 10,
        *,
        activation: Activation = "relu",
        initialisation: Literal["tensorflow", "pytorch"] = "tensorflow",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.hidden = nn.Linear(inputs, hidden, device="cpu", dtype=torch.float32)  # where the generator draws
        self.value = nn.Linear(hidden, 1, device="cpu", dtype=torch.float32)
        self.activation = ACTIVATIONS[activation]
        for layer in (self.hidden, self.value):
            initialise_linear(layer, initialisation, generator)

    def forward(
        self, observation: Float[Tensor, "*batch s"], action: Float[Tensor, "*batch a"]
    ) -> Float[Tensor, "*batch"]:
        """``Q(s, a)`` for each transition of the batch."""
        inputs = torch.cat((observation, action), dim=-1)
        return self.value(self.activation(self.hidden(inputs))).squeeze(-1)
