"""The critic: how much a learning rate is worth in the long run. ``s_t, a_t -> Q``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from .actor import Initialisation, initialise_linear

if TYPE_CHECKING:
    from jaxtyping import Float

Activation = Literal["relu", "tanh"]
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": torch.relu, "tanh": torch.tanh}
SLOPES: dict[str, Callable[[Tensor], Tensor]] = {"relu": lambda h: (h > 0).to(h), "tanh": lambda h: 1 - h * h}
"""The derivative of each activation, of its own value."""
BENDS: dict[str, Callable[[Tensor], Tensor]] = {"relu": torch.zeros_like, "tanh": lambda h: -2 * h * (1 - h * h)}
"""The second derivative of each, of its own value."""


class Critic(nn.Module):
    """One hidden layer over the observation and the action (section 4.1 of the paper: 10 units).

    Args:
        inputs: size of the observation plus size of the action as the critic sees it.
        hidden: hidden units.
        activation: of the hidden layer.
        initialisation: ``"tensorflow"`` (uniform, ±sqrt(3 / fan-in), biases 0), ``"small"`` (normal 0.1, cut at two
            deviations, biases 0.1) or ``"pytorch"`` (its default).
        generator: draws the initial weights.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int = 10,
        *,
        activation: Activation = "relu",
        initialisation: Initialisation = "tensorflow",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.hidden = nn.Linear(inputs, hidden, device="cpu", dtype=torch.float32)  # where the generator draws
        self.value = nn.Linear(hidden, 1, device="cpu", dtype=torch.float32)
        self._activation = activation
        for layer in (self.hidden, self.value):
            initialise_linear(layer, initialisation, generator)

    def forward(
        self, observation: Float[Tensor, "*batch s"], action: Float[Tensor, "*batch a"]
    ) -> Float[Tensor, "*batch"]:
        """``Q(s, a)`` for each transition of the batch."""
        hidden = self._hidden(torch.cat((observation, action), dim=-1))
        return linear(hidden, self.value.weight, self.value.bias).squeeze(-1)

    def _hidden(self, inputs: Float[Tensor, "*batch x"]) -> Float[Tensor, "*batch unit"]:
        return ACTIVATIONS[self._activation](linear(inputs, self.hidden.weight, self.hidden.bias))

    @torch.no_grad()
    def slope(
        self, observation: Float[Tensor, "*batch s"], action: Float[Tensor, "*batch a"]
    ) -> Float[Tensor, "*batch a"]:
        """``dQ/da``, with respect to the action as the critic sees it."""
        hidden = self._hidden(torch.cat((observation, action), dim=-1))
        slopes = self.value.weight.flatten() * SLOPES[self._activation](hidden)
        return (slopes @ self.hidden.weight)[..., observation.shape[-1] :]

    @torch.no_grad()
    def differentiate(
        self,
        observation: Float[Tensor, "batch s"],
        action: Float[Tensor, "batch a"],
        along_q: Float[Tensor, " batch"],
        along_slope: Float[Tensor, "batch a"] | None = None,
    ) -> None:
        """Fill the parameters' ``.grad`` in closed form: what automatic differentiation finds, in less time.

        With ``h = phi(W x + b)``, ``Q = v h + d`` and ``dQ/dx = W^T (v phi')``, a loss whose gradients with respect to
        Q and dQ/dx are g and G has those ::

            v: g h + phi' (W G)         d: g
            W: e x^T + (v phi') G^T     b: e = g v phi' + v phi'' (W G)

        Args:
            observation, action: of each transition, x.
            along_q: g, the loss's gradient with respect to each Q.
            along_slope: G, its gradient with respect to each :meth:`slope`, if the loss depends on them.
        """
        inputs = torch.cat((observation, action), dim=1)
        hidden = self._hidden(inputs)
        v, phi1 = self.value.weight, SLOPES[self._activation](hidden)
        g = along_q[:, None]
        e, grad_v, grad_w = g * v * phi1, g.T @ hidden, None
        if along_slope is not None:
            padded = pad(along_slope, (observation.shape[1], 0))
            moved = padded @ self.hidden.weight.T
            grad_v = grad_v + (phi1 * moved).sum(0)
            grad_w = (v * phi1).T @ padded
            e = e + v * BENDS[self._activation](hidden) * moved
        self.value.weight.grad, self.value.bias.grad = grad_v, g.sum(0)
        self.hidden.weight.grad = e.T @ inputs if grad_w is None else e.T @ inputs + grad_w
        self.hidden.bias.grad = e.sum(0)
