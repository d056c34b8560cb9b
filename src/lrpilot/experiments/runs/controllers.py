"""What drives the learning rate of a run, by name. All have one shape: :class:`Controller`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch.optim import Optimizer

from lrpilot.online.controller import OnlineActorCritic
from lrpilot.pilot.controller import Pilot
from lrpilot.online.settings import Setting

if TYPE_CHECKING:
    from torch import Tensor


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


class Piloted(FixedRate):
    """Plain training, with a pilot that is told of each step.

    Args:
        pilot: of the optimizer that trains.
    """

    def __init__(self, pilot: Pilot) -> None:
        super().__init__(pilot.optimizer)
        self.pilot = pilot

    def step(self, loss_fn: Callable[[Any], Tensor], batch: Any) -> Tensor:
        """Forward, backward, update; then the pilot."""
        loss = super().step(loss_fn, batch)
        self.pilot.step(loss)
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The pilot's."""
        return self.pilot.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """To the pilot."""
        self.pilot.load_state_dict(state)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a controller is made under, beside its optimizer; each takes what concerns it.

    Attributes:
        generator: to draw from.
        steps: length of the run.
        setting: of an actor-critic.
    """

    generator: torch.Generator
    steps: int
    setting: Setting


CONTROLLERS: dict[str, Callable[[Optimizer, Terms], Controller]] = {
    "online": lambda optimizer, terms: OnlineActorCritic(optimizer, terms.setting, generator=terms.generator),
    "pilot": lambda optimizer, terms: Piloted(Pilot(optimizer, terms.steps)),
    "none": lambda optimizer, _: FixedRate(optimizer),
}
"""By the names of ``lrpilot train --controller``."""
