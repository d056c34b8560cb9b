"""How a step moved the parameters, and what that is worth to a batch. ``w_t, w_{t+1}, g -> -(w_{t+1} - w_t) . g``."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lrpilot.core.snapshot import parameters_of
from lrpilot.core.state import StateDict

if TYPE_CHECKING:
    from jaxtyping import Float


class Displacement:
    """How the last step of an optimizer moved the parameters, and what that was worth to the next batch.

    Holds as much memory as the trainable parameters take. Parameters may be frozen, unfrozen and added at any time:
    each counts from its first whole step.

    Args:
        optimizer: whose parameters are watched.
        like: an empty tensor on the device and of the dtype that :meth:`decrement` answers in.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, *, like: Tensor) -> None:
        self._optimizer = optimizer
        self._like = like
        self._moved: dict[Tensor, Tensor] = {}

    @torch.no_grad()
    def begin(self) -> None:
        """Remember the parameters as they are: called right before the step."""
        held, self._moved = self._moved, {}
        for parameter in parameters_of(self._optimizer):
            if parameter.requires_grad:
                room = held.get(parameter)
                self._moved[parameter] = parameter.detach().clone() if room is None else room.copy_(parameter)

    @torch.no_grad()
    def end(self) -> None:
        """Keep how they moved instead: called right after the step."""
        for parameter, held in self._moved.items():
            held.sub_(parameter)

    @torch.no_grad()
    def decrement(self) -> Float[Tensor, ""]:
        """``-(w_{t+1} - w_t) . g``: how much the step lowers the loss whose gradients are in ``.grad``, to first order.

        Right after the step these are the gradients of its own batch at its start; after the next backward pass those
        of the next batch at its end. No forward pass is needed for it. A parameter without a gradient adds nothing.
        """
        return self._decrement(self._moved)

    @torch.no_grad()
    def decrements(self) -> Float[Tensor, " group"]:
        """What each parameter group adds to :meth:`decrement`."""
        return torch.stack([self._decrement(group["params"]) for group in self._optimizer.param_groups])

    def _decrement(self, parameters: Iterable[Tensor]) -> Float[Tensor, ""]:
        pairs = [(self._moved[p], p.grad) for p in parameters if p in self._moved and p.grad is not None]
        gains = [inner_product(moved, gradient).to(self._like) for moved, gradient in pairs]
        return torch.stack(gains).sum() if gains else self._like.new_zeros(())

    @torch.no_grad()
    def undo(self) -> None:
        """Put the parameters back to what they were before the step (to their rounding)."""
        for parameter, moved in self._moved.items():
            parameter.add_(moved)

    @contextmanager
    def undone(self) -> Generator[None]:
        """Within, the parameters are what they were before the step (to their rounding); afterwards as they are now."""
        with torch.no_grad():
            here = [parameter.clone() for parameter in self._moved]
        self.undo()
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, value in zip(self._moved, here, strict=True):
                    parameter.copy_(value)

    def state_dict(self) -> StateDict:
        """How the parameters moved with the last step, each under its place in the optimizer."""
        moved = {place: self._moved.get(p) for place, p in enumerate(parameters_of(self._optimizer))}
        return {"moved": {place: tensor for place, tensor in moved.items() if tensor is not None}}

    def load_state_dict(self, state: StateDict) -> None:
        """Take up what :meth:`state_dict` gave."""
        parameters = list(parameters_of(self._optimizer))
        self._moved = {parameters[place]: moved.to(parameters[place]) for place, moved in state["moved"].items()}


def inner_product(dense: Float[Tensor, "*shape"], other: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """The real inner product of two tensors of one shape, real or complex, of which the second may be sparse (COO).

    >>> inner_product(torch.tensor([1j, 2.0]), torch.tensor([3j, 4.0]))
    tensor(11.)
    """
    if other.layout == torch.sparse_coo:
        other = other.coalesce()
        dense, other = dense.sparse_mask(other).values(), other.values()
    if dense.is_complex():
        return torch.vdot(dense.flatten(), other.flatten()).real
    return torch.dot(dense.flatten(), other.flatten())
