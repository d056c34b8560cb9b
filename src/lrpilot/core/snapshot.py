"""A copy of a network and of its optimizer's state, and back."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor

from lrpilot.errors import InvalidArgument

from .state import StateDict


class Snapshot:
    """A copy of an optimizer's parameters and state, and of buffers, at the moment of its construction.

    Restoring fills every tensor in place, so that references to them (views, compiled steps, other wrappers) stay
    valid. State that the optimizer has gained since is dropped; parameters that have joined it since (but for
    :meth:`extend`), that have left it, or that are of another shape now, are left alone.
    Learning rates are not part of it.

    Args:
        optimizer: whose parameters and state are copied: as much memory again as they take.
        buffers: further tensors, such as BatchNorm's running statistics.
    """

    @torch.no_grad()
    def __init__(self, optimizer: torch.optim.Optimizer, buffers: Iterable[Tensor] = ()) -> None:
        self._optimizer = optimizer
        self._values: list[tuple[Tensor, Tensor | None]] = [(buffer, buffer.clone()) for buffer in buffers]
        self._states: list[tuple[Tensor, StateDict]] = []
        self.extend()

    @torch.no_grad()
    def extend(self) -> None:
        """Copy the parameters that have joined the optimizer since, too, as they are now."""
        copied = {parameter for parameter, _ in self._states}
        for parameter in parameters_of(self._optimizer):
            if parameter not in copied:
                self._values.append((parameter, parameter.detach().clone()))
                self._states.append((parameter, copy.deepcopy(self._optimizer.state.get(parameter, {}))))

    @torch.no_grad()
    def restore(self, buffers: Iterable[Tensor] = ()) -> None:
        """Put everything back. The snapshot stays good for another time.

        Args:
            buffers: the given ones, in their order, as they stand now: a module may have put others in their place.
        """
        given = ((now, value) for now, (_, value) in zip(buffers, self._values, strict=False))
        reshaped = set[Tensor]()
        values, states = self._present()
        for held, value in (*values, *given):
            if value is not None and held.shape == value.shape:
                held.copy_(value)
            else:
                reshaped.add(held)
        for parameter, saved in states:
            if parameter in reshaped:
                continue
            state = self._optimizer.state[parameter]
            for key in [key for key in state if key not in saved]:
                del state[key]
            for key, value in saved.items():
                now = state.get(key)
                if isinstance(value, Tensor) and isinstance(now, Tensor) and now.shape == value.shape:
                    now.copy_(value)
                else:
                    state[key] = copy.deepcopy(value)

    def state_dict(self) -> StateDict:
        """The copied tensors: the buffers', then the parameters' in the optimizer's order.

        They are shared with the snapshot, not copied once more: nothing ever writes into them. In the place of a
        parameter that would be left alone, for it is of another shape now, stands None; one that has left is left out.
        """
        values, states = self._present()
        buffers = len(values) - len(states)
        return {
            "values": [
                value if i < buffers or (value is not None and held.shape == value.shape) else None
                for i, (held, value) in enumerate(values)
            ],
            "states": [saved for _, saved in states],
        }

    def _present(self) -> tuple[list[tuple[Tensor, Tensor | None]], list[tuple[Tensor, StateDict]]]:
        """The values and the states, without those of parameters that have left the optimizer."""
        here = set(parameters_of(self._optimizer))
        buffers = len(self._values) - len(self._states)
        return (
            self._values[:buffers] + [pair for pair in self._values[buffers:] if pair[0] in here],
            [pair for pair in self._states if pair[0] in here],
        )

    def load_state_dict(self, state: StateDict) -> None:
        """Take up what :meth:`state_dict` gave, for the same network.

        Parameters are known by their place in the optimizer, which further groups do not change: the state may come
        from an optimizer that had fewer or more of them than this one had when this snapshot was taken.

        Raises:
            InvalidArgument: the optimizer has fewer parameters than were copied, or one of another shape, or other
                buffers; nothing is changed then.
        """
        copied = len(state["states"])
        parameters = list(parameters_of(self._optimizer))[:copied]
        held = [*(tensor for tensor, _ in self._values[: len(self._values) - len(self._states)]), *parameters]
        shapes = [tuple(tensor.shape) for tensor in held]
        saved = [None if value is None else tuple(value.shape) for value in state["values"]]
        fits = len(shapes) == len(saved) and all(two in (one, None) for one, two in zip(shapes, saved, strict=True))
        if not fits:
            raise InvalidArgument("the saved copy's tensors", f"of the shapes {shapes} as here", saved)
        self._values = list(zip(held, state["values"], strict=True))
        self._states = list(zip(parameters, state["states"], strict=True))


def check_numbers(optimizer: torch.optim.Optimizer) -> None:
    """Refuse parameters on the meta device, which have a shape and no numbers.

    Raises:
        InvalidArgument: there are some.
    """
    if any(parameter.is_meta for parameter in parameters_of(optimizer)):
        allowed = "one whose parameters hold numbers (make it after to_empty and the weights' initialisation)"
        raise InvalidArgument("optimizer", allowed, "parameters on the meta device")


def parameters_of(optimizer: torch.optim.Optimizer) -> Iterable[Tensor]:
    """All parameters, group by group. A group that is added comes last, so that a parameter keeps its place."""
    return (parameter for group in optimizer.param_groups for parameter in group["params"])
