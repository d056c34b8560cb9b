"""Policies that do what they are told, for tests of the pilot."""

from __future__ import annotations

import torch
from torch import Tensor


class Scripted:
    """Takes the given log-rate steps in turn, the last one for ever; remembers how many it has taken.

    ``seen`` holds the observations.
    """

    def __init__(self, *steps: float) -> None:
        self.steps = steps
        self.seen: list[Tensor] = []

    def initial_memory(self) -> Tensor:
        return torch.zeros(1)

    def act(self, features: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        self.seen.append(features)
        return torch.tensor(self.steps[min(int(memory), len(self.steps) - 1)]), memory + 1


class Reactive(Scripted):
    """Steps that depend on all that is seen, so that any difference in it shows in the rates."""

    def __init__(self) -> None:
        super().__init__()

    def act(self, features: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        self.seen.append(features)
        weights = torch.linspace(-1.0, 1.0, features.shape[-1])
        memory = 0.5 * memory + (features * weights).sum()
        return 0.2 * torch.tanh(memory).squeeze(), memory
