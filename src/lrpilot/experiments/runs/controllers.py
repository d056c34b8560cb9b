"""What drives the learning rate of a run. All have one shape, :class:`Controller`, and are made on one set of terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch.optim import Optimizer

from lrpilot.baselines import schedules
from lrpilot.baselines.peers import effective_rate
from lrpilot.baselines.vsgd import VSGD
from lrpilot.core.history import History
from lrpilot.errors import InvalidArgument
from lrpilot.online.controller import OnlineActorCritic
from lrpilot.online.settings import deviating, resolve
from lrpilot.pilot.controller import Pilot
from lrpilot.pilot.policy import fingerprint

from .trial import Scalar

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim.lr_scheduler import LRScheduler

OF_THE_OPTIMIZER = {"optimizer", "lr", "momentum"}  # entries of a setting that are not the controller's


class Controller(Protocol):
    """Trains on one batch after the other and decides the rate at which it does so.

    Attributes:
        mends: whether a loss that is not finite is its to mend, so that the run goes on.
    """

    mends: bool

    @property
    def history(self) -> History:
        """What it logged at every step, by column."""
        ...

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
    """Plain training: the rate stays as the optimizer has it. The optimizer holds all its state."""

    mends = False

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer

    @property
    def history(self) -> History:
        """Nothing."""
        return History()

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
        """Nothing."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to take up."""


class SelfTuning(FixedRate):
    """Plain training with an optimizer that finds its own rate: the rate logged is what it found."""

    def get_last_lr(self) -> list[float]:
        """The rate in use: vSGD's median over parameters, or the peer's estimate."""
        if isinstance(self.optimizer, VSGD):
            return [self.optimizer.effective_rate()]
        return [effective_rate(self.optimizer)]


class Scheduled(FixedRate):
    """Training under a scheduler that is stepped after every batch.

    Args:
        training: what trains at the rate that the schedule sets.
        schedule: of the same optimizer.
    """

    def __init__(self, training: FixedRate, schedule: LRScheduler) -> None:
        super().__init__(training.optimizer)
        self.training = training
        self.schedule = schedule
        self._last = training.get_last_lr()

    def step(self, loss_fn: Callable[[Any], Tensor], batch: Any) -> Tensor:
        """Forward, backward, update, then the schedule."""
        loss = self.training.step(loss_fn, batch)
        self._last = self.training.get_last_lr()
        self.schedule.step()
        return loss

    def get_last_lr(self) -> list[float]:
        """The rates that the last step was made at."""
        return self._last

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule stands."""
        return self.schedule.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state_dict` was taken."""
        self.schedule.load_state_dict(state)


class Piloted(FixedRate):
    """Plain training, with a pilot that is told of each step.

    Args:
        pilot: of the optimizer that trains.
    """

    mends = True

    def __init__(self, pilot: Pilot) -> None:
        super().__init__(pilot.optimizer)
        self.pilot = pilot

    @property
    def history(self) -> History:
        """The pilot's."""
        return self.pilot.history

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
    """What a controller is made on, beside its optimizer; each takes what concerns it.

    Attributes:
        steps: length of the run.
        generator: to draw from.
        setting: the method's own settings by name.
        policy: of a pilot: the shipped one, or the path of another's file.
    """

    steps: int
    generator: torch.Generator
    setting: Mapping[str, Scalar] = field(default_factory=dict)
    policy: str | Path = "shipped"


def fixed(optimizer: Optimizer, terms: Terms) -> Controller:
    """The optimizer as it is."""
    return FixedRate(optimizer)


def self_tuning(optimizer: Optimizer, terms: Terms) -> Controller:
    """An optimizer that finds its own rate."""
    return SelfTuning(optimizer)


def inverse_time(optimizer: Optimizer, terms: Terms) -> Controller:
    """eta_0 / (1 + gamma t)."""
    return Scheduled(FixedRate(optimizer), schedules.inverse_time(optimizer, float(terms.setting["gamma"])))


def cosine(optimizer: Optimizer, terms: Terms, *, training: type[FixedRate] = FixedRate) -> Controller:
    """Down to nothing along a cosine."""
    return Scheduled(training(optimizer), schedules.cosine(optimizer, terms.steps))


def piloted(optimizer: Optimizer, terms: Terms) -> Controller:
    """The pilot, whose policy the setting may name by its fingerprint."""
    check_policy(terms)
    return Piloted(Pilot(optimizer, terms.steps, policy=terms.policy))


def online(base: str, optimizer: Optimizer, terms: Terms, *, learn: bool = True) -> Controller:
    """Algorithm 1 in a named setting, or in the paper's with the ``deviations`` of ``terms.setting`` ("D1+D2").

    Every other entry of the setting but the optimizer's replaces a field.
    """
    numbers = terms.setting.get("deviations")
    chosen = resolve(base) if numbers is None else deviating(*str(numbers).split("+"))
    changes = {k: v for k, v in terms.setting.items() if k not in {*OF_THE_OPTIMIZER, "deviations"}}
    chosen = replace(chosen, learn_actor=learn, **changes)  # type: ignore[arg-type] - checked by Setting
    return OnlineActorCritic(optimizer, chosen, generator=terms.generator)


def check_policy(terms: Terms) -> None:
    """Refuse a policy's file that is not the one that the setting names by its fingerprint."""
    given = fingerprint(terms.policy)
    if terms.setting.get("policy", given) != given:
        raise InvalidArgument("policy", f"{given}, the one in the file", terms.setting["policy"])
