"""The methods that are compared, by name: an optimizer, what drives its rate, and the settings to try.

``METHODS["sgd"].settings(rates)`` lists the settings; ``.optimizer(network, setting)`` and
``.controller(optimizer, ...)`` build what ``training.Training`` takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from lrpilot.baselines.peers import PEERS, effective_rate
from lrpilot.baselines.schedules import cosine, inverse_time
from lrpilot.baselines.tensorflow import TFAdagrad, TFAdam, TFRMSprop
from lrpilot.baselines.vsgd import VSGD, Granularity
from lrpilot.errors import InvalidArgument
from lrpilot.experiments.runs.controllers import Controller, FixedRate, Piloted
from lrpilot.experiments.runs.optimizers import make_optimizer
from lrpilot.online.controller import OnlineActorCritic
from lrpilot.online.settings import deviating, resolve
from lrpilot.pilot.controller import Pilot
from lrpilot.pilot.policy_file import fingerprint

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from lrpilot.experiments.runs.trial import Scalar

    Setting = Mapping[str, Scalar]

START_RATE = 0.01  # of the optimizers that the online controller drives: the middle of the grid
DECAYS = (1e-4, 1e-3)  # gamma per step of the schedule eta_0 / (1 + gamma t)


@dataclass(frozen=True)
class Method:
    """One way to train a network.

    Attributes:
        label: what tables and legends call it.
        optimizer: ``optimizer(network, setting)``.
        settings: from the grid of rates, the settings to try; those of a method without a rate ignore it.
        controller: ``controller(optimizer, setting=..., steps=..., generator=..., policy=...)`` drives the optimizer.
        offline: the actor-critic's setting of the appendix' version, whose controller comes from a study of
            several runs; None for every other method.
        refines: whether the pilot's policy is refined over several runs before.
    """

    label: str
    optimizer: Callable[[Any, Setting], Optimizer]
    settings: Callable[[Sequence[float]], Sequence[Setting]]
    controller: Callable[..., Controller]
    offline: str | None = None
    refines: bool = False


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


def _rates(rates: Sequence[float]) -> Sequence[Setting]:
    return [{"lr": rate} for rate in rates]


def _rates_and_decays(rates: Sequence[float]) -> Sequence[Setting]:
    return [{"lr": rate, "gamma": gamma} for rate in rates for gamma in DECAYS]


def _overestimates(rates: Sequence[float]) -> Sequence[Setting]:
    """The factor C of vSGD's first estimates: the paper's d/10, and its alternative."""
    return [{"overestimate": "tenth"}, {"overestimate": 2.0}]


def _least_curvatures(rates: Sequence[float]) -> Sequence[Setting]:
    """For vSGD-l also a least curvature of 1e-3 instead of 1e-9.

    A pixel that is almost always blank has almost no curvature, and under 1e-9 a weight that explodes.
    """
    return [{**setting, **more} for more in ({}, {"epsilon": 1e-3}) for setting in _overestimates(rates)]


def _nothing(rates: Sequence[float]) -> Sequence[Setting]:
    return [{}]


def _default_and_tenth(rates: Sequence[float]) -> Sequence[Setting]:
    """Schedule-Free SGD's default rate of 1, and 0.1: at 1 the MNIST CNN learns nothing."""
    return [{}, {"lr": 0.1}]


def _not_by_rate(rates: Sequence[float]) -> Sequence[Setting]:
    """Settings that no grid of rates gives: the numbers and lengths of training runs."""
    return []


def _start(rates: Sequence[float]) -> Sequence[Setting]:
    return [{"lr": START_RATE}]


def _shipped(rates: Sequence[float]) -> Sequence[Setting]:
    """With the shipped policy, named so that another one's results are other runs."""
    return [{"optimizer": "sgd", "lr": START_RATE, "policy": fingerprint("shipped")}]


def _of_rate(kind: Callable[..., Optimizer], network: nn.Module, setting: Setting) -> Optimizer:
    return kind(network.parameters(), lr=setting.get("lr", START_RATE))


def _peer(make: Callable[..., Optimizer], network: nn.Module, setting: Setting) -> Optimizer:
    return make(network.parameters(), **setting)


def _vsgd(granularity: Granularity, network: nn.Sequential, setting: Setting) -> Optimizer:
    factor = setting["overestimate"]
    return VSGD(
        network,
        granularity,
        overestimate=None if factor == "tenth" else float(factor),
        epsilon=float(setting.get("epsilon", 1e-9)),
    )


def _fixed(optimizer: Optimizer, **_: Any) -> Controller:
    return FixedRate(optimizer)


def _self_tuning(optimizer: Optimizer, **_: Any) -> Controller:
    return SelfTuning(optimizer)


def _inverse_time(optimizer: Optimizer, *, setting: Setting, **_: Any) -> Controller:
    return Scheduled(FixedRate(optimizer), inverse_time(optimizer, float(setting["gamma"])))


def _cosine(optimizer: Optimizer, *, steps: int, **_: Any) -> Controller:
    return Scheduled(FixedRate(optimizer), cosine(optimizer, steps))


def _self_tuning_cosine(optimizer: Optimizer, *, steps: int, **_: Any) -> Controller:
    """The factor that the authors of Prodigy advise above its own rate."""
    return Scheduled(SelfTuning(optimizer), cosine(optimizer, steps))


def _online(
    name: str,
    optimizer: Optimizer,
    *,
    setting: Setting,
    generator: torch.Generator,
    learn: bool = True,
    **_: Any,
) -> Controller:
    """Algorithm 1 in a named setting, or in the paper's with the ``deviations`` of ``setting`` ("D1+D2").

    Every other entry of ``setting`` but the start rate replaces a field.
    """
    numbers = setting.get("deviations")
    base = resolve(name) if numbers is None else deviating(*str(numbers).split("+"))
    changes = {key: value for key, value in setting.items() if key not in ("lr", "deviations")}
    chosen = replace(base, learn_actor=learn, **changes)  # type: ignore[arg-type] - checked by Setting
    return OnlineActorCritic(optimizer, chosen, generator=generator)


def _named(network: nn.Module, setting: Setting) -> Optimizer:
    """Any optimizer by name, as in ``lrpilot train --optimizer``."""
    name = str(setting.get("optimizer", "sgd"))
    return make_optimizer(name, network.parameters(), learning_rate=float(setting["lr"]))


def check_policy(setting: Setting, policy: str | Path) -> None:
    """Refuse a policy's file that is not the one that the setting names by its fingerprint."""
    given = fingerprint(policy)
    if setting.get("policy", given) != given:
        raise InvalidArgument("policy", f"{given}, the one in the file", setting["policy"])


def _pilot(optimizer: Optimizer, *, setting: Setting, steps: int, policy: str | Path, **_: Any) -> Controller:
    check_policy(setting, policy)
    return Piloted(Pilot(optimizer, steps, policy=policy))


_sgd = partial(_of_rate, torch.optim.SGD)

METHODS: Mapping[str, Method] = {
    "sgd": Method("SGD", _sgd, _rates, _fixed),
    "adam": Method("Adam", partial(_of_rate, TFAdam), _rates, _fixed),
    "adagrad": Method("Adagrad", partial(_of_rate, TFAdagrad), _rates, _fixed),
    "rmsprop": Method("RMSprop", partial(_of_rate, TFRMSprop), _rates, _fixed),
    "sgd-inverse-time": Method("SGD, 1/t decay", _sgd, _rates_and_decays, _inverse_time),
    "sgd-cosine": Method("SGD, cosine", _sgd, _rates, _cosine),
    "vsgd-l": Method("vSGD-l", partial(_vsgd, "local"), _least_curvatures, _self_tuning),
    "vsgd-b": Method("vSGD-b", partial(_vsgd, "block"), _overestimates, _self_tuning),
    "vsgd-g": Method("vSGD-g", partial(_vsgd, "global"), _overestimates, _self_tuning),
    "prodigy": Method("Prodigy", partial(_peer, PEERS["prodigy"]), _nothing, _self_tuning),
    "prodigy-cosine": Method("Prodigy, cosine", partial(_peer, PEERS["prodigy"]), _nothing, _self_tuning_cosine),
    "d-adaptation-sgd": Method("D-Adaptation SGD", partial(_peer, PEERS["d-adaptation-sgd"]), _nothing, _self_tuning),
    "d-adaptation-adam": Method(
        "D-Adaptation Adam", partial(_peer, PEERS["d-adaptation-adam"]), _nothing, _self_tuning
    ),
    "schedule-free-sgd": Method(
        "Schedule-Free SGD", partial(_peer, PEERS["schedule-free-sgd"]), _default_and_tenth, _self_tuning
    ),
    "schedule-free-adamw": Method(
        "Schedule-Free AdamW", partial(_peer, PEERS["schedule-free-adamw"]), _nothing, _self_tuning
    ),
    "online-paper": Method("actor-critic, paper", _sgd, _nothing, partial(_online, "paper")),
    "online-stable": Method("actor-critic, stable", _sgd, _start, partial(_online, "stable")),
    "frozen-paper": Method("untrained actor, paper", _sgd, _nothing, partial(_online, "paper", learn=False)),
    "frozen-stable": Method("untrained actor, stable", _sgd, _start, partial(_online, "stable", learn=False)),
    "offline-paper": Method("offline actor-critic, paper", _sgd, _not_by_rate, _fixed, offline="paper"),
    "offline-stable": Method("offline actor-critic, stable", _sgd, _not_by_rate, _fixed, offline="stable"),
    # Their rate is the mean one of a controller's runs, so that it is known only after these.
    "mean-rate-paper": Method("SGD at the mean rate of paper", _sgd, _rates, _fixed),
    "mean-rate-stable": Method("SGD at the mean rate of stable", _sgd, _rates, _fixed),
    "mean-rate-offline-paper": Method("SGD at the mean rate of offline, paper", _sgd, _rates, _fixed),
    "mean-rate-offline-stable": Method("SGD at the mean rate of offline, stable", _sgd, _rates, _fixed),
    # Any optimizer, named by the setting; but for the pilot in comparisons alone.
    "pilot": Method("pilot", _named, _shipped, _pilot),
    "pilot-refined": Method("refined pilot", _named, _not_by_rate, _fixed, refines=True),
    "constant": Method("constant rate", _named, _rates, _fixed),
    "cosine": Method("cosine", _named, _rates, _cosine),
}

LABELS: Mapping[str, str] = {name: method.label for name, method in METHODS.items()}
GRID = ("sgd", "adam", "adagrad", "rmsprop", "sgd-cosine")
SCHAUL = ("sgd-inverse-time", "vsgd-l", "vsgd-b", "vsgd-g")
CONTROLLERS = ("online-paper", "online-stable", "frozen-paper", "frozen-stable")
RATE_FREE = (
    "prodigy",
    "prodigy-cosine",
    "d-adaptation-sgd",
    "d-adaptation-adam",
    "schedule-free-sgd",
    "schedule-free-adamw",
)
BY_START = ("pilot", "pilot-refined", "constant", "cosine")
MEAN_RATE = {"mean-rate-paper": "online-paper", "mean-rate-stable": "online-stable"}
MEAN_RATE_OFFLINE = {
    "mean-rate-offline-paper": "offline-paper",
    "mean-rate-offline-stable": "offline-stable",
}
