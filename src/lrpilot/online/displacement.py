"""How steps moved the parameters, and what that is worth to a batch. ``w_t, w_{t+1}, g -> -(w_{t+1} - w_t) . g``."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from functools import reduce
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lrpilot.core.snapshot import parameters_of
from lrpilot.core.state import StateDict
from lrpilot.errors import InvalidArgument

if TYPE_CHECKING:
    from jaxtyping import Float

TINY = 1e-30
"""At a lower rate no parameter moves."""


class Displacement:
    """How the last steps of an optimizer moved the parameters, and what that was worth to the next batch.

    Holds as much memory as the trainable parameters take, and as much again if steps are remembered. Parameters may be
    frozen, unfrozen and added at any time: each counts from its first whole step.

    Args:
        optimizer: whose parameters are watched.
        like: an empty tensor on the device and of the dtype that :meth:`decrement` answers in.
        memory: in [0, 1): a step counts so many times as much as the one after it in the trail, the sum of all of them
            as they would have been at the rate of the last.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, *, like: Tensor, memory: float = 0.0) -> None:
        self._optimizer = optimizer
        self._like = like
        self._memory = memory
        self._moved: dict[Tensor, Tensor] = {}
        self._trail: dict[Tensor, Tensor] = {}  # divided by the rate

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
        if self._memory:
            self._lengthen()

    def _lengthen(self) -> None:
        """Add the step to the trail."""
        before, self._trail = self._trail, {}
        for group in self._optimizer.param_groups:
            rate = float(group["lr"])
            share = 1 / rate if rate > TINY else 0.0  # so small a step moves nothing
            for parameter in group["params"]:
                if parameter in self._moved:
                    trail = before.get(parameter)
                    trail = torch.zeros_like(parameter) if trail is None else trail.mul_(self._memory)
                    self._trail[parameter] = trail.add_(self._moved[parameter], alpha=share)

    def forget(self) -> None:
        """Remember no step before the next: the network has been put back, or will be."""
        self._trail = {}

    @torch.no_grad()
    def decrement(self, *, trail: bool = False) -> Float[Tensor, ""]:
        """``-(w_{t+1} - w_t) . g``: how much the step lowers the loss whose gradients are in ``.grad``, to first order.

        Right after the step these are the gradients of its own batch at its start; after the next backward pass those
        of the next batch at its end. No forward pass is needed for it. A parameter without a gradient adds nothing.

        Args:
            trail: of the trail in place of the step, unless none is remembered.
        """
        return reduce(torch.add, (self._decrement(group, trail=trail) for group in self._optimizer.param_groups))

    @torch.no_grad()
    def decrements(self, *, trail: bool) -> Float[Tensor, " group"]:
        """What each parameter group adds to :meth:`decrement`."""
        return torch.stack([self._decrement(group, trail=trail) for group in self._optimizer.param_groups])

    def _decrement(self, group: dict[str, Any], *, trail: bool) -> Float[Tensor, ""]:
        trail = trail and bool(self._trail)
        steps = self._trail if trail else self._moved
        pairs = [(steps[p], p.grad) for p in group["params"] if p in steps and p.grad is not None]
        gains = [inner_product(moved, gradient).to(self._like) for moved, gradient in pairs]
        gain = torch.stack(gains).sum() if gains else self._like.new_zeros(())
        return gain * float(group["lr"]) if trail else gain

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
        """How the parameters moved with the last step, and with those before, each under its place in the optimizer."""
        places = {parameter: place for place, parameter in enumerate(parameters_of(self._optimizer))}

        def by_place(steps: dict[Tensor, Tensor]) -> dict[int, Tensor]:
            return {places[p]: tensor for p, tensor in steps.items() if p in places}

        return {"moved": by_place(self._moved), "trail": by_place(self._trail)}

    def load_state_dict(self, state: StateDict) -> None:
        """Take up what :meth:`state_dict` gave.

        Raises:
            InvalidArgument: it is of parameters of other shapes.
        """
        parameters = list(parameters_of(self._optimizer))
        here = {place: tuple(parameter.shape) for place, parameter in enumerate(parameters)}
        saved = {place: tuple(tensor.shape) for name in state for place, tensor in state[name].items()}
        if not saved.items() <= here.items():
            raise InvalidArgument("the saved steps", f"of parameters of the shapes {here} as here", saved)
        self._moved, self._trail = (
            {parameters[place]: tensor.to(parameters[place]) for place, tensor in state.get(name, {}).items()}
            for name in ("moved", "trail")  # 0.2 kept no trail
        )


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
