"""What drives the learning rate of a run, by name. All have one shape: :class:`Controller`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from lrpilot.online import OnlineActorCritic

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.optim import Optimizer


class Controller(Protocol):
    """Trains on one batch after the other and decides the rate at which it does so."""

    def step(self, loss_fn: Callable[[Any], Tensor], batch: Any) -> Tensor:
        """One training step; returns the loss before it, detached."""
        ...

    def get_last_lr(self) -> list[float]:
        """The rate of each parameter group at the last step."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All that a bit-exact resume needs, beside network and optimizer."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state_dict` was taken."""
        ...


class FixedRate:
    """Plain training: the rate stays as the optimizer has it."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer

    def step(self, loss_fn: Callable[[Any], Tensor], batch: Any) -> Tensor:
        """Forward, backward, update."""
        loss = loss_fn(batch)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def get_last_lr(self) -> list[float]:
        """The rate of each parameter group."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the optimizer holds the rate."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to take up."""


def _none(optimizer: Optimizer, generator: torch.Generator, *, setting: str) -> Controller:
    return FixedRate(optimizer)


def _online(optimizer: Optimizer, generator: torch.Generator, *, setting: str) -> Controller:
    return OnlineActorCritic(optimizer, setting, generator=generator)


CONTROLLERS: dict[str, Callable[..., Controller]] = {"online": _online, "none": _none}
"""Each takes the optimizer, the generator to draw from, and the ``setting`` of an actor-critic."""
