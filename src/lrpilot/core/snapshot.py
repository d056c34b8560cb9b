"""A copy of a network and of its optimizer's state, and back."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor


class Snapshot:
    """A copy of an optimizer's parameters and state, and of buffers, at the moment of its construction.

    Restoring fills every tensor in place, so that references to them (views, compiled steps, other wrappers) stay
    valid. State that the optimizer has gained since is dropped. Learning rates are not part of it.

    Args:
        optimizer: whose parameters and state are copied: as much memory again as they take.
        buffers: further tensors, such as BatchNorm's running statistics.
    """

    @torch.no_grad()
    def __init__(self, optimizer: torch.optim.Optimizer, buffers: Iterable[Tensor] = ()) -> None:
        self._optimizer = optimizer
        self._values = [(b, b.clone()) for b in buffers]
        self._states: list[tuple[Tensor, dict]] = []
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                self._values.append((parameter, parameter.detach().clone()))
                self._states.append((parameter, copy.deepcopy(optimizer.state.get(parameter, {}))))

    @torch.no_grad()
    def restore(self) -> None:
        """Put everything back. The snapshot stays good for another time."""
        for held, value in self._values:
            held.copy_(value)
        for parameter, saved in self._states:
            state = self._optimizer.state[parameter]
            for key in [key for key in state if key not in saved]:
                del state[key]
            for key, value in saved.items():
                if isinstance(value, Tensor) and isinstance(state.get(key), Tensor):
                    state[key].copy_(value)
                else:
                    state[key] = copy.deepcopy(value)

    def state_dict(self) -> dict[str, list]:
        """The copied tensors, in the optimizer's order."""
        return {
            "values": [value for _, value in self._values],
            "states": [saved for _, saved in self._states],
        }

    def load_state_dict(self, state: dict) -> None:
        """Take up what :meth:`state_dict` gave, for the same optimizer and buffers."""
        self._values = [(held, value) for (held, _), value in zip(self._values, state["values"], strict=True)]
        self._states = [(held, saved) for (held, _), saved in zip(self._states, state["states"], strict=True)]
