"""What drives the learning rate of a run. All have one shape, :class:`Controller`, and are made on one set of terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lrpilot.baselines import schedules
from lrpilot.baselines.peers import effective_rate
from lrpilot.baselines.vsgd import VSGD
from lrpilot.core.history import History
from lrpilot.core.knobs import Dropout, Knob, LearningRate, Momentum
from lrpilot.errors import InvalidArgument
from lrpilot.online.controller import OnlineActorCritic
from lrpilot.online.controls import Controls, Granularity
from lrpilot.online.settings import deviating, resolve
from lrpilot.pilot.controller import Pilot
from lrpilot.pilot.policy_file import fingerprint

from .trial import Scalar

OF_THE_OPTIMIZER = {"optimizer", "lr", "momentum"}  # entries of a setting that are not the controller's


class Controller(Protocol):
    """Trains on one batch after the other and decides the rate at which it does so.

    :class:`PlainTraining` and `lrpilot.OnlineActorCritic` are such. ``mends`` says whether a loss that is not finite is
    the controller's to mend, so that the run goes on; ``history`` holds what it logged at every step, by column.
    """

    mends: bool

    @property
    def history(self) -> History: ...  # noqa: D102
    def step(self, loss_fn: Callable[[Any], Tensor], batch: Any) -> Tensor: ...  # noqa: D102
    def get_last_lr(self) -> list[float]: ...  # noqa: D102
    def state_dict(self) -> dict[str, Any]: ...  # noqa: D102
    def load_state_dict(self, state: dict[str, Any]) -> None: ...  # noqa: D102


def rate_in_use(optimizer: Optimizer) -> float:
    """Of the first group; of an optimizer that finds its own what it found, of vSGD the median over parameters."""
    return optimizer.effective_rate() if isinstance(optimizer, VSGD) else effective_rate(optimizer)


class Listener(Protocol):
    """Sets the rate after each step by the loss before it: a pilot, or GreedyLR."""

    def step(self, loss: Any, /) -> None: ...  # noqa: D102
    def state_dict(self) -> dict[str, Any]: ...  # noqa: D102
    def load_state_dict(self, state_dict: dict[str, Any], /) -> None: ...  # noqa: D102


class PlainTraining:
    """Forward, backward, update; then ``follower``, a scheduler or a listener of this optimizer, makes its step."""

    def __init__(self, optimizer: Optimizer, follower: LRScheduler | Listener | None = None) -> None:
        self.optimizer = optimizer
        self.mends = isinstance(follower, Pilot)
        self.history = follower.history if isinstance(follower, Pilot) else History()
        self._follower = follower
        self._used = rate_in_use(optimizer) if follower else None

    def step(self, loss_fn: Callable[[Any], Tensor], batch: Any) -> Tensor:
        """One training step; returns the loss before it, detached."""
        loss = loss_fn(batch)
        self.optimizer.zero_grad()
        loss.backward()
        self._update(loss.detach())
        return loss.detach()

    def _update(self, loss: Tensor) -> None:
        self.optimizer.step()
        if self._follower:
            self._used = rate_in_use(self.optimizer)
        if isinstance(self._follower, LRScheduler):
            self._follower.step()
        elif self._follower:
            self._follower.step(loss)

    def get_last_lr(self) -> list[float]:
        """The rate of the first parameter group in the last step."""
        if isinstance(self._follower, Pilot):
            return self._follower.get_used_lr()[:1]
        return [rate_in_use(self.optimizer) if self._used is None else self._used]

    def state_dict(self) -> dict[str, Any]:
        """The follower's: all that there is beside network and optimizer."""
        return self._follower.state_dict() if self._follower else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state_dict` was taken."""
        if self._follower:
            self._follower.load_state_dict(state)


class ToldTheLoss(PlainTraining):
    """The optimizer's step is told the loss: MoMo's kind."""

    def _update(self, loss: Tensor) -> None:
        optimizer: Any = self.optimizer
        optimizer.step(loss=loss)


class Polled(PlainTraining):
    """The optimizer's step takes a closure, which it calls as often as it likes; it goes back where a loss blows up."""

    def __init__(self, optimizer: Optimizer) -> None:
        super().__init__(optimizer)
        self.mends = True

    def step(self, loss_fn: Callable[[Any], Tensor], batch: Any) -> Tensor:
        """One training step; returns the loss before it."""

        def closure() -> tuple[Tensor, float]:
            loss = loss_fn(batch)
            return loss, -loss.item()

        polling: Any = self.optimizer
        return torch.tensor(polling.step(closure).loss)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a controller is made on, beside its optimizer; each takes what concerns it."""

    steps: int  # of the run
    generator: torch.Generator  # to draw from
    setting: Mapping[str, Scalar] = field(default_factory=dict)  # the method's own, by name
    policy: str | Path = "shipped"  # of a pilot: the shipped one, or the path of another's file
    network: nn.Module | None = None  # that the optimizer updates, for what has to do with more than its parameters


MakeController = Callable[[Optimizer, Terms], Controller]


def alone(kind: type[PlainTraining]) -> MakeController:
    """What takes nothing but an optimizer, be the rate of that constant or its own finding."""
    return lambda optimizer, terms: kind(optimizer)


def scheduled(schedule: Callable[..., LRScheduler], optimizer: Optimizer, terms: Terms, **options: Any) -> Controller:
    """One of the `schedules` that end with the run."""
    return PlainTraining(optimizer, schedule(optimizer, terms.steps, **options))


def inverse_time(optimizer: Optimizer, terms: Terms) -> Controller:
    """eta_0 / (1 + gamma t)."""
    return PlainTraining(optimizer, schedules.inverse_time(optimizer, float(terms.setting["gamma"])))


def greedy(optimizer: Optimizer, terms: Terms) -> Controller:
    """GreedyLR (Subramanian, Ganapathiraman, 2025) at transformers' defaults, from the rate given."""
    from transformers.optimization import GreedyLR

    return PlainTraining(optimizer, GreedyLR(optimizer))


def piloted(optimizer: Optimizer, terms: Terms) -> Controller:
    """The pilot, whose policy the setting may name by its fingerprint."""
    check_policy(terms)
    return PlainTraining(optimizer, Pilot(optimizer, terms.steps, policy=terms.policy))


@dataclass(frozen=True)
class Extension:
    """What an online actor-critic decides on beside one rate for all."""

    further: Sequence[Literal["momentum", "dropout"]] = ()
    granularity: Granularity = "global"

    def controls(self, network: nn.Module | None) -> Sequence[Knob]:
        """The rate, and the further knobs of a network and its optimizer."""
        made = {"momentum": Momentum, "dropout": lambda: Dropout(network or nn.Identity())}
        return (LearningRate(), *(made[name]() for name in self.further))


def held(extension: Extension, optimizer: Optimizer, terms: Terms) -> Controller:
    """Constant values, which the setting gives by the names that an actor-critic's history has for them."""
    controls = Controls(optimizer, extension.controls(terms.network), extension.granularity, like=torch.empty(0))
    values = {"rate": terms.setting["lr"], **terms.setting}
    action = controls.action({name: float(values[name]) for name in controls.names})
    controls.write(action)
    controls.write(action, in_step=False)
    return PlainTraining(optimizer)


def online(
    base: str, optimizer: Optimizer, terms: Terms, *, learn: bool = True, extension: Extension = Extension()
) -> Controller:
    """Algorithm 1 in a named setting, or in the paper's with the ``deviations`` of ``terms.setting`` ("D1+D2").

    Every other entry of the setting but the optimizer's replaces a field.
    """
    numbers = terms.setting.get("deviations")
    chosen = resolve(base) if numbers is None else deviating(*str(numbers).split("+"))
    changes = {k: v for k, v in terms.setting.items() if k not in {*OF_THE_OPTIMIZER, "deviations"}}
    chosen = replace(chosen, learn_actor=learn, **changes)  # type: ignore[arg-type] - checked by Setting
    more: dict[str, Any] = {"controls": extension.controls(terms.network), "granularity": extension.granularity}
    return OnlineActorCritic(optimizer, chosen, generator=terms.generator, **more)


def check_policy(terms: Terms) -> None:
    """Refuse a policy's file that is not the one that the setting names by its fingerprint."""
    given = fingerprint(terms.policy)
    if terms.setting.get("policy", given) != given:
        raise InvalidArgument("policy", f"{given}, the one in the file", terms.setting["policy"])
