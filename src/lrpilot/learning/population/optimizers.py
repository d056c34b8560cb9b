"""Optimizers over stacked parameters, flattened to [run, parameter], with a rate for each run.

The same arithmetic as `torch.optim`'s (the tests compare them); in place on the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor

Kind = Literal["sgd", "momentum", "adam", "adamw", "rmsprop", "adagrad"]


@dataclass(frozen=True)
class Rule:
    """An optimizer and its settings but the rate: betas of Adam; momentum; RMSprop's decay is ``second``."""

    kind: Kind
    momentum: float = 0.9
    second: float = 0.999
    weight_decay: float = 0.0


class Optimizer:
    """The state of one rule over all runs. ``step`` changes the weights in place."""

    def __init__(self, rule: Rule, weights: Float[Tensor, "run parameter"]) -> None:
        self.rule = rule
        self._first = torch.zeros_like(weights) if rule.kind in ("momentum", "adam", "adamw") else None
        self._second = torch.zeros_like(weights) if rule.kind in ("adam", "adamw", "rmsprop", "adagrad") else None
        self._steps = torch.zeros(len(weights), 1)

    def reset(self, runs: Bool[Tensor, " run"]) -> None:
        """Forget everything about these runs, as at their start."""
        for state in (self._first, self._second, self._steps):
            if state is not None:
                state[runs] = 0

    def step(
        self,
        weights: Float[Tensor, "run parameter"],
        gradient: Float[Tensor, "run parameter"],
        rate: Float[Tensor, "run 1"],
    ) -> None:
        """One update of all runs; the gradient may be overwritten."""
        rule, first, second = self.rule, self._first, self._second
        if rule.weight_decay and rule.kind == "adamw":
            weights.mul_(1 - rate * rule.weight_decay)
        elif rule.weight_decay:
            gradient = gradient.add(weights, alpha=rule.weight_decay)
        if rule.kind == "sgd":
            weights.addcmul_(rate, gradient, value=-1)
        elif rule.kind == "momentum" and first is not None:
            weights.addcmul_(rate, first.mul_(rule.momentum).add_(gradient), value=-1)
        elif rule.kind == "adagrad" and second is not None:
            second.addcmul_(gradient, gradient)
            weights.addcmul_(rate, gradient.div_(second.sqrt().add_(1e-10)), value=-1)
        elif rule.kind == "rmsprop" and second is not None:
            second.mul_(rule.second).addcmul_(gradient, gradient, value=1 - rule.second)
            weights.addcmul_(rate, gradient.div_(second.sqrt().add_(1e-8)), value=-1)
        elif first is not None and second is not None:
            self._steps += 1
            first.lerp_(gradient, 1 - rule.momentum)
            second.mul_(rule.second).addcmul_(gradient, gradient, value=1 - rule.second)
            correction = (1 - rule.second**self._steps).sqrt()
            update = first / (second.sqrt().div_(correction).add_(1e-8))
            weights.addcmul_(rate / (1 - rule.momentum**self._steps), update, value=-1)
