"""States: what a ``state_dict`` holds, and how one is taken up."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from lrpilot.errors import InvalidArgument

StateDict = dict[str, Any]
"""Tensors, numbers, strings and plain containers of them by name: all that ``torch.save`` and ``torch.load`` take with
``weights_only=True``. A controller's state is a value: what happens afterwards to the controller that gave it, or to
one that has loaded it, does not show in it."""


@runtime_checkable
class Stateful(Protocol):
    """Whatever gives its state and takes one up."""

    def state_dict(self) -> StateDict:
        """All that it needs to go on as if nothing had happened."""
        ...

    def load_state_dict(self, state: StateDict, /) -> Any:
        """Take up what :meth:`state_dict` gave."""
        ...


def load_all_or_nothing(owner: Stateful, state: StateDict, take_up: Callable[[StateDict], None]) -> None:
    """Call ``take_up`` with a copy of ``state``; if that fails, with what ``owner`` was before.

    Raises:
        InvalidArgument: the state does not fit; ``owner`` is as it was.
    """
    if not isinstance(state, dict):  # type: ignore[reportUnnecessaryIsInstance] - users hand in what they have loaded
        raise InvalidArgument("the saved state", f"{that_of(owner)}, a dictionary", state)
    before = owner.state_dict()
    try:
        take_up(copy.deepcopy(state))
    except Exception as error:
        take_up(before)
        if isinstance(error, InvalidArgument):
            raise
        allowed = f"{that_of(owner)} like this one"
        what = "one without" if isinstance(error, KeyError) else f"{type(error).__name__}:"
        raise InvalidArgument("the saved state", allowed, f"{what} {error}".splitlines()[0]) from error


def that_of(owner: object) -> str:
    """``that of an Adam``: for messages."""
    name = type(owner).__name__
    return f"that of {'an' if name[0] in 'AEIOU' else 'a'} {name}"


def on_device(state: Any, device: torch.device) -> Any:
    """The same containers with all their tensors on ``device``, wherever they were loaded to."""
    if isinstance(state, Tensor):
        return state.to(device)
    if isinstance(state, dict):
        return {name: on_device(part, device) for name, part in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(on_device(part, device) for part in state)
    return state
