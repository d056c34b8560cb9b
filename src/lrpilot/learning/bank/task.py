"""A task of the bank, and the dice that draw it."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

T = TypeVar("T")

BLOCK = 4
"""So many tasks in a row belong together: the last one is the first one again in another width."""
HELD_OUT = 5
"""One block in so many is never learned from."""


@dataclass(frozen=True)
class BankTask:
    """A training but its learning rate. Names and options are those of `data`, `networks` and `torch.optim`.

    Attributes:
        index: its place in the bank.
        kind: one of `KINDS`.
        loss: "cross entropy" or "square".
        initial: how the weights are drawn.
        usual: log10 of the peak rate at which the search for the best begins.
        seed: of the initial weights, the order of the examples and dropout.
    """

    index: int
    kind: str
    data: str
    data_options: dict[str, Any]
    network: str
    network_options: dict[str, Any]
    initial: str
    loss: str
    optimizer: str
    optimizer_options: dict[str, Any]
    usual: float
    batch_size: int
    steps: int
    seed: int

    @property
    def held_out(self) -> bool:
        """Whether policies are judged by it rather than learn from it."""
        return (self.index // BLOCK) % HELD_OUT == HELD_OUT - 1

    def as_dict(self) -> dict[str, Any]:
        """Plain values, from which ``BankTask(**values)`` makes it again."""
        return asdict(self)


class TaskDice(random.Random):
    """Draws of the usual kinds."""

    def pick(self, options: Sequence[T], weights: Sequence[float] | None = None) -> T:
        """One of them."""
        return self.choices(options, weights)[0]

    def log_uniform(self, low: float, high: float) -> float:
        """A number between ``low`` and ``high``."""
        return math.exp(self.uniform(math.log(low), math.log(high)))

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.random() < probability


@dataclass(frozen=True)
class StepCost:
    """What a step takes: seconds of its passes on one core, roughly, and tensors to be updated."""

    seconds: float
    tensors: int
