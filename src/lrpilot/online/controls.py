"""Controls: of what a decision consists. Some knobs, each with one value everywhere or one in each place.

An action is a vector of numbers, one for each knob in each of its places. A number is the *room* of a value
(:meth:`Knob.room`): of a learning rate the rate itself, of a momentum its distance to one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from lrpilot.core.knobs import Group, Knob, Knobs, LearningRate
from lrpilot.core.state import StateDict
from lrpilot.errors import InvalidArgument

from .arrays import Array

if TYPE_CHECKING:
    from jaxtyping import Float

Granularity = Literal["global", "group", "tensor"]
SHOWN = 2  # numbers that a place shows the actor of itself
TAKEN = {"loss", "rate", "reward", "td_error", "dq_da"}  # columns of the history
ROUNDING = 1e-9  # more than rounding adds to a product
FARTHEST = 5.0  # e-folds between the gradients of a place and of the network that are told apart


class Layout(NamedTuple):
    """Which numbers an action consists of. By default one: the learning rate, everywhere."""

    seats: tuple[tuple[int, int], ...] = ((0, 0),)
    """Place and knob of each number, knob by knob."""
    places: int = 1
    """The actor has a memory for each."""
    limits: tuple[float, ...] = (math.inf,)
    """Of each knob: what its numbers do not exceed."""

    @property
    def shown(self) -> int:
        """How many numbers each place shows of itself: none where there is nothing to be told apart."""
        return SHOWN if self.places > 1 else 0

    @property
    def counts(self) -> list[int]:
        """In how many places each knob has a value."""
        return [sum(knob == mine for _, knob in self.seats) for mine in range(len(self.limits))]


class Controls:
    """Some knobs of an optimizer and of its network.

    Args:
        optimizer: with ``"tensor"`` its groups are divided, in place, until each holds one tensor.
        knobs: the learning rate first.
        granularity: ``"global"``: one place, where groups keep their ratios. ``"group"`` and ``"tensor"``: a place for
            each group, and one more for knobs that do not work in the optimizer's step. A knob that a group was given
            as 0, which cannot be scaled, stays 0 there.
        like: an empty tensor on the device and of the dtype of observations.

    Raises:
        InvalidArgument: another knob comes first, or nothing has one of them.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, knobs: Sequence[Knob], granularity: Granularity, *, like: Tensor
    ) -> None:
        if granularity not in get_args(Granularity):
            raise InvalidArgument("granularity", f"one of {', '.join(get_args(Granularity))}", granularity)
        several = isinstance(knobs, Sequence) and all(isinstance(knob, Knob) for knob in knobs)
        if not (several and knobs and isinstance(knobs[0], LearningRate)):
            came = [knob.name for knob in knobs] if several else knobs
            raise InvalidArgument("controls", "knobs, of which LearningRate() is the first, in a list or tuple", came)
        names = [knob.name for knob in knobs]
        if len(set(names)) < len(names) or TAKEN & set(names):
            raise InvalidArgument(
                "controls", f"knobs of different names, none of them {', '.join(sorted(TAKEN))}", names
            )
        self.optimizer, self.by_group = optimizer, granularity != "global"
        for knob in knobs:
            _check_given(knob, optimizer, by_group=self.by_group and knob.in_step)
        if granularity == "tensor":
            _divide(optimizer)
        places = list(_places(optimizer, knobs)) if self.by_group else [Knobs(optimizer, knobs)]
        self._knobs, self._places, self._like = tuple(knobs), places, like
        seats = [(p, k) for k, knob in enumerate(knobs) for p, place in enumerate(places) if knob.name in place.given]
        limits = tuple(min(_limit(knob, place) for place in places if knob.name in place.given) for knob in knobs)
        self.layout = Layout(tuple(seats), len(places), limits)

    @property
    def names(self) -> list[str]:
        """Of each number, for the history: ``rate``, ``momentum``; ``rate/2`` in the third of several places."""
        names = ["rate", *(knob.name for knob in self._knobs[1:])]
        return [names[knob] + (f"/{place}" if place else "") for place, knob in self.layout.seats]

    @property
    def in_step(self) -> list[int]:
        """The knobs, by number, that work in the optimizer's step."""
        return [number for number, knob in enumerate(self._knobs) if knob.in_step]

    @property
    def given(self) -> list[float]:
        """The action that the user gave."""
        values = ((self._knobs[knob], self._places[place]) for place, knob in self.layout.seats)
        return [knob.room(place.given[knob.name]) for knob, place in values]

    def at(self, rate: float) -> list[float]:
        """The action that the user gave, with all rates multiplied so that the first one is ``rate``."""
        given = self.given
        rates = self.layout.counts[0]
        return [rate * (each / given[0]) for each in given[:rates]] + given[rates:]

    def action(self, values: Mapping[str, float]) -> list[float]:
        """The numbers that stand for values, which are given by name."""
        knobs = (self._knobs[knob] for _, knob in self.layout.seats)
        return [knob.room(values[name]) for name, knob in zip(self.names, knobs, strict=True)]

    def values(self, action: Float[Array, " action"]) -> dict[str, float]:
        """What the numbers stand for, by name."""
        knobs = (self._knobs[knob] for _, knob in self.layout.seats)
        rooms = zip(self.names, knobs, action.tolist(), strict=True)
        return {name: 1 - number if knob.mirrored else number for name, knob, number in rooms}

    def in_force(self, decided: Float[Array, " action"], before: Float[Array, " action"]) -> Float[Array, " action"]:
        """The action that a step is made with: what works in the forward pass was decided one step before."""
        late = [number for number, (_, knob) in enumerate(self.layout.seats) if not self._knobs[knob].in_step]
        if not late:
            return decided
        action = decided.copy()
        action[late] = before[late]
        return action

    def write(self, action: Sequence[float], *, in_step: bool = True) -> None:
        """Set the knobs that work in the optimizer's step, or (``in_step`` False) the others.

        Raises:
            InvalidArgument: a value would leave its range, or groups have joined that had no place, or left.
        """
        self._check_groups()
        decisions: list[dict[str, Tensor | float]] = [{} for _ in self._places]
        for number, (place, which) in zip(action, self.layout.seats, strict=True):
            knob = self._knobs[which]
            if knob.in_step == in_step:
                decisions[place][knob.name] = knob.room(number)
        for place, decision in zip(self._places, decisions, strict=True):
            place.write(decision)

    @torch.no_grad()
    def look(self) -> Float[Tensor, "place shown"]:
        """What each place shows of itself, now that gradients are there; called where there are several.

        How its gradient compares to that of the whole network, as the logarithm of the ratio of their root mean
        squares, and where it stands, from 0 (first) to 1 (last).

        Raises:
            InvalidArgument: groups have joined that had no place, or left.
        """
        self._check_groups()
        sums = [_square_sum(group) for group in self.optimizer.param_groups]
        squares = torch.stack([total.to(self._like) for total, _ in sums])
        sizes = squares.new_tensor([float(size) for _, size in sums])
        ratio = ((squares / sizes).log() - (squares.sum() / sizes.sum()).log()) / 2
        ratio = ratio.nan_to_num(0.0, FARTHEST, -FARTHEST).clamp(-FARTHEST, FARTHEST)
        ratio = torch.cat((ratio, ratio.new_zeros(len(self._places) - len(sums))))
        return torch.stack((ratio, torch.linspace(0, 1, len(ratio), dtype=ratio.dtype, device=ratio.device)), dim=1)

    def _check_groups(self) -> None:
        groups = len(self.optimizer.param_groups)
        if self.by_group and groups != sum(place.group is not None for place in self._places):
            allowed = f"the {sum(place.group is not None for place in self._places)} that have a place each"
            raise InvalidArgument("the optimizer's groups", allowed, f"{groups} groups")

    def state_dict(self) -> StateDict:
        """What the user gave, by place."""
        return {"places": [place.state_dict() for place in self._places]}

    def load_state_dict(self, state: StateDict) -> None:
        """Take up what :meth:`state_dict` gave.

        Raises:
            InvalidArgument: it is of other knobs, or of other places.
        """
        if len(state["places"]) != len(self._places):
            raise InvalidArgument("the saved places", f"{len(self._places)} as here", len(state["places"]))
        for place, saved in zip(self._places, state["places"], strict=True):
            place.load_state_dict(saved)


def _divide(optimizer: torch.optim.Optimizer) -> None:
    """Groups of one tensor each, in the order of the tensors; each is given what its group was given."""
    groups = optimizer.param_groups
    groups[:] = [{**group, "params": [parameter]} for group in groups for parameter in group["params"]]


def _places(optimizer: torch.optim.Optimizer, knobs: Sequence[Knob]) -> Iterator[Knobs]:
    for number, group in enumerate(optimizer.param_groups):
        here = [knob for knob in knobs if knob.in_step and knob.holders([group]) and knob.given(group) > 0]
        yield Knobs(optimizer, here, group=number)
    if rest := [knob for knob in knobs if not knob.in_step]:
        yield Knobs(optimizer, rest)


def _check_given(knob: Knob, optimizer: torch.optim.Optimizer, *, by_group: bool) -> None:
    """Refuse a knob that nothing has, or that was given as 0, which cannot be scaled, where it is to be moved.

    Raises:
        InvalidArgument: see above.
    """
    given = [knob.given(holder) for holder in knob.holders(optimizer.param_groups)]
    if not given or not (by_group or knob.mirrored):
        Knobs(optimizer, [knob])  # which refuses what it cannot scale
    elif (max(given) if by_group else min(given)) == 0:
        allowed = "a number in (0, 1)" if knob.mirrored else "a finite number above 0"
        raise InvalidArgument(f"the {knob.name.replace('_', ' ')} to drive", f"given as {allowed}", 0.0)


def _limit(knob: Knob, place: Knobs) -> float:
    """The most that the first holder's number may be: all keep their ratios, and none may be above one."""
    if not knob.mirrored:
        return math.inf
    share = knob.room(place.given[knob.name]) / max(knob.room(value) for value in place.all_given(knob.name))
    return share if share == 1 else share * (1 - ROUNDING)


def _square_sum(group: Group) -> tuple[Tensor, int]:
    """The sum of the squares of a group's gradients, and how many numbers it holds."""
    gradients = [parameter.grad for parameter in group["params"] if parameter.grad is not None]
    dense = [gradient.coalesce().values() if gradient.is_sparse else gradient for gradient in gradients]
    total = sum((torch.linalg.vector_norm(each).square() for each in dense), torch.zeros(()))
    return total, sum(parameter.numel() for parameter in group["params"])
