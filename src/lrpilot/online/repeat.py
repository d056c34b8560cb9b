"""An action that holds for several steps, whose batches count as one. ``f, f, ... -> mean f; g, g, ... -> mean g``."""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager
from statistics import fmean
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lrpilot.core.snapshot import parameters_of
from lrpilot.core.state import StateDict

from .arrays import Array, to_arrays, to_tensors

if TYPE_CHECKING:
    from jaxtyping import Float


def repeats(found: int, step: int, time: float) -> int:
    """For how many steps an action holds that is decided on after ``step`` steps: ``found max(1, sqrt(step / time))``.

    The reward remembers a hundred actions. Once a run makes no more progress, the rate at which the reward is 0 is
    inversely proportional to the number of steps remembered, whatever the noise. If that number grows with the root of
    the steps made, the rate falls as one over that root, as in stochastic approximation (Robbins and Monro, 1951).

    Args:
        found: for how many steps an action holds at the beginning; as many as make one batch of a few examples each.
        step: how many steps have been made.
        time: from which step on an action holds longer than that.

    >>> repeats(1, 900, 1000.0), repeats(1, 9000, 1000.0), repeats(10, 9000, 1000.0)
    (1, 3, 30)
    """
    return int(found * max(1.0, math.sqrt(step / time)))


class ActionRepeat:
    """One action, the observation that it was decided on, and what the batches of its steps say together.

    With a few examples a batch most of a loss and of a gradient is noise. The mean over several steps at one rate is
    what a larger batch would have shown. Holds as much memory as the gradients take.

    Args:
        optimizer: whose gradients are averaged.
        steps: for how many steps the action holds.
        s_t: the observation that it was decided on.
        a_t: the action.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, steps: int, s_t: Float[Array, " s"], a_t: Float[Array, " action"]
    ) -> None:
        self._optimizer = optimizer
        self.steps, self.s_t, self.a_t = steps, s_t, a_t
        self._losses: list[float] = []
        self._gradients: dict[Tensor, Tensor] = {}

    @property
    def begun(self) -> bool:
        """Whether a step has been made."""
        return bool(self._losses)

    @property
    def over(self) -> bool:
        """Whether all have."""
        return len(self._losses) >= self.steps

    @property
    def loss(self) -> float:
        """The mean loss of the batches so far."""
        return fmean(self._losses)

    @torch.no_grad()
    def add(self, loss: float) -> None:
        """Take in a batch: its loss, and the gradients in ``.grad``."""
        self._losses.append(loss)
        for parameter in parameters_of(self._optimizer):
            if parameter.grad is not None:
                held = self._gradients.get(parameter)
                self._gradients[parameter] = parameter.grad.clone() if held is None else held + parameter.grad

    @contextmanager
    def mean_gradients(self) -> Generator[None]:
        """Within, ``.grad`` is the mean over all batches; afterwards the last batch's again."""
        last = {parameter: parameter.grad for parameter in parameters_of(self._optimizer)}
        for parameter in last:
            total = self._gradients.get(parameter)
            parameter.grad = None if total is None else total / len(self._losses)
        try:
            yield
        finally:
            for parameter, gradient in last.items():
                parameter.grad = gradient

    def state_dict(self) -> StateDict:
        """How far it is; the gradients each under its parameter's place in the optimizer."""
        places = {parameter: place for place, parameter in enumerate(parameters_of(self._optimizer))}
        return {
            "steps": self.steps,
            "s_t": to_tensors(self.s_t),
            "a_t": to_tensors(self.a_t),
            "losses": list(self._losses),
            "gradients": {places[p]: total for p, total in self._gradients.items() if p in places},
        }

    @classmethod
    def of(cls, state: StateDict, optimizer: torch.optim.Optimizer) -> ActionRepeat:
        """The one that :meth:`state_dict` is of."""
        repeat = cls(optimizer, state["steps"], to_arrays(state["s_t"]), to_arrays(state["a_t"]))
        parameters = list(parameters_of(optimizer))
        repeat._losses = list(state["losses"])
        repeat._gradients = {parameters[place]: total for place, total in state["gradients"].items()}
        return repeat
