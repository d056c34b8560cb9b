"""What a plain training loop shows of itself beside its losses: the gradients and updates of a few steps.

Gradients and updates are read through the optimizer's own step hooks, so that the user's order of ``zero_grad``,
``backward`` and ``step`` does not matter, nor whether gradients are accumulated, clipped, unscaled by a ``GradScaler``
or computed by a closure within the step. A step that a ``GradScaler`` skips does not show.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float

Listener = Callable[[torch.optim.Optimizer], None]


class Measured(NamedTuple):
    """The part of an `lrpilot.pilot.features.Interval` that gradients, updates and weights tell; float32 scalars."""

    gradient_cosine: Tensor
    update_cosine: Tensor
    decrease: Tensor
    next_decrease: Tensor
    gradient_norm: Tensor
    update_norm: Tensor
    weight_norm: Tensor


class Measurement:
    """Watches consecutive steps of an optimizer. Holds up to three copies of its trainable parameters meanwhile.

    The copies' memory is taken once and used for all its steps. Half-precision numbers are multiplied and summed in
    float32. A parameter without a gradient counts as one of zeros.
    """

    def __init__(self) -> None:
        self._steps: list[Tensor] = []  # |dw_t|^2, |g_t|^2, -g_t . dw_t
        self._pairs: list[Tensor] = []  # -g_{t+1} . dw_t, g_t . g_{t+1}
        self._before: list[Tensor] = []
        self._gradients: list[Tensor | None] = []
        self._descents: list[Tensor] = []  # -dw_t, for each parameter
        self._spare: list[Tensor] = []  # memory of descents that are no longer needed

    @torch.no_grad()
    def before_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Remember the parameters."""
        parameters = [_flat(parameter) for parameter in _trainable(optimizer)]
        rooms = self._spare or [None] * len(parameters)
        self._before = [_keep(parameter, room) for parameter, room in zip(parameters, rooms, strict=True)]
        self._spare = []

    @torch.no_grad()
    def after_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Read the gradients, which stand where they stood in the step, and what the step did to the parameters."""
        parameters = _trainable(optimizer)
        if len(self._before) != len(parameters):
            return  # the measurement began within this step
        gradients = [None if p.grad is None else _flat(p.grad) for p in parameters]
        descents = [before.sub_(_flat(now)) for before, now in zip(self._before, parameters, strict=True)]
        if len(self._descents) != len(descents):  # the first step, or the first with a new group of parameters
            self._steps, self._pairs, self._gradients, self._descents = [], [], [], []
        asked = [(descents, descents), (gradients, gradients), (descents, gradients)]
        if self._descents:
            asked += [(self._descents, gradients), (self._gradients, gradients)]
        products = _dots(*asked)
        self._steps.append(products[:3])
        if self._descents:
            self._pairs.append(products[3:])
        rooms = self._gradients or [None] * len(gradients)
        self._gradients = [g if g is None else _keep(g, room) for g, room in zip(gradients, rooms, strict=True)]
        self._before, self._spare, self._descents = [], self._descents, descents

    @torch.no_grad()
    def finish(self, optimizer: torch.optim.Optimizer) -> Float[Tensor, " 7"]:
        """The means over the steps, in the order of :class:`Measured`; NaN where there were too few of them.

        Float32, on the first parameter's device. Waits for it, so that the rest is arithmetic on a few numbers.
        """
        weights = [_flat(parameter) for parameter in _trainable(optimizer)]
        square = _dots((weights, weights))
        numbers = iter(torch.cat([square, *self._steps, *self._pairs]).tolist())
        weight_norm = math.sqrt(next(numbers))
        steps = [[next(numbers) for _ in range(3)] for _ in self._steps]
        pairs = [[next(numbers) for _ in range(2)] for _ in self._pairs]
        updates, gradients = ([math.sqrt(step[i]) for step in steps] for i in (0, 1))
        cosines = [
            (descent / (updates[t] * gradients[t + 1] + 1e-30), product / (gradients[t] * gradients[t + 1] + 1e-30))
            for t, (descent, product) in enumerate(pairs)
        ]
        measured = (
            _mean(cosine for _, cosine in cosines),
            _mean(cosine for cosine, _ in cosines),
            _mean(decrease for *_, decrease in steps),
            _mean(descent for descent, _ in pairs),
            _mean(gradients),
            _mean(updates),
            weight_norm,
        )
        return square.new_tensor(measured)

    def state_dict(self) -> dict[str, list]:
        """All of it: after at least one measured step, two copies of the parameters."""
        return {
            "steps": list(self._steps),
            "pairs": list(self._pairs),
            "gradients": [None if gradient is None else gradient.clone() for gradient in self._gradients],
            "descents": [descent.clone() for descent in self._descents],
        }

    def load_state_dict(self, state: dict[str, list]) -> None:
        """Take up what :meth:`state_dict` gave."""
        self._steps, self._pairs = list(state["steps"]), list(state["pairs"])
        self._gradients, self._descents = list(state["gradients"]), list(state["descents"])


class StepHooks:
    """The hooks at an optimizer's step: an attribute look-up, unless somebody listens.

    They refer to no controller, so that deleting one frees it. In a step compiled by ``torch.compile`` a listener
    breaks the graph; the hooks stay registered between measurements, for each registration would compile it again.

    Attributes:
        first: called with the optimizer once, before its next step.
        measurement: watches the steps while it stands here.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.first: Listener | None = None
        self.measurement: Measurement | None = None
        self._call: Callable[..., Any] = torch.compiler.disable(_call)
        self._handles = (
            optimizer.register_step_pre_hook(self._before_step),
            optimizer.register_step_post_hook(self._after_step),
        )

    def _before_step(self, optimizer: torch.optim.Optimizer, args: tuple, kwargs: dict) -> None:
        if self.first is not None:
            first, self.first = self.first, None
            self._call(first, optimizer)
        if self.measurement is not None:
            self._call(self.measurement.before_step, optimizer)

    def _after_step(self, optimizer: torch.optim.Optimizer, args: tuple, kwargs: dict) -> None:
        if self.measurement is not None:
            self._call(self.measurement.after_step, optimizer)

    def close(self) -> None:
        """Take the hooks off the optimizer."""
        self.first = self.measurement = None
        for handle in self._handles:
            handle.remove()


def mean_over_ranks(numbers: Tensor, group: dist.ProcessGroup | None) -> Tensor:
    """The mean of what each rank of a process group gives (None: the default group); the same where there are none."""
    if not (dist.is_available() and dist.is_initialized()):
        return numbers
    dist.all_reduce(numbers, group=group)
    return numbers / dist.get_world_size(group)


def _call(listener: Listener, optimizer: torch.optim.Optimizer) -> None:
    listener(optimizer)


def _trainable(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]


def _mean(numbers: Iterable[float]) -> float:
    numbers = list(numbers)
    return sum(numbers) / len(numbers) if numbers else math.nan


def _keep(values: Float[Tensor, " number"], room: Tensor | None) -> Float[Tensor, " number"]:
    """A copy, in the memory of ``room`` if it fits."""
    if room is None or room.shape != values.shape:
        return values.clone()
    return room.copy_(values)


def _dots(*pairs: tuple[Sequence[Tensor | None], Sequence[Tensor | None]]) -> Float[Tensor, " pair"]:
    """For each pair of lists their inner product over all parameters, float32 on the very first one's device."""
    first = pairs[0][0][0] if pairs[0][0] else None
    device = None if first is None else first.device
    products = [
        torch.dot(_wide(a), _wide(b)) if a is not None and b is not None else torch.zeros((), device=device)
        for left, right in pairs
        for a, b in zip(left, right, strict=True)
    ]
    if not products:
        return torch.zeros(len(pairs))
    if any(product.dtype != torch.float32 or product.device != device for product in products):
        products = [product.to(device, torch.float32) for product in products]
    return torch.stack(products).view(len(pairs), -1).sum(1)


def _flat(tensor: Tensor) -> Float[Tensor, " number"]:
    """Dense, real and of one dimension; to be called without gradients."""
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    return tensor.reshape(-1)


def _wide(tensor: Tensor) -> Tensor:
    """At least float32."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
