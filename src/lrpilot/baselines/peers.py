"""Today's learning-rate-free optimizers, from their authors' packages, at the settings these recommend.

A package is imported when its optimizer is made, so that this module needs none of them.

- Prodigy (Mishchenko, Defazio, 2023), ``prodigyopt``: "Leave LR set to 1".
- D-Adaptation (Defazio, Mishchenko, 2023), ``dadaptation``: "Leave LR set to 1".
- Schedule-Free (Defazio et al., 2024), ``schedulefree``: both at the package's defaults, SGD at 1.0 (its
  README advises 10 to 50 times a usual rate), AdamW at 0.0025, and momentum 0.9 in both.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from torch import Tensor
from torch.optim import Optimizer

PeerFactory = Callable[..., Optimizer]
"""Takes the parameters; Schedule-Free SGD's also ``lr``."""


def prodigy(parameters: Iterable[Tensor]) -> Optimizer:
    """Prodigy at rate 1."""
    from prodigyopt import Prodigy

    return Prodigy(parameters, lr=1.0)


def d_adaptation_sgd(parameters: Iterable[Tensor]) -> Optimizer:
    """D-Adaptation SGD at rate 1."""
    from dadaptation import DAdaptSGD

    return DAdaptSGD(parameters, lr=1.0)


def d_adaptation_adam(parameters: Iterable[Tensor]) -> Optimizer:
    """D-Adaptation Adam at rate 1."""
    from dadaptation import DAdaptAdam

    return DAdaptAdam(parameters, lr=1.0)


def schedule_free_sgd(parameters: Iterable[Tensor], lr: float = 1.0) -> Optimizer:
    """Schedule-Free SGD at rate ``lr``, ready to train."""
    from schedulefree import SGDScheduleFree

    optimizer = SGDScheduleFree(parameters, lr=lr)
    optimizer.train()
    return optimizer


def schedule_free_adamw(parameters: Iterable[Tensor]) -> Optimizer:
    """Schedule-Free AdamW at rate 0.0025, ready to train."""
    from schedulefree import AdamWScheduleFree

    optimizer = AdamWScheduleFree(parameters, lr=0.0025)
    optimizer.train()
    return optimizer


PEERS: Mapping[str, PeerFactory] = {
    "prodigy": prodigy,
    "d-adaptation-sgd": d_adaptation_sgd,
    "d-adaptation-adam": d_adaptation_adam,
    "schedule-free-sgd": schedule_free_sgd,
    "schedule-free-adamw": schedule_free_adamw,
}


@runtime_checkable
class TwoWeightOptimizer(Protocol):
    """An optimizer that trains at other weights than it is evaluated at, and swaps them in place."""

    def train(self) -> None:
        """Put the weights that gradients are taken at into the parameters."""

    def eval(self) -> None:
        """Put the weights that stand for the result into the parameters."""


@contextmanager
def evaluation_weights(optimizer: Optimizer) -> Generator[None]:
    """The parameters hold the weights to evaluate while it lasts, those to train afterwards, come what may.

    For every optimizer without two sets of weights, it does nothing.
    """
    if not isinstance(optimizer, TwoWeightOptimizer):
        yield
        return
    optimizer.eval()
    try:
        yield
    finally:
        optimizer.train()


def effective_rate(optimizer: Optimizer) -> float:
    """The rate in use, as logged: the first group's, times the estimated distance d where the method has one.

    D-Adaptation SGD divides by the first gradient's norm besides. An optimizer's own ``effective_rate()`` goes before.
    """
    own = getattr(optimizer, "effective_rate", None)
    if own is not None:
        return float(own())
    group = optimizer.param_groups[0]
    return float(group["lr"]) * float(group.get("d", 1.0)) / float(group.get("g0_norm", 1.0))
