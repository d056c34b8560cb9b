"""The methods that are compared, a record each: an optimizer, what drives its rate, and the settings to try.

A new one is one record here, and where it has an optimizer of its own, its wrapper in ``lrpilot.baselines``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Generator, nn
from torch.optim import Optimizer

from lrpilot.baselines import schedules
from lrpilot.baselines.nadamw import WARM_UP
from lrpilot.baselines.opponents import OPPONENTS as MAKE_OPPONENT
from lrpilot.baselines.peers import PEERS
from lrpilot.baselines.vsgd import VSGD, Granularity
from lrpilot.experiments.tasks.catalogue import LoadedTask
from lrpilot.pilot.policy_file import fingerprint

from .controllers import (
    Controller,
    Extension,
    MakeController,
    PlainTraining,
    Polled,
    Terms,
    ToldTheLoss,
    alone,
    greedy,
    held,
    inverse_time,
    online,
    piloted,
    scheduled,
)
from .lessons import Lessons, OfflineLessons, RangeTestLessons, RefiningLessons
from .optimizers import make_optimizer
from .training import Plan, Training
from .trial import Scalar

Setting = Mapping[str, Scalar]
MakeOptimizer = Callable[[Any, Setting], Optimizer]

START_RATE = 0.01  # of the optimizers that the online controller drives: the middle of the grid
STARTS: Mapping[str, Setting] = {"paper": {}, "stable": {"lr": START_RATE}}
"""What the actor-critic starts from, by its setting."""
EXTENSIONS: Mapping[str, tuple[Extension, Setting]] = {
    "tensor": (Extension(granularity="tensor"), {"lr": START_RATE, "critic_activation": "tanh"}),
    "momentum": (Extension(("momentum",)), {"lr": START_RATE, "momentum": 0.5, "critic_activation": "tanh"}),
    "dropout": (
        Extension(("dropout",)),
        {"lr": START_RATE, "deviations": "D2+D3+D4+D5+D6+D7+D8+D9+D10", "critic_activation": "tanh"},
    ),
}
"""The paper's future work: what the stable actor-critic decides on beside one rate, and from which setting. A critic of
ReLUs tells the slopes of several numbers apart less well."""
DECAYS = (1e-4, 1e-3)  # gamma per step of the schedule eta_0 / (1 + gamma t)
OVERESTIMATES: Sequence[Setting] = ({"overestimate": "tenth"}, {"overestimate": 2.0})
"""The factor C of vSGD's first estimates: the paper's d/10, and its alternative."""
PLAIN = alone(PlainTraining)
COSINE, WARMED_UP = partial(scheduled, schedules.cosine), partial(scheduled, schedules.warmed_up)


def rates(grid: Sequence[float]) -> Sequence[Setting]:
    """Each rate of the grid."""
    return [{"lr": rate} for rate in grid]


def only(*settings: Setting) -> Callable[[Sequence[float]], Sequence[Setting]]:
    """These settings, whatever the grid."""
    return lambda grid: settings


@dataclass(frozen=True)
class Method:
    """One way to train a network."""

    name: str  # in results and on the command line
    heading: str  # what tables and legends call it
    family: str  # what it is among the others: a baseline of the paper, a rate-free peer, a control and so on
    _: KW_ONLY
    optimizer: str | MakeOptimizer = "sgd"  # of OPTIMIZERS, unless the setting names another; or what makes one
    controller: MakeController = PLAIN
    settings: Callable[[Sequence[float]], Sequence[Setting]] = rates  # to try, of the grid of rates
    control_of: str | None = None  # the method at whose mean rate it runs: known only after that one's runs
    lessons: Callable[[Terms], Lessons] | None = None  # the runs that teach the controller before the one that counts
    package: str | None = None  # of PyPI, that the optimizer comes from

    def training(
        self,
        task: LoadedTask,
        plan: Plan,
        setting: Setting,
        *,
        policy: str | Path = "shipped",
        controller: MakeController | None = None,
        **options: Any,
    ) -> Training:
        """A run before its first step; ``controller`` in place of the method's own, ``options`` as of `Training`."""

        def driven(network: nn.Module, optimizer: Optimizer, generator: Generator) -> Controller:
            terms = Terms(steps=plan.steps, generator=generator, setting=setting, policy=policy, network=network)
            return (controller or self.controller)(optimizer, terms)

        make = partial(self.make_optimizer, setting=setting)
        return Training(task, plan, make_optimizer=make, make_controller=driven, **options)

    def make_optimizer(self, network: nn.Module, setting: Setting) -> Optimizer:
        """The optimizer of a network."""
        if not isinstance(self.optimizer, str):
            return self.optimizer(network, setting)
        given: dict[str, Any] = {name: setting.get(name) for name in ("momentum", "weight_decay")}
        given["learning_rate"] = setting.get("lr", START_RATE)
        return make_optimizer(str(setting.get("optimizer", self.optimizer)), network.parameters(), **given)


def _rate_free(name: str, heading: str, package: str | None, *, of: str | None = None, **changes: Any) -> Method:
    """An optimizer that finds its own rate; ``of`` names its maker among `PEERS` or `OPPONENTS`, if not itself."""
    maker = of or name

    def optimizer(network: nn.Module, setting: Setting) -> Optimizer:
        return PEERS[maker](network.parameters(), **setting) if maker in PEERS else MAKE_OPPONENT[maker](network)

    family = "rate-free" if maker in PEERS else "opponent"
    given: dict[str, Any] = {"settings": only({}), "package": package, **changes}
    return Method(name, heading, family, optimizer=optimizer, **given)


def _untrained(network: nn.Module, setting: Setting) -> Optimizer:
    return torch.optim.SGD(network.parameters(), lr=0.0)


def _vsgd(name: str, heading: str, granularity: Granularity, *settings: Setting) -> Method:
    def optimizer(network: nn.Sequential, setting: Setting) -> Optimizer:
        factor = setting["overestimate"]
        overestimate = None if factor == "tenth" else float(factor)
        return VSGD(network, granularity, overestimate=overestimate, epsilon=float(setting.get("epsilon", 1e-9)))

    tried = only(*(settings or OVERESTIMATES))
    return Method(name, heading, "schaul", optimizer=optimizer, settings=tried)


def _online(name: str, heading: str, setting: str, *, learn: bool = True) -> Method:
    control = partial(online, setting, learn=learn)
    return Method(name, heading, "actor-critic", controller=control, settings=only(STARTS[setting]))


def _extended(name: str, what: str) -> Sequence[Method]:
    """The stable actor-critic with more to decide on, and its two controls."""
    extension, start = EXTENSIONS[name]
    learned, untrained = (partial(online, "stable", learn=learn, extension=extension) for learn in (True, False))
    make, constant = partial(Method, settings=only(start)), partial(held, extension)
    return (
        make(f"online-{name}", f"actor-critic, {what}", "extension", controller=learned),
        make(f"frozen-{name}", f"untrained actor, {what}", "extension", controller=untrained),
        Method(f"mean-{name}", f"SGD at the mean values, {what}", "extension", controller=constant, settings=only()),
    )


def _offline(name: str, heading: str, setting: str, *settings: Setting) -> Method:
    return Method(name, heading, "offline", settings=only(*settings), lessons=partial(OfflineLessons, setting))


def _control(name: str, whose: str, control_of: str) -> Method:
    return Method(name, f"SGD at the mean rate of {whose}", "control", control_of=control_of)


def _with_decays(grid: Sequence[float]) -> Sequence[Setting]:
    return [{"lr": rate, "gamma": gamma} for rate in grid for gamma in DECAYS]


def _shipped(grid: Sequence[float]) -> Sequence[Setting]:
    """With the shipped policy, named so that another one's results are other runs."""
    return [{"optimizer": "sgd", "lr": START_RATE, "policy": fingerprint("shipped")}]


_ALL = (
    Method("sgd", "SGD", "paper"),
    Method("adam", "Adam", "paper", optimizer="tf-adam"),
    Method("adagrad", "Adagrad", "paper", optimizer="tf-adagrad"),
    Method("rmsprop", "RMSprop", "paper", optimizer="tf-rmsprop"),
    Method("sgd-inverse-time", "SGD, 1/t decay", "schaul", controller=inverse_time, settings=_with_decays),
    Method("sgd-cosine", "SGD, cosine", "schedule", controller=COSINE),
    # A pixel that is almost always blank has almost no curvature, and under an epsilon of 1e-9 a weight that explodes.
    _vsgd("vsgd-l", "vSGD-l", "local", *OVERESTIMATES, *({**each, "epsilon": 1e-3} for each in OVERESTIMATES)),
    _vsgd("vsgd-b", "vSGD-b", "block"),
    _vsgd("vsgd-g", "vSGD-g", "global"),
    _rate_free("prodigy", "Prodigy", "prodigyopt"),
    _rate_free("prodigy-cosine", "Prodigy, cosine", "prodigyopt", of="prodigy", controller=COSINE),
    _rate_free("d-adaptation-sgd", "D-Adaptation SGD", "dadaptation"),
    _rate_free("d-adaptation-adam", "D-Adaptation Adam", "dadaptation"),
    # Its default rate of 1, and 0.1: at 1 the MNIST CNN learns nothing.
    _rate_free("schedule-free-sgd", "Schedule-Free SGD", "schedulefree", settings=only({}, {"lr": 0.1})),
    _rate_free("schedule-free-adamw", "Schedule-Free AdamW", "schedulefree"),
    _online("online-paper", "actor-critic, paper", "paper"),
    _online("online-stable", "actor-critic, stable", "stable"),
    _online("frozen-paper", "untrained actor, paper", "paper", learn=False),
    _online("frozen-stable", "untrained actor, stable", "stable", learn=False),
    *_extended("tensor", "a rate for each tensor"),
    *_extended("momentum", "rate and momentum"),
    *_extended("dropout", "rate and dropout"),
    _offline("offline-paper", "offline actor-critic, paper", "paper"),
    _offline("offline-stable", "offline actor-critic, stable", "stable"),
    # No run teaches them: the very actors that the studies of the same seed begin with.
    _offline("untrained-offline-paper", "untrained actor, offline, paper", "paper", {**STARTS["paper"], "runs": 0}),
    _offline("untrained-offline-stable", "untrained actor, offline, stable", "stable", {**STARTS["stable"], "runs": 0}),
    _control("mean-rate-paper", "paper", "online-paper"),
    _control("mean-rate-stable", "stable", "online-stable"),
    _control("mean-rate-offline-paper", "offline, paper", "offline-paper"),
    _control("mean-rate-offline-stable", "offline, stable", "offline-stable"),
    Method("pilot", "pilot", "start", controller=piloted, settings=_shipped),
    Method("pilot-refined", "refined pilot", "start", settings=only(), lessons=RefiningLessons),
    Method("constant", "constant rate", "start"),
    Method("cosine", "cosine", "start", controller=COSINE),
    Method("warmup-linear", "warm-up, linear", "grid", controller=partial(WARMED_UP, decay="linear")),
    Method("warmup-cosine", "warm-up, cosine", "grid", controller=partial(WARMED_UP, decay="cosine")),
    Method("one-cycle", "one-cycle", "grid", controller=partial(scheduled, schedules.one_cycle)),
    Method("greedy", "GreedyLR", "grid", controller=greedy, package="transformers"),
    Method("range-test", "range test, one-cycle", "search", settings=only(), lessons=RangeTestLessons),
    _rate_free("dog", "DoG", "dog-optimizer"),
    _rate_free("ldog", "LDoG", "dog-optimizer"),
    _rate_free("mechanic", "Mechanic", "mechanic-pytorch"),
    _rate_free("mechanic-cosine", "Mechanic, cosine", "mechanic-pytorch", of="mechanic", controller=COSINE),
    _rate_free("momo", "MoMo", "momo-opt", controller=alone(ToldTheLoss)),
    _rate_free("momo-adam", "MoMo-Adam", "momo-opt", controller=alone(ToldTheLoss)),
    _rate_free("prodigy-schedule-free", "Prodigy + Schedule-Free", "prodigy-plus-schedule-free"),
    _rate_free("nadamw", "NAdamW, AlgoPerf's", None, controller=partial(WARMED_UP, decay="cosine", share=WARM_UP)),
    _rate_free("relative-polling", "relative polling", "efficient-polling-lr-scheduler", controller=alone(Polled)),
    # One step at rate 0: what a loss is capped at.
    Method("untrained", "untrained", "untrained", optimizer=_untrained, settings=only({})),
)
METHODS: Mapping[str, Method] = {method.name: method for method in _ALL}
LABELS: Mapping[str, str] = {method.name: method.heading for method in _ALL}
CONTROLS: Mapping[str, str] = {method.name: method.control_of for method in _ALL if method.control_of}
"""By method, the one at whose mean rate it runs."""
PACKAGES = tuple(dict.fromkeys(method.package for method in _ALL if method.package))
PAPERS_BASELINES, SCHAUL, RATE_FREE, ACTOR_CRITICS, BY_START, GRIDS, SEARCHES, OPPONENTS = (
    tuple(method.name for method in _ALL if method.family == family)
    for family in ("paper", "schaul", "rate-free", "actor-critic", "start", "grid", "search", "opponent")
)
GIVEN_NO_RATE = (*RATE_FREE, *OPPONENTS)
"""Optimizers that find their own rate; the second part has no place in the paper's tables."""
GIVEN_AN_OPTIMIZER = (*BY_START, *GRIDS, *SEARCHES)
"""What drives the optimizer that it is given: from a starting rate, but for those that search for theirs."""
