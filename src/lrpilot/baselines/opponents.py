"""Further optimizers that find their own rate, at the settings that their authors recommend.

Each takes the network, since some average or snapshot more than parameters. A package is imported when its optimizer is
made.

- DoG and LDoG (Ivgi, Hinder, Carmon, 2023), ``dog-optimizer``: evaluated, as the paper demands, at the polynomial-decay
  average of all weights; the first movement is 1e-6 of the weights, 1e-4 where there is batch normalisation.
- Mechanic (Cutkosky, Defazio, Mehta, 2023), ``mechanic-pytorch``: around AdamW at rate 1.
- MoMo and MoMo-Adam (Schaipp et al., 2023), ``momo-opt``: at rates 1 and 0.01, with a lower bound of 0 for the loss;
  their step is told the loss.
- Prodigy + Schedule-Free, ``prodigy-plus-schedule-free``: its defaults.
- NadamW at the one setting that was calibrated for all tasks of AlgoPerf: :mod:`.nadamw`.
- Relative polling, ``efficient-polling-lr-scheduler``, after Tan et al., 2025: plain SGD from a rate of 1e-3 that is
  now and then tried against a tenth and the tenfold of it on the batch at hand; its step takes a closure.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm  # type: ignore[attr-defined] - the one base of all of them
from torch.optim import Optimizer

from .nadamw import ALGOPERF, NAdamW

MakeOpponent = Callable[[nn.Module], Any]
"""Makes the optimizer of a network: a torch one, or in polling's case one that wraps it."""


def distance_over_gradients(network: nn.Module, *, layerwise: bool = False) -> Optimizer:
    """DoG, or LDoG; ``eval()`` puts the averaged weights and buffers into the network, ``train()`` the last ones."""
    from dog import DoG, LDoG, PolynomialDecayAverager  # type: ignore[import-untyped]

    averager = PolynomialDecayAverager(network)
    kind: Any = LDoG if layerwise else DoG

    class Averaged(kind):
        def step(self, closure: Callable[[], Any] | None = None) -> Any:
            loss = super().step(closure)
            averager.step()
            return loss

        def effective_rate(self) -> float:
            """The median over tensors."""
            return statistics.median(map(float, self.param_groups[0].get("eta", [0.0])))

        @torch.no_grad()
        def _swap(self) -> None:
            theirs = averager.averaged_model.state_dict()
            for name, mine in network.state_dict().items():
                kept = mine.clone()
                mine.copy_(theirs[name])
                theirs[name].copy_(kept)

        eval = train = _swap

    normalised = any(isinstance(module, _BatchNorm) for module in network.modules())
    return Averaged(network.parameters(), reps_rel=1e-4 if normalised else 1e-6)


def mechanic(network: nn.Module) -> Optimizer:
    """AdamW at rate 1, times the factor that Mechanic finds."""
    from mechanic_pytorch import mechanize

    class Tuned(mechanize(torch.optim.AdamW)):
        def effective_rate(self) -> float:
            """The rate times Mechanic's factor; 0 before the first step."""
            found = self.state.get("_mechanic")
            return float(self.param_groups[0]["lr"]) * float(found["s"].sum()) if found else 0.0

    return Tuned(network.parameters(), lr=1.0)


def momo(network: nn.Module) -> Optimizer:
    """MoMo: SGD with momentum 0.9 and a rate of at most 1."""
    from momo import Momo

    return Momo(network.parameters())  # type: ignore[arg-type] - any iterable will do


def momo_adam(network: nn.Module) -> Optimizer:
    """MoMo-Adam, with a rate of at most 0.01."""
    from momo import MomoAdam

    return MomoAdam(network.parameters())  # type: ignore[arg-type]


def prodigy_schedule_free(network: nn.Module) -> Optimizer:
    """Prodigy's rate and Schedule-Free's average at once, ready to train."""
    from prodigyplus.prodigy_plus_schedulefree import ProdigyPlusScheduleFree

    # With a single group the same as the default, which would print a line.
    optimizer: Any = ProdigyPlusScheduleFree(network.parameters(), split_groups=False)
    optimizer.train()
    return optimizer


def nadamw(network: nn.Module) -> Optimizer:
    """NAdamW at AlgoPerf's one setting."""
    return NAdamW(network.parameters(), **ALGOPERF)  # type: ignore[arg-type]


def relative_polling(network: nn.Module) -> Any:
    """SGD whose rate is polled."""
    from efficient_polling_lr_scheduler import EfficientRelativePollingSGD

    return EfficientRelativePollingSGD(network)


OPPONENTS: Mapping[str, MakeOpponent] = {
    "dog": distance_over_gradients,
    "ldog": partial(distance_over_gradients, layerwise=True),
    "mechanic": mechanic,
    "momo": momo,
    "momo-adam": momo_adam,
    "prodigy-schedule-free": prodigy_schedule_free,
    "nadamw": nadamw,
    "relative-polling": relative_polling,
}
