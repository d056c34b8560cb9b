"""What a plain training loop shows of itself beside its losses: the gradients and updates of a few steps.

Gradients and updates are read through the optimizer's own step hooks, so that the user's order of ``zero_grad``,
``backward`` and ``step`` does not matter, nor whether gradients are accumulated, clipped, unscaled by a ``GradScaler``
or computed by a closure within the step. A step that a ``GradScaler`` skips does not show.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from lrpilot.core.state import StateDict

if TYPE_CHECKING:
    from jaxtyping import Float

BUNDLED = 1 << 14
"""Tensors of fewer numbers are measured several at a time: one operation costs more than reading them."""


class Measured(NamedTuple):
    """The part of an `lrpilot.pilot.features.Interval` that gradients, updates and weights tell; numbers."""

    gradient_cosine: float
    update_cosine: float
    decrease: float
    next_decrease: float
    gradient_norm: float
    update_norm: float
    weight_norm: float
    tensor_update: float
    largest_tensor_update: float


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

    def next(self) -> Measurement:
        """A measurement that goes on with the very next step: its first pair reaches back to this one's last step."""
        new = Measurement()
        new._parameters, new._pieces = self._parameters, self._pieces
        new._gradients, new._descents, new._squares = self._gradients, self._descents, self._squares
        return new

    @torch.no_grad()
    def before_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Remember the parameters."""
        parameters = _trainable(optimizer)
        if not _same(parameters, self._parameters):
            if self._parameters:
                self._forget()
            self._parameters, self._pieces = parameters, _pieces(parameters)
        rooms = self._spare or [None] * len(self._pieces)
        self._before = [_keep(_joined(piece), room) for piece, room in zip(self._pieces, rooms, strict=True)]
        self._spare = []

    @torch.no_grad()
    def after_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Read the gradients, which stand where they stood in the step, and what the step did to the parameters."""
        if not self._before:
            return  # the measurement began within this step
        if not _same(_trainable(optimizer), self._parameters):
            self._forget()
            return
        gradients = [_joined_gradients(piece) for piece in self._pieces]
        descents = [_less(before, piece) for before, piece in zip(self._before, self._pieces, strict=True)]
        if _sizes(self._descents) != _sizes(descents):  # the first step, or another network's state
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
        self._gradients = [g if g is None else _keep(g, room) for g, room in zip(gradients, rooms, strict=True)]
        self._before, self._spare, self._descents = [], self._descents, descents

    def _forget(self) -> None:
        """Start again: the parameters have changed."""
        self.steps, self.pairs, self._parameters, self._pieces = [], [], [], []
        self._before, self._gradients, self._descents, self._spare = [], [], [], []
        self._squares = torch.zeros(2, dtype=torch.float32, device="cpu")

    @torch.no_grad()
    def totals(self, optimizer: torch.optim.Optimizer) -> Float[Tensor, " number"]:
        """Sums of products, float32, on the first parameter's device: what :meth:`conclude` needs.

        To be averaged over ranks before: every number is linear in what a rank holds.
        """
        parameters = _trainable(optimizer)
        if not _same(parameters, self._parameters):
            self._forget()
            self._parameters, self._pieces = parameters, _pieces(parameters)
        squares = [_all_of(p, _square(_flat(p))) for p in parameters]
        if self.steps:
            descents = (
                part
                for piece, descent in zip(self._pieces, self._descents, strict=True)
                for part in descent.split(_sizes([_flat(p) for p in piece]))
            )
            squares += [_all_of(p, _square(descent)) for p, descent in zip(parameters, descents, strict=True)]
        return torch.cat([_stacked(squares), *self.steps, *self.pairs])

    def conclude(self, totals: Sequence[float]) -> Measured:
        """The means over the steps; NaN where there were too few of them."""
        numbers = iter(totals)
        weights = [next(numbers) for _ in self._parameters]
        updates = [next(numbers) for _ in self._parameters] if self.steps else []
        steps = [[next(numbers) for _ in range(3)] for _ in self.steps]
        pairs = [[next(numbers) for _ in range(4)] for _ in self.pairs]
        moved, pulled = ([math.sqrt(step[i]) for step in steps] for i in (0, 1))
        cosines = [
            (descent / (math.sqrt(update) * norm + 1e-30), product / (math.sqrt(gradient) * norm + 1e-30))
            for (descent, product, update, gradient), norm in zip(pairs, pulled[len(steps) - len(pairs) :], strict=True)
        ]
        # Biases and gains start at 0 or 1 and say little of how far the network has moved.
        matrices = [i for i, p in enumerate(self._parameters) if sum(size > 1 for size in p.shape) > 1] or range(
            len(self._parameters)
        )
        ratios = sorted(math.sqrt(updates[i] / (weights[i] + 1e-30)) for i in matrices) if updates else []
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
            _all_of(piece[0], torch.dot(_wide(a), _wide(b)))
            if a is not None and b is not None
            else torch.zeros((), device=_local(self._parameters[0]).device)
            for left, right in pairs
            for piece, a, b in zip(self._pieces, left, right, strict=True)
        ]
        return _stacked(products).view(len(pairs), -1).sum(1)

    def state_dict(self) -> StateDict:
        """A copy of all of it: after at least one measured step, two copies of the parameters."""
        return {
            "steps": [step.clone() for step in self.steps],
            "pairs": [pair.clone() for pair in self.pairs],
            "gradients": [None if gradient is None else gradient.clone() for gradient in self._gradients],
            "descents": [descent.clone() for descent in self._descents],
            "squares": self._squares.clone(),
        }

    def load_state_dict(self, state: StateDict, optimizer: torch.optim.Optimizer) -> None:
        """Take up a copy of what :meth:`state_dict` gave; nothing, if the optimizer trains other parameters."""
        self._forget()
        self._parameters = _trainable(optimizer)
        self._pieces = _pieces(self._parameters)
        sizes = [sum(_local(p).numel() * (2 if p.is_complex() else 1) for p in piece) for piece in self._pieces]
        if state["steps"] and [len(descent) for descent in state["descents"]] != sizes:
            return
        devices = [_local(piece[0]).device for piece in self._pieces]
        first = devices[0] if devices else torch.device("cpu")
        self.steps = [number.to(first, copy=True) for number in state["steps"]]
        self.pairs = [number.to(first, copy=True) for number in state["pairs"]]
        self._gradients = [
            None if gradient is None else gradient.to(device, copy=True)
            for gradient, device in zip(state["gradients"], devices, strict=bool(state["gradients"]))
        ]
        self._descents = [
            descent.to(device, copy=True)
            for descent, device in zip(state["descents"], devices, strict=bool(state["descents"]))
        ]
        self._squares = state["squares"].to(first, copy=True)


def _trainable(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]


def _same(some: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    """Whether two lists hold the very same tensors."""
    return len(some) == len(others) and all(map(operator.is_, some, others))


def _pieces(parameters: Sequence[Tensor]) -> list[list[Tensor]]:
    """The parameters in their order, small neighbours of one kind together."""
    pieces: list[list[Tensor]] = []
    kind, size = None, 0
    for parameter in parameters:
        small = parameter.numel() < BUNDLED and not _is_sharded(parameter)
        own = (parameter.dtype, parameter.device) if small else None
        if own is None or own != kind or size + parameter.numel() > BUNDLED:
            pieces.append([])
            size = 0
        pieces[-1].append(parameter)
        kind, size = own, size + parameter.numel()
    return pieces


def _sizes(tensors: Sequence[Tensor]) -> list[int]:
    return [tensor.numel() for tensor in tensors]


def _joined(piece: Sequence[Tensor]) -> Float[Tensor, " number"]:
    return _flat(piece[0]) if len(piece) == 1 else torch.cat([_flat(tensor) for tensor in piece])


def _less(before: Float[Tensor, " number"], piece: Sequence[Tensor]) -> Float[Tensor, " number"]:
    """What the numbers were before, less what they are, in place."""
    now = [_flat(tensor) for tensor in piece]
    parts = before.split(_sizes(now))
    torch._foreach_sub_(parts, now)  # pyright: ignore[reportPrivateUsage] - as torch's own optimizers do
    return before


def _joined_gradients(piece: Sequence[Tensor]) -> Float[Tensor, " number"] | None:
    if len(piece) == 1:
        return None if piece[0].grad is None else _flat(piece[0].grad)
    return torch.cat([_flat(torch.zeros_like(p) if p.grad is None else p.grad) for p in piece])


def _mean(numbers: Iterable[float]) -> float:
    numbers = list(numbers)
    return sum(numbers) / len(numbers) if numbers else math.nan


def _keep(values: Float[Tensor, " number"], room: Tensor | None) -> Float[Tensor, " number"]:
    """A copy, in the memory of ``room`` if it fits."""
    if room is None or room.shape != values.shape:
        return values.clone()
    return room.copy_(values)


def _square(values: Float[Tensor, " number"]) -> Float[Tensor, ""]:
    wide = _wide(values)
    return torch.dot(wide, wide)


def _stacked(products: list[Tensor]) -> Float[Tensor, " product"]:
    """Float32, on the first one's device."""
    if not products:
        return torch.zeros(0, dtype=torch.float32, device="cpu")
    device = products[0].device
    if any(product.dtype != torch.float32 or product.device != device for product in products):
        products = [product.to(device, torch.float32) for product in products]
    return torch.stack(products)


def _is_sharded(tensor: Tensor) -> bool:
    """Whether it is a DTensor, of which this rank holds a part."""
    return hasattr(tensor, "placements")


def _local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if _is_sharded(tensor) else tensor  # type: ignore[attr-defined]


def _all_of(tensor: Tensor, product: Tensor) -> Tensor:
    """A sum over the numbers that this rank holds of a tensor, such that its mean over the ranks is that over all."""
    if not _is_sharded(tensor):
        return product
    mesh, placements = tensor.device_mesh, tensor.placements  # type: ignore[attr-defined]
    return product * math.prod(mesh.size(i) for i, placement in enumerate(placements) if placement.is_shard())


def _flat(tensor: Tensor) -> Float[Tensor, " number"]:
    """Dense, real and of one dimension; to be called without gradients."""
    tensor = _local(tensor)
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    return tensor.reshape(-1)


def _wide(tensor: Tensor) -> Tensor:
    """At least float32."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
