"""What a plain training loop shows of itself beside its losses: the gradients and updates of a few steps.

Gradients and updates are read through the optimizer's own step hooks, so that the user's order of ``zero_grad``,
``backward`` and ``step`` does not matter, nor whether gradients are accumulated, clipped, unscaled by a ``GradScaler``
or computed by a closure within the step. A step that a ``GradScaler`` skips does not show.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import torch
from torch import Tensor

from lrpilot.core.snapshot import parameters_of
from lrpilot.core.state import StateDict

from .vectors import (
    all_of,
    bundles,
    flat,
    joined,
    joined_gradients,
    keep,
    kinds_of,
    less,
    local,
    same_tensors,
    sizes_of,
    square,
    stacked,
    trainable,
    wide,
)

if TYPE_CHECKING:
    from jaxtyping import Float


NumberT = TypeVar("NumberT")
"""A float of one run, or a tensor of many runs."""


@dataclass(frozen=True)
class Measured(Generic[NumberT]):
    """What gradients, updates and weights tell of the steps that were measured; NaN where there were too few of them.

    Attributes:
        gradient_cosine: mean of cos(g_t, g_{t+1}) over successive measured steps, in [-1, 1].
        update_cosine: mean of cos(-dw_t, g_{t+1}) over successive measured steps, in [-1, 1]; dw_t is what
            the optimizer's step t added to the parameters, g_{t+1} the gradient of the step after it.
        decrease: mean of -(g_t . dw_t) over the measured steps, in units of the loss.
        next_decrease: mean of -(g_{t+1} . dw_t) over successive measured steps, in units of the loss.
        gradient_norm: mean of |g_t| over the measured steps, over all parameters together.
        update_norm: mean of |dw_t| over the measured steps.
        weight_norm: |w| at the decision.
        tensor_update: |dw| / |w| of the last measured step for each weight tensor alone (biases and gains left out
            where there are others), the median over tensors; largest_tensor_update: the largest.
    """

    gradient_cosine: NumberT
    update_cosine: NumberT
    decrease: NumberT
    next_decrease: NumberT
    gradient_norm: NumberT
    update_norm: NumberT
    weight_norm: NumberT
    tensor_update: NumberT
    largest_tensor_update: NumberT


class Measurement:
    """Watches consecutive steps of an optimizer. Holds up to three copies of its trainable parameters meanwhile.

    Half-precision numbers are multiplied and summed in float32. A parameter without a gradient counts as one of zeros.
    If the trainable parameters change (frozen, unfrozen, a group added), what was measured before is dropped.

    Attributes:
        steps: for each measured step |dw_t|^2, |g_t|^2 and -g_t . dw_t.
        pairs: for each two successive steps -g_{t+1} . dw_t, g_t . g_{t+1}, |dw_t|^2 and |g_t|^2.
    """

    def __init__(self) -> None:
        self.steps: list[Tensor] = []
        self.pairs: list[Tensor] = []
        self._parameters: list[Tensor] = []
        self._pieces: list[list[Tensor]] = []  # tensors that are measured together
        self._before: list[Tensor] = []
        self._gradients: list[Tensor | None] = []
        self._descents: list[Tensor] = []  # -dw_t, for each piece
        self._spare: list[Tensor] = []  # memory of descents that are no longer needed
        self._squares = torch.zeros(2, dtype=torch.float32, device="cpu")  # |dw_t|^2 and |g_t|^2 of the last step

    @property
    def trains(self) -> bool:
        """Whether any parameter required a gradient when it was measured last."""
        return bool(self._parameters)

    def next(self) -> Measurement:
        """A measurement that goes on with the very next step: its first pair reaches back to this one's last step."""
        new = Measurement()
        new._parameters, new._pieces = self._parameters, self._pieces
        new._gradients, new._descents, new._squares = self._gradients, self._descents, self._squares
        return new

    @torch.no_grad()
    def before_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Remember the parameters."""
        self._watch(optimizer)
        rooms = self._spare or [None] * len(self._pieces)
        self._before = list(map(keep, map(joined, self._pieces), rooms))
        self._spare = []

    @torch.no_grad()
    def after_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Read the gradients, which stand where they stood in the step, and what the step did to the parameters."""
        if not self._before:
            return  # the measurement began within this step
        if not same_tensors(trainable(optimizer), self._parameters):
            self._forget()
            return
        gradients = [joined_gradients(piece) for piece in self._pieces]
        descents = list(map(less, self._before, self._pieces))
        if kinds_of(self._descents) != kinds_of(descents):  # the first step, another network's state, model.double()
            self.steps, self.pairs, self._gradients, self._descents = [], [], [], []
        asked = [(descents, descents), (gradients, gradients), (descents, gradients)]
        if self._descents:
            asked += [(self._descents, gradients), (self._gradients, gradients)]
        products = self._dots(*asked)
        self.steps.append(products[:3])
        if self._descents:
            self.pairs.append(torch.cat([products[3:], self._squares]))
        self._squares = products[:2]
        rooms = self._gradients or [None] * len(gradients)
        self._gradients = [g if g is None else keep(g, room) for g, room in zip(gradients, rooms, strict=True)]
        self._before, self._spare, self._descents = [], self._descents, descents

    def _watch(self, optimizer: torch.optim.Optimizer) -> None:
        """See what the optimizer trains now."""
        parameters = trainable(optimizer)
        if not same_tensors(parameters, self._parameters):
            self._forget()
            self._parameters, self._pieces = parameters, bundles(parameters)

    def _forget(self) -> None:
        """Start again: the parameters have changed."""
        vars(self).update(vars(Measurement()))

    @torch.no_grad()
    def totals(self, optimizer: torch.optim.Optimizer) -> Float[Tensor, " number"]:
        """Sums of products, float32, on the first parameter's device: what :meth:`conclude` needs.

        To be averaged over ranks before: every number is linear in what a rank holds.
        """
        if not self.steps:  # else those count that the last step trained, whatever has been frozen after it
            self._watch(optimizer)
        squares = [all_of(p, square(flat(p))) for p in self._parameters]
        if self.steps:
            descents = (
                part
                for piece, descent in zip(self._pieces, self._descents, strict=True)
                for part in descent.split(sizes_of([flat(p) for p in piece]))
            )
            squares += map(all_of, self._parameters, map(square, descents))
        return torch.cat([stacked(squares), *self.steps, *self.pairs])

    def conclude(self, totals: Sequence[float]) -> Measured[float]:
        """The means over the steps."""
        numbers = iter(totals)
        weights = [next(numbers) for _ in self._parameters]
        updates = [next(numbers) for _ in self._parameters] if self.steps else []
        steps = [[next(numbers) for _ in range(3)] for _ in self.steps]
        pairs = [[next(numbers) for _ in range(4)] for _ in self.pairs]
        moved, pulled = ([math.sqrt(step[i]) for step in steps] for i in (0, 1))
        cosines = [
            (_ratio(descent, math.sqrt(update) * norm), _ratio(product, math.sqrt(gradient) * norm))
            for (descent, product, update, gradient), norm in zip(pairs, pulled[len(steps) - len(pairs) :], strict=True)
        ]
        # Biases and gains start at 0 or 1 and say little of how far the network has moved.
        matrices = [i for i, p in enumerate(self._parameters) if sum(size > 1 for size in p.shape) > 1] or range(
            len(self._parameters)
        )
        ratios = sorted(math.sqrt(_ratio(updates[i], weights[i])) for i in matrices) if updates else []
        return Measured(
            _mean(cosine for _, cosine in cosines),
            _mean(cosine for cosine, _ in cosines),
            _mean(decrease for *_, decrease in steps),
            _mean(descent for descent, *_ in pairs),
            _mean(pulled),
            _mean(moved),
            math.sqrt(sum(weights)),
            ratios[len(ratios) // 2] if ratios else math.nan,
            ratios[-1] if ratios else math.nan,
        )

    def _dots(self, *pairs: tuple[Sequence[Tensor | None], Sequence[Tensor | None]]) -> Float[Tensor, " pair"]:
        """For each pair of lists of pieces their inner product, float32 on the first parameter's device."""
        products = [
            all_of(first, torch.dot(wide(a), wide(b)))
            if a is not None and b is not None
            else torch.zeros((), device=local(first).device)
            for left, right in pairs
            for (first, *_), a, b in zip(self._pieces, left, right, strict=True)
        ]
        return stacked(products).view(len(pairs), -1).sum(1)

    def state_dict(self, optimizer: torch.optim.Optimizer) -> StateDict:
        """A copy of all of it: after at least one measured step, two copies of the parameters."""
        measured = set(self._parameters)
        return {
            "places": [place for place, p in enumerate(parameters_of(optimizer)) if p in measured],
            "steps": [step.clone() for step in self.steps],
            "pairs": [pair.clone() for pair in self.pairs],
            "gradients": [None if gradient is None else gradient.clone() for gradient in self._gradients],
            "descents": [descent.clone() for descent in self._descents],
            "squares": self._squares.clone(),
        }

    @torch.no_grad()
    def load_state_dict(self, state: StateDict, optimizer: torch.optim.Optimizer) -> None:
        """Take up a copy of what :meth:`state_dict` gave; nothing, if the optimizer trains other parameters."""
        self._forget()
        parameters = list(parameters_of(optimizer))
        if not all(place < len(parameters) for place in state.get("places", ())):
            return
        # Some may have been frozen after the step. Up to version 0.2 those counted that were to be trained.
        measured = [parameters[place] for place in state["places"]] if "places" in state else trainable(optimizer)
        self._parameters, self._pieces = measured, bundles(measured)
        sizes = [sum(sizes_of([flat(p) for p in piece])) for piece in self._pieces]
        if [len(descent) for descent in state["descents"]] != sizes:
            return
        devices = [local(first).device for first, *_ in self._pieces]
        for gradient, descent, device in zip(state["gradients"], state["descents"], devices, strict=True):
            self._gradients.append(None if gradient is None else gradient.to(device, copy=True))
            self._descents.append(descent.to(device, copy=True))
        sums = devices[0] if devices else torch.device("cpu")
        self.steps = [number.to(sums) for number in state["steps"]]
        self.pairs = [number.to(sums) for number in state["pairs"]]
        self._squares = state["squares"].to(sums)


def _mean(numbers: Iterable[float]) -> float:
    numbers = list(numbers)
    return sum(numbers) / len(numbers) if numbers else math.nan


def _ratio(above: float, below: float) -> float:
    """above / below, also where ``below`` is 0; neither is below it."""
    return above / (below + 1e-30)
