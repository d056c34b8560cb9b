"""Knobs: hyperparameters of an optimizer's parameter groups, read and written while it trains.

A :class:`Knob` belongs to one group, :class:`Knobs` to all of them; a decision maps names of knobs to values::

    knobs = Knobs(optimizer, (LearningRate(), Momentum()))
    knobs.write({"learning_rate": 0.1, "momentum": 0.95})
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd  # pyright: ignore[reportPrivateUsage] - of all layers of the kind

from lrpilot.errors import InvalidArgument

from .arguments import as_float
from .state import StateDict

Group = dict[str, Any]
"""One of ``optimizer.param_groups``."""


class Knob:
    """One hyperparameter of one parameter group: how it is read, written and scaled.

    Attributes:
        name: in a decision.
        key: where the group holds it.
        mirrored: whether its scale is the logarithm of one minus the value (a momentum, in [0, 1): from 0.9 to 0.99 is
            as far as from 0.99 to 0.999) instead of that of the value (in [0, inf)).
        in_step: whether it works in the optimizer's step; if not, in the network's forward pass, and then one value
            holds for the whole network, from the next batch on.
    """

    name: str
    key: str
    mirrored = False
    in_step = True

    def holders(self, groups: Sequence[Group]) -> list[Group]:
        """Where it stands: the parameter groups among ``groups`` that have it."""
        return [group for group in groups if self.key in group]

    @property
    def record(self) -> str:
        """Where a group keeps the value that the user gave, whatever is written later; torch's name for a rate."""
        return f"initial_{self.key}"

    @property
    def allowed(self) -> str:
        """The range in words."""
        return "a number in [0, 1)" if self.mirrored else "a finite number of at least 0"

    def fits(self, value: float) -> bool:
        """Whether ``value`` lies in the range."""
        return 0 <= value < (1 if self.mirrored else math.inf)

    def room(self, value: float) -> float:
        """What the scale is the logarithm of; applied twice, it gives the value back."""
        return 1 - value if self.mirrored else value

    def read(self, group: Group) -> float:
        """The value as it stands."""
        return self._number(group[self.key])

    def write(self, group: Group, value: float) -> None:
        """Put ``value`` in. A tensor is filled in place, so that a compiled or captured step sees it."""
        group[self.key] = _filled(group[self.key], value)

    def given(self, group: Group) -> float:
        """The value that the user gave: as recorded, else as it stands."""
        return self._number(group[self.record]) if self.record in group else self.read(group)

    def factor(self, group: Group) -> float:
        """What the group multiplies the value by that is common to all; 1 unless it says otherwise."""
        return 1.0

    def _number(self, held: Any) -> float:
        if isinstance(held, Tensor) and (held.requires_grad or not held.is_floating_point()):
            allowed = "a tensor of a floating-point number that requires no gradient"
            raise InvalidArgument(f"the optimizer's {_words(self)}", allowed, held)
        return as_float(f"the optimizer's {_words(self)}", self.allowed, held)


class LearningRate(Knob):
    """The learning rate. A group's ``lr_scale`` (timm's layer decay) is multiplied in."""

    name = "learning_rate"
    key = "lr"

    def factor(self, group: Group) -> float:
        """The group's ``lr_scale``."""
        return as_float("lr_scale", self.allowed, group.get("lr_scale", 1.0))


class WeightDecay(Knob):
    """The weight decay; a group that has none keeps none."""

    name = key = "weight_decay"


class Momentum(Knob):
    """The momentum of SGD and RMSprop."""

    name = key = "momentum"
    mirrored = True


class Beta(Knob):
    """One of Adam's two decays.

    Args:
        number: 1 for that of the mean, 2 for that of the square.

    Raises:
        InvalidArgument: another number.
    """

    key = "betas"
    mirrored = True

    def __init__(self, number: int) -> None:
        if not (isinstance(number, int) and number in (1, 2)):
            raise InvalidArgument("number", "1 or 2", number)
        self.name = f"beta{number}"
        self._place = number - 1

    @property
    def record(self) -> str:
        """Of this one of the two."""
        return f"initial_{self.name}"

    def read(self, group: Group) -> float:
        """The value as it stands."""
        return self._number(group[self.key][self._place])

    def write(self, group: Group, value: float) -> None:
        """Put ``value`` in its place of the pair."""
        pair = list(group[self.key])
        pair[self._place] = _filled(pair[self._place], value)
        group[self.key] = tuple(pair)


class Dropout(Knob):
    """The share of units that a network's dropout layers leave out in training.

    Args:
        network: whose layers; those in it when it is asked for.
    """

    name = "dropout"
    key = "p"
    mirrored = True
    in_step = False

    def __init__(self, network: nn.Module) -> None:
        self._network = network

    def holders(self, groups: Sequence[Group]) -> list[Group]:
        """The dropout layers, whatever the groups; a layer's attributes are read and written as a group's entries."""
        return [vars(layer) for layer in self._network.modules() if isinstance(layer, _DropoutNd)]


class Knobs:
    """Some hyperparameters in all groups of an optimizer, each moved in all groups together.

    A knob's value is that of the first group that has it; the other groups keep the ratio (of their rooms) in which the
    user gave theirs. What the user gave is written into each group beside the value (``initial_lr`` and so on, as
    torch's schedulers do) and read from there where it stands already. So a controller made twice, or made after a
    scheduler, begins at the same value, and a group added later keeps its ratio to what was given, not to where the
    value has gone since, unless it was made of the latter: equal to another group's present value, or a whole multiple
    or part of it. Delete that entry to begin elsewhere with a used optimizer.

    Args:
        optimizer: whose groups are written.
        knobs: which; a group without one of them is left alone.
        group: the place of the one group that is meant, or None for all.

    Raises:
        InvalidArgument: no group has the knob, or the first that has it was given a value that cannot be scaled (0).
    """

    def __init__(self, optimizer: torch.optim.Optimizer, knobs: Sequence[Knob], *, group: int | None = None) -> None:
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise InvalidArgument("optimizer", "a torch.optim.Optimizer", type(optimizer).__name__)
        self.optimizer = optimizer
        self.group = group
        self._knobs = {knob.name: knob for knob in knobs}
        self.given = {knob.name: self._first_given(knob) for knob in knobs}
        """By name the value that the user gave, in the optimizer's own unit."""
        for knob in knobs:
            self._admitted_groups(knob)

    def write(self, decision: Mapping[str, Tensor | float]) -> None:
        """Set the knobs that ``decision`` names, in all groups.

        Args:
            decision: by name a float, or a tensor of one element.

        Raises:
            InvalidArgument: there is no such knob, or a group's value would leave its range, which is finite. Nothing
                is written then.
        """
        wanted: list[tuple[Knob, Group, float]] = []
        for name, value in decision.items():
            knob, number = self._knob(name), float(value)
            groups = self._admitted_groups(knob)
            unit = knob.room(self._first_given(knob))
            for group in groups:
                ratio = knob.room(knob.given(group)) / unit
                wanted.append((knob, group, knob.room(knob.room(number) * ratio) * knob.factor(group)))
        for knob, group, value in wanted:
            if not (knob.fits(value) and value <= _largest(group[knob.key])):
                raise InvalidArgument(f"the {_words(knob)} to write", knob.allowed, value)
        for knob, group, value in wanted:
            knob.write(group, value)

    def read(self, name: str) -> list[float]:
        """A knob's value in each group that has it."""
        knob = self._knob(name)
        return [knob.read(group) for group in self._groups(knob)]

    def all_given(self, name: str) -> list[float]:
        """The value that the user gave each group that has a knob."""
        knob = self._knob(name)
        return [knob.given(group) for group in self._groups(knob)]

    def _knob(self, name: str) -> Knob:
        if name not in self._knobs:
            raise InvalidArgument("a knob", f"one of {', '.join(self._knobs)}", name)
        return self._knobs[name]

    def _groups(self, knob: Knob) -> list[Group]:
        groups = self.optimizer.param_groups
        return knob.holders(groups if self.group is None else [groups[self.group]])

    def _admitted_groups(self, knob: Knob) -> list[Group]:
        """The groups that have the knob; what the user gave those that are new is written down."""
        groups = self._groups(knob)
        for group in groups:
            if knob.record not in group:
                group[knob.record] = _meant(knob, group, groups)
        return groups

    def _first_given(self, knob: Knob) -> float:
        groups = self._groups(knob)
        if not groups:
            what, holder = ("optimizer", self.optimizer) if knob.in_step else ("the knob", knob)
            raise InvalidArgument(what, f"one with a {_words(knob)}", type(holder).__name__)
        value = knob.given(groups[0])
        if not (knob.fits(value) and knob.room(value) > 0):
            allowed = knob.allowed if knob.mirrored else "a finite number above 0"
            raise InvalidArgument(f"the optimizer's {_words(knob)}", allowed, value)
        return value

    def state_dict(self) -> StateDict:
        """What the user gave. The rest stands in the optimizer's groups."""
        return {"given": dict(self.given)}

    def load_state_dict(self, state: StateDict) -> None:
        """Take up what :meth:`state_dict` gave.

        Raises:
            InvalidArgument: it is of other knobs; nothing is changed then.
        """
        if state["given"].keys() != self._knobs.keys():
            raise InvalidArgument("the saved knobs", f"{', '.join(self._knobs)} as here", ", ".join(state["given"]))
        self.given = dict(state["given"])


def _meant(knob: Knob, newcomer: Group, groups: Sequence[Group]) -> float:
    """What a group that joins was given: as it stands, unless that is derived from where another group stands now.

    ``{"params": p, "lr": optimizer.param_groups[0]["lr"]}``, or a tenth of that, which Lightning's fine-tuning gives:
    such a group keeps its ratio to the other's present value.
    """
    value = knob.room(knob.read(newcomer))
    for group in groups:
        if knob.record in group:
            now, given = knob.room(knob.read(group)), knob.room(knob.given(group))
            if _multiples(value, now) and not _multiples(value, given):
                return knob.room(given * knob.factor(group) * value / now)
    return knob.read(newcomer)


def _multiples(one: float, other: float) -> bool:
    """Whether one of two numbers is a whole multiple of the other, but for rounding."""
    low, high = sorted((one, other))
    return low > 0 and min(high % low, -high % low) < 1e-9 * low


def _filled(held: Tensor | float, value: float) -> Tensor | float:
    return held.fill_(value) if isinstance(held, Tensor) else value


def _largest(held: object) -> float:
    """The largest number that can stand in the place of ``held``."""
    return torch.finfo(held.dtype).max if isinstance(held, Tensor) else math.inf


def _words(knob: Knob) -> str:
    return knob.name.replace("_", " ")
