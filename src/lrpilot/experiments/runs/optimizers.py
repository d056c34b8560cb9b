"""Optimizers by name: those of ``torch.optim`` that a plain loop can drive, momentum, TensorFlow's flavours."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch.optim import Optimizer

from lrpilot.baselines.tensorflow import TFAdagrad, TFAdam, TFRMSprop
from lrpilot.errors import InvalidArgument
from lrpilot.experiments.choices import choose

# torch's own default for SGD, 1e-3, is of use to few networks; TensorFlow's two have none: torch's are taken.
LEARNING_RATES = {"sgd": 0.1, "momentum": 0.01, "tf-adagrad": 0.01, "tf-rmsprop": 0.01}

LARGEST_RATE = 1e30
"""Whatever an optimizer or the pilot makes of it is then a number that float32 holds."""

# What a plain loop cannot drive, and why.
REFUSED = {
    "lbfgs": "its step evaluates the loss several times",
    "sparseadam": "it takes sparse gradients alone",
    "muon": "it takes matrices alone, no biases",
}

HELP = (
    f"Any of torch.optim by name but {', '.join(REFUSED)}; or momentum (SGD with 0.9), tf-adam, tf-adagrad, tf-rmsprop."
)


def _torch_optimizers() -> dict[str, type[Optimizer]]:
    classes = {name.lower(): kind for name, kind in inspect.getmembers(torch.optim, inspect.isclass)}
    unwanted = {"optimizer", *REFUSED}
    return {name: kind for name, kind in sorted(classes.items()) if issubclass(kind, Optimizer) if name not in unwanted}


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    **_torch_optimizers(),
    "momentum": partial(torch.optim.SGD, momentum=0.9),
    "tf-adam": TFAdam,
    "tf-adagrad": TFAdagrad,
    "tf-rmsprop": TFRMSprop,
}


def default_learning_rate(name: str) -> float:
    """The rate an optimizer starts from when none is given: its own default, save for those in LEARNING_RATES."""
    own: float = inspect.signature(_optimizer(name)).parameters["lr"].default
    return LEARNING_RATES.get(name.lower(), own)


def make_optimizer(
    name: str,
    parameters: Iterable[torch.nn.Parameter],
    *,
    learning_rate: float | None = None,
    momentum: float | None = None,
    weight_decay: float | None = None,
) -> Optimizer:
    """The optimizer of that name over ``parameters``, all else at its own defaults.

    Args:
        name: one of :data:`OPTIMIZERS`, upper or lower case alike.
        parameters: what it updates.
        learning_rate: above 0, at most :data:`LARGEST_RATE`; None: :func:`default_learning_rate`.
        momentum: in ``[0, 1)``, for those that have one; None: their default.
        weight_decay: at least 0; None: their default.

    Raises:
        InvalidArgument: no such optimizer, one that a plain loop cannot drive, or a number out of range.
    """
    kind = _optimizer(name)
    rate = default_learning_rate(name) if learning_rate is None else learning_rate
    if not (math.isfinite(rate) and rate > 0):
        raise InvalidArgument("lr", "a finite number above 0", rate)
    if rate > LARGEST_RATE:
        raise InvalidArgument("lr", f"at most {LARGEST_RATE:g}", rate)
    options: dict[str, float] = {"lr": rate}
    if momentum is not None:
        if "momentum" not in inspect.signature(kind).parameters:
            raise InvalidArgument("momentum", f"left out for {name}, which has none", momentum)
        if not 0 <= momentum < 1:
            raise InvalidArgument("momentum", "a number in [0, 1)", momentum)
        options["momentum"] = momentum
    if weight_decay is not None:
        options["weight_decay"] = weight_decay
    return kind(parameters, **options)


def _optimizer(name: str) -> Callable[..., Optimizer]:
    if name.lower() in REFUSED:
        raise InvalidArgument("optimizer", f"one that any training loop can drive ({REFUSED[name.lower()]})", name)
    return choose("optimizer", name, OPTIMIZERS)
