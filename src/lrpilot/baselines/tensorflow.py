"""Adam, Adagrad and RMSprop as TensorFlow computed them in 2016 (the paper's baselines).

TensorFlow 0.x differs from ``torch.optim`` in where the small constant stands and in what the accumulators
start from. Plain gradient descent is the same in both, so it has no class here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam

from lrpilot.core.state import that_of
from lrpilot.errors import InvalidArgument

Parameters = Iterable[Tensor] | Iterable[dict[str, Any]]


class TFAdam(torch.optim.Optimizer):
    """Adam with epsilon added before the bias correction.

    m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2,
    theta <- theta - lr sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + eps)

    This is PyTorch's update with eps / sqrt(1 - b2^t) in place of eps, which is how it is computed: PyTorch's
    own kernels do the work, the fused one where it exists.

    Args:
        params: parameters or parameter groups.
        lr: learning rate >= 0; a one-element tensor is allowed.
        betas: the decay of the running mean and of the running square, each in [0, 1).
        eps: added to the root of the uncorrected square, > 0.
        fused: PyTorch's fused kernel; by default wherever every parameter is a float on the CPU or on CUDA.

    Raises:
        InvalidArgument: a setting out of its range.

    Reference: ``tf.train.AdamOptimizer``, TensorFlow 0.12; Kingma and Ba, 2014, the note before section 2.1.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        fused: bool | None = None,
    ) -> None:
        _check_rate(lr)
        if not all(0.0 <= beta < 1.0 for beta in betas):
            raise InvalidArgument("betas", "two numbers in [0, 1)", betas)
        if eps <= 0.0:
            raise InvalidArgument("eps", "a number > 0", eps)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "fused": fused, "updates": 0})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of every parameter that has a gradient. Returns the closure's value, if one is given.

        The powers of beta are the optimizer's, as in TensorFlow: a parameter whose first gradient comes late is
        corrected as all others are. A sparse gradient is one that is zero elsewhere: all rows move.
        """
        loss = _evaluate(closure)
        updates = self.param_groups[0]["updates"] + 1
        for group in self.param_groups:
            group["updates"] = updates
            active = [(p, p.grad) for p in group["params"] if p.grad is not None]
            if not active:
                continue
            states = [self._state_of(parameter, updates) for parameter, _ in active]
            beta1, beta2 = group["betas"]
            fused = group["fused"]
            if fused is None:
                fused = all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for p, _ in active)
            adam(
                [parameter for parameter, _ in active],
                [gradient.to_dense() if gradient.is_sparse else gradient for _, gradient in active],
                [state["mean"] for state in states],
                [state["square"] for state in states],
                [],
                [state["step"] for state in states],
                fused=fused,
                amsgrad=False,
                beta1=beta1,
                beta2=beta2,
                lr=group["lr"],
                weight_decay=0.0,
                eps=group["eps"] / (1.0 - beta2**updates) ** 0.5,
                maximize=False,
            )
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As of any optimizer.

        Raises:
            InvalidArgument: it is that of an optimizer of another kind; nothing is changed then.
        """
        _check_state(self, state_dict, {"step", "mean", "square"})
        super().load_state_dict(state_dict)

    def _state_of(self, parameter: Tensor, updates: int) -> dict[str, Any]:
        """The moments, and the number of updates before this one, on the device for PyTorch's kernel to count up."""
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            state["mean"] = torch.zeros_like(parameter)
            state["square"] = torch.zeros_like(parameter)
        if state.get("counted") != updates - 1:
            state["step"].fill_(updates - 1)
        state["counted"] = updates
        return state


class TFAdagrad(torch.optim.Adagrad):
    """Adagrad without epsilon, its accumulator started at 0.1: A <- A + g^2, theta <- theta - lr g / sqrt(A).

    Reference: ``tf.train.AdagradOptimizer``, TensorFlow 0.12. ``lr`` has no default there and has none here.
    """

    def __init__(self, params: Parameters, lr: float | Tensor, *, initial_accumulator_value: float = 0.1) -> None:
        _check_rate(lr)
        if initial_accumulator_value <= 0.0:
            raise InvalidArgument("initial_accumulator_value", "a number > 0", initial_accumulator_value)
        super().__init__(params, lr, initial_accumulator_value=initial_accumulator_value, eps=0.0)


class TFRMSprop(torch.optim.Optimizer):
    """RMSprop with epsilon inside the root and an accumulator that starts at one.

    ms <- ms + (1 - decay) (g^2 - ms),  theta <- theta - lr g / sqrt(ms + eps)

    Args:
        params: parameters or parameter groups.
        lr: learning rate >= 0 (TensorFlow has no default); a one-element tensor is allowed.
        decay: of the running square, in [0, 1).
        eps: added to the running square, > 0.

    Raises:
        InvalidArgument: a setting out of its range.

    Reference: ``tf.train.RMSPropOptimizer``, TensorFlow 0.12, momentum 0.
    """

    def __init__(self, params: Parameters, lr: float | Tensor, *, decay: float = 0.9, eps: float = 1e-10) -> None:
        _check_rate(lr)
        if not 0.0 <= decay < 1.0:
            raise InvalidArgument("decay", "a number in [0, 1)", decay)
        if eps <= 0.0:
            raise InvalidArgument("eps", "a number > 0", eps)
        super().__init__(params, {"lr": lr, "decay": decay, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of every parameter that has a gradient. Returns the closure's value, if one is given.

        Of a sparse gradient, as in TensorFlow, only the rows in it move, and only their squares.
        """
        loss = _evaluate(closure)
        for group in self.param_groups:
            rate, decay = float(group["lr"]), group["decay"]
            for parameter in group["params"]:
                gradient = parameter.grad
                if gradient is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["square"] = torch.ones_like(parameter)
                if gradient.is_sparse:
                    _move_rows(parameter, state["square"], gradient, rate=rate, decay=decay, eps=group["eps"])
                    continue
                square = state["square"].mul_(decay).addcmul_(gradient, gradient, value=1.0 - decay)
                parameter.addcdiv_(gradient, square.add(group["eps"]).sqrt_(), value=-rate)
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As of any optimizer.

        Raises:
            InvalidArgument: it is that of an optimizer of another kind; nothing is changed then.
        """
        _check_state(self, state_dict, {"square"})
        super().load_state_dict(state_dict)


def _move_rows(parameter: Tensor, square: Tensor, gradient: Tensor, *, rate: float, decay: float, eps: float) -> None:
    """RMSprop's update of the rows that a sparse gradient holds; a row that it holds twice is summed first."""
    gradient = gradient.coalesce()
    rows, values = tuple(gradient.indices()), gradient.values()
    squares = square[rows] * decay + values.square() * (1.0 - decay)
    square[rows] = squares
    parameter[rows] -= rate * values / (squares + eps).sqrt_()


def _check_state(optimizer: torch.optim.Optimizer, state: dict[str, Any], moments: set[str]) -> None:
    """Refuse a state whose groups lack one of the settings, or whose parameters lack one of the moments."""
    kind = that_of(optimizer)
    try:
        groups = [optimizer.defaults.keys() - group.keys() for group in state["param_groups"]]
        parameters = [moments - held.keys() for held in state["state"].values() if held]
    except (AttributeError, KeyError, TypeError) as error:
        raise InvalidArgument("the state", kind, type(state).__name__) from error
    if missing := set[str]().union(*groups, *parameters):
        raise InvalidArgument("the state", kind, f"one without {', '.join(sorted(missing))}")


def _check_rate(lr: float | Tensor) -> None:
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise InvalidArgument("lr", "a number or a tensor of one element", lr)
    if not float(lr) >= 0.0:
        raise InvalidArgument("lr", "a number >= 0", lr)


def _evaluate(closure: Callable[[], Any] | None) -> Any:
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()
