"""What a plain training loop shows of itself: every step's loss, and the gradients and updates of a few steps.

Gradients and updates are read through the optimizer's own step hooks, so that the user's order of ``zero_grad``,
``backward`` and ``step`` does not matter, nor whether gradients are accumulated, clipped, unscaled by a ``GradScaler``
or computed by a closure within the step. A step that a ``GradScaler`` skips does not show.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from .errors import InvalidArgument

if TYPE_CHECKING:
    from jaxtyping import Float

Listener = Callable[[torch.optim.Optimizer], None]


class LossBuffer:
    """The losses of the current interval, on their device. Appending neither copies to the host nor waits."""

    def __init__(self) -> None:
        self._values = torch.empty(0)
        self._length = 0

    def begin(self, steps: int) -> None:
        """Empty it, and make room for the losses of so many steps."""
        self._length = 0
        if len(self._values) < steps:
            self._values = torch.empty(steps, device=self._values.device)

    def append(self, loss: Tensor | float) -> None:
        """Keep one loss: a tensor of one element on any device, or a number.

        It is copied at once, so that a step captured in a CUDA graph may overwrite its own loss.

        Raises:
            InvalidArgument: it is neither.
        """
        if isinstance(loss, Tensor):
            if loss.numel() != 1:
                raise InvalidArgument("loss", "a scalar", f"a tensor of shape {tuple(loss.shape)}")
            loss = loss.detach()
            if loss.dim():
                loss = loss.reshape(())
            if self._length == 0 and loss.device != self._values.device:
                self._values = self._values.to(loss.device)
        elif not isinstance(loss, float | int):
            raise InvalidArgument("loss", "a scalar tensor or a number", type(loss).__name__)
        self._values[self._length] = loss
        self._length += 1

    @property
    def values(self) -> Float[Tensor, " step"]:
        """The losses so far, float32: a view."""
        return self._values[: self._length]

    def state_dict(self) -> dict[str, Tensor]:
        """A copy of the losses so far."""
        return {"values": self.values.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up what :meth:`state_dict` gave; :meth:`begin` made the room."""
        values = state["values"]
        self._values = self._values.to(values.device)
        self._length = len(values)
        self._values[: self._length] = values


class Measured(NamedTuple):
    """The part of an `lrpilot.features.Interval` that gradients, updates and weights tell; float32 scalars."""

    gradient_cosine: Tensor
    update_cosine: Tensor
    decrease: Tensor
    next_decrease: Tensor
    gradient_norm: Tensor
    update_norm: Tensor
    weight_norm: Tensor


class Measurement:
    """Watches consecutive steps of an optimizer. Holds up to three copies of its trainable parameters meanwhile.

    Half-precision numbers are multiplied and summed in float32. A parameter without a gradient counts as one of zeros.
    """

    def __init__(self) -> None:
        self._steps: list[Tensor] = []  # |g_t|, |dw_t|, -g_t . dw_t
        self._pairs: list[Tensor] = []  # -g_{t+1} . dw_t, cos(-dw_t, g_{t+1}), cos(g_t, g_{t+1})
        self._before: list[Tensor] = []
        self._gradients: list[Tensor | None] = []
        self._updates: list[Tensor | None] = []

    @torch.no_grad()
    def before_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Remember the parameters."""
        self._before = [parameter.detach().clone() for parameter in _trainable(optimizer)]

    @torch.no_grad()
    def after_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Read the gradients, which stand where they stood in the step, and what the step did to the parameters."""
        parameters = _trainable(optimizer)
        if len(self._before) != len(parameters):
            return  # the measurement began within this step
        gradients = [parameter.grad for parameter in parameters]
        updates: list[Tensor | None] = [
            torch.sub(now, before, out=before) for now, before in zip(parameters, self._before, strict=True)
        ]
        self._before = []
        norm, update_norm = _dot(gradients, gradients).sqrt(), _dot(updates, updates).sqrt()
        if self._gradients:
            last_norm, last_update_norm, _ = self._steps[-1]
            descent = -_dot(self._updates, gradients)
            update_cosine = descent / (last_update_norm * norm + 1e-30)
            gradient_cosine = _dot(self._gradients, gradients) / (last_norm * norm + 1e-30)
            self._pairs.append(torch.stack([descent, update_cosine, gradient_cosine]))
        self._steps.append(torch.stack([norm, update_norm, -_dot(gradients, updates)]))
        self._gradients = [None if g is None else g.detach().clone() for g in gradients]
        self._updates = updates

    @torch.no_grad()
    def finish(self, optimizer: torch.optim.Optimizer) -> Float[Tensor, " 7"]:
        """The means over the steps, in the order of :class:`Measured`; NaN where there were too few of them."""
        parameters: list[Tensor | None] = [*_trainable(optimizer)]
        weight_norm = _dot(parameters, parameters).sqrt()
        nan = weight_norm.new_full((3,), torch.nan)
        gradient_norm, update_norm, decrease = torch.stack(self._steps).mean(0) if self._steps else nan
        descent, update_cosine, gradient_cosine = torch.stack(self._pairs).mean(0) if self._pairs else nan
        return torch.stack(
            Measured(gradient_cosine, update_cosine, decrease, descent, gradient_norm, update_norm, weight_norm)
        )

    def state_dict(self) -> dict[str, list]:
        """All of it: after at least one measured step, two copies of the parameters."""
        return {
            "steps": list(self._steps),
            "pairs": list(self._pairs),
            "gradients": list(self._gradients),
            "updates": list(self._updates),
        }

    def load_state_dict(self, state: dict[str, list]) -> None:
        """Take up what :meth:`state_dict` gave."""
        self._steps, self._pairs = list(state["steps"]), list(state["pairs"])
        self._gradients, self._updates = list(state["gradients"]), list(state["updates"])


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


def _call(listener: Listener, optimizer: torch.optim.Optimizer) -> None:
    listener(optimizer)


def _trainable(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]


def _dot(left: list[Tensor | None], right: list[Tensor | None]) -> Float[Tensor, ""]:
    """The inner product over all parameters, float32 on the first one's device."""
    products = [
        torch.dot(_flat(a), _flat(b)) for a, b in zip(left, right, strict=True) if a is not None and b is not None
    ]
    if not products:
        return torch.zeros(())
    device = products[0].device
    return torch.stack([product.to(device, torch.float32) for product in products]).sum()


def _flat(tensor: Tensor) -> Float[Tensor, " number"]:
    """Dense, real, at least float32 and of one dimension."""
    if tensor.dtype == torch.float32 and tensor.layout == torch.strided:
        return tensor.detach().view(-1) if tensor.is_contiguous() else tensor.detach().reshape(-1)
    tensor = tensor.detach()
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    if tensor.dtype in (torch.float16, torch.bfloat16):
        tensor = tensor.float()
    return tensor.reshape(-1)
