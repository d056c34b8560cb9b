"""The critic: how much a learning rate is worth in the long run. ``s_t, a_t -> Q``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch
from torch import nn

from .actor import Initialisation, initialise_linear
from .arrays import Array, weights

if TYPE_CHECKING:
    from jaxtyping import Float

Activation = Literal["relu", "tanh"]
ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"relu": lambda x: np.maximum(x, 0.0), "tanh": np.tanh}
SLOPES: dict[str, Callable[[Array], Array]] = {"relu": lambda h: (h > 0).astype(float), "tanh": lambda h: 1 - h * h}
"""The derivative of each activation, of its own value."""
BENDS: dict[str, Callable[[Array], Array]] = {"relu": np.zeros_like, "tanh": lambda h: -2 * h}
"""The second derivative of each as a multiple of the first, of its own value."""


class Reading(NamedTuple):
    """What the hidden layer makes of some observations and actions, and the weights that it was read with."""

    inputs: Float[Array, "*batch x"]
    """x: observation and action."""
    hidden: Float[Array, "*batch unit"]
    """h = phi(W x + b)."""
    slopes: Float[Array, "*batch unit"]
    """phi'."""
    w: Float[Array, "unit a"]
    """Of W, what acts on the action."""
    v: Float[Array, " unit"]
    """The weights of Q."""


class Critic(nn.Module):
    """One hidden layer over the observation and the action (section 4.1 of the paper: 10 units), in double precision.

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
        self.double()
        self._weights = self.hidden.weight, self.hidden.bias, self.value.weight, self.value.bias

    def read(self, observation: Float[Array, "*batch s"], action: Float[Array, "*batch a"]) -> Reading:
        """What :meth:`q`, :meth:`slope` and :meth:`differentiate` need of these observations and actions."""
        inputs = np.concatenate((observation, action), axis=-1)
        w, b, v, _ = map(weights, self._weights)
        hidden = ACTIVATIONS[self._activation](inputs @ w.T + b)
        return Reading(inputs, hidden, SLOPES[self._activation](hidden), w[:, observation.shape[-1] :], v[0])

    def q(self, reading: Reading) -> Float[Array, "*batch"]:
        """``Q(s, a)`` of each transition."""
        return reading.hidden @ reading.v + weights(self.value.bias)[0]

    def slope(self, reading: Reading) -> Float[Array, "*batch a"]:
        """``dQ/da``, with respect to the action as the critic sees it."""
        return (reading.v * reading.slopes) @ reading.w

    def differentiate(
        self, reading: Reading, along_q: Float[Array, " batch"], along_slope: Float[Array, "batch a"] | None = None
    ) -> None:
        """Fill the parameters' ``.grad`` in closed form: what automatic differentiation finds, in less time.

        With ``h = phi(W x + b)``, ``Q = v h + d`` and ``dQ/dx = W^T (v phi')``, a loss whose gradients with respect to
        Q and dQ/dx are g and G has those ::

            v: g h + phi' (W G)         d: g
            W: e x^T + (v phi') G^T     b: e = g v phi' + v phi'' (W G)

        Args:
            reading: of each transition.
            along_q: g, the loss's gradient with respect to each Q.
            along_slope: G, its gradient with respect to each :meth:`slope`, if the loss depends on them.
        """
        inputs, hidden, slopes, w, v = reading
        along = v * slopes
        grad_v, e = along_q @ hidden, along_q[:, None] * along
        if along_slope is not None:
            moved = along_slope @ w.T
            grad_v = grad_v + (slopes * moved).sum(0)
            e = e + along * BENDS[self._activation](hidden) * moved
        grad_w = e.T @ inputs
        if along_slope is not None:
            grad_w[:, -w.shape[1] :] += along.T @ along_slope
        gradients = grad_w, e.sum(0), grad_v[None], along_q.sum(keepdims=True)
        for parameter, gradient in zip(self._weights, gradients, strict=True):
            parameter.grad = torch.from_numpy(gradient)
