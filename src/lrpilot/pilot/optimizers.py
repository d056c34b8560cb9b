"""What may be handed to the pilot as an optimizer: one, a wrapper of one, or several that train one network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from lrpilot.core.snapshot import check_numbers
from lrpilot.errors import InvalidArgument


def unwrapped(optimizer: Optimizer | Sequence[Optimizer]) -> tuple[Optimizer, ...]:
    """The optimizers whose steps can be seen, in the order given.

    Raises:
        InvalidArgument: there is none, or one twice, or one that has no learning rate, maximises, takes many steps
            along one gradient, or has parameters on the meta device.
    """
    given = list(optimizer) if isinstance(optimizer, list | tuple) else [optimizer]
    optimizers = tuple(map(_unwrapped, given))
    if not optimizers or len(set(map(id, optimizers))) < len(optimizers):
        raise InvalidArgument("optimizer", "one optimizer, or several different ones", names(optimizers))
    return optimizers


def _unwrapped(given: Any) -> Optimizer:
    """Of a wrapper that has no hooks of its own, such as Accelerate's, the optimizer within."""
    optimizer, layers = given, 0
    # Torch's own constructor makes these; Lightning's wrapper shows those of the optimizer within as attributes, and
    # timm's Lookahead makes other hooks, which nobody calls.
    while "_optimizer_load_state_dict_post_hooks" not in getattr(optimizer, "__dict__", {}):
        inner = _within(optimizer)
        if inner is None or hasattr(optimizer, "get_last_lr") or layers > 9:  # a scheduler has an optimizer too
            allowed = "a torch.optim.Optimizer, or a wrapper that keeps one as .optimizer"
            within = [name for name in inner_optimizers([given]) if name != ".optimizer"]
            hint = f" (perhaps its {' or '.join(within)})" if within else ""
            raise InvalidArgument("optimizer", allowed + hint, type(given).__name__)
        optimizer, layers = inner, layers + 1
    if isinstance(optimizer, torch.optim.LBFGS):
        raise InvalidArgument("optimizer", "one that takes one step along each gradient", "LBFGS")
    if any(group.get("maximize") for group in optimizer.param_groups):
        raise InvalidArgument("optimizer", "one that minimises: train on the negated objective", "maximize=True")
    if any("lr" not in group for group in optimizer.param_groups):
        raise InvalidArgument("optimizer", "one with a learning rate", type(optimizer).__name__)
    check_numbers(optimizer)
    return optimizer


def _within(wrapper: Any) -> Any:
    """What it keeps as ``.optimizer``; or the only optimizer that it keeps, if it says that it is one itself."""
    held = [value for value in getattr(wrapper, "__dict__", {}).values() if isinstance(value, Optimizer)]
    alone = held.pop() if isinstance(wrapper, Optimizer) and len(held) == 1 else None
    return getattr(wrapper, "optimizer", alone)


def together(optimizers: Sequence[Optimizer]) -> Optimizer:
    """One optimizer to read groups and state of: the only one, or a view of several."""
    first, *others = optimizers
    return Several(optimizers) if others else first


def members_of(optimizer: Optimizer) -> Sequence[Optimizer]:
    """Those that :func:`together` made one of. A group keeps its place in its own, whatever joins the others."""
    return optimizer.members if isinstance(optimizer, Several) else (optimizer,)


def counterparts(optimizers: Sequence[Optimizer], other: Optimizer) -> Sequence[Optimizer]:
    """Those that another may stand in for: the only one, else those of its class, if possible of its shapes as well."""
    if len(optimizers) == 1:
        return optimizers
    kin = [optimizer for optimizer in optimizers if type(optimizer) is type(other)]
    return [optimizer for optimizer in kin if _shapes(optimizer) == _shapes(other)] or kin


def _shapes(optimizer: Optimizer) -> list[list[torch.Size]]:
    return [[parameter.shape for parameter in group["params"]] for group in optimizer.param_groups]


class Several(Optimizer):
    """The groups and the state of several optimizers, to be read and written as those of one. It takes no steps."""

    def __init__(self, members: Sequence[Optimizer]) -> None:
        self.members = tuple(members)

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """All groups, optimizer by optimizer."""
        return [group for member in self.members for group in member.param_groups]

    @property
    def state(self) -> Mapping[Tensor, Any]:  # type: ignore[override]
        """Each parameter's state, in its own optimizer."""
        return _States(self.members)

    def __repr__(self) -> str:
        return names(self.members)


class _States(Mapping[Tensor, Any]):
    def __init__(self, members: Sequence[Optimizer]) -> None:
        self._members = members

    def __getitem__(self, parameter: Tensor) -> Any:
        for member in self._members:
            if parameter in member.state or any(p is parameter for g in member.param_groups for p in g["params"]):
                return member.state[parameter]
        raise KeyError(parameter)

    def get(self, parameter: Tensor, default: Any = None) -> Any:
        """As of a mapping; asking for a state makes none."""
        found = (member.state[parameter] for member in self._members if parameter in member.state)
        return next(found, default)

    def __iter__(self) -> Iterator[Tensor]:
        return (parameter for member in self._members for parameter in member.state)

    def __len__(self) -> int:
        return sum(len(member.state) for member in self._members)


def names(optimizers: Sequence[Optimizer]) -> str:
    """What kinds they are, for a message."""
    return " and ".join(type(optimizer).__name__ for optimizer in optimizers)


def inner_optimizers(holders: Sequence[object]) -> list[str]:
    """The attributes in which optimizers or wrappers keep others, such as SAM's ``.base_optimizer``."""
    held = (item for holder in holders for item in getattr(holder, "__dict__", {}).items())
    return [f".{name}" for name, value in held if isinstance(value, Optimizer)]
