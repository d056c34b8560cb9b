"""The methods that are compared, a record each: an optimizer, what drives its rate, and the settings to try.

A new one is one record here, and where it has an optimizer of its own, its wrapper in ``lrpilot.baselines``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrpilot.baselines.peers import PEERS
from lrpilot.baselines.vsgd import VSGD, Granularity
from lrpilot.pilot.policy_file import fingerprint

from .controllers import (
    Controller,
    MakeController,
    Terms,
    cosine,
    fixed,
    inverse_time,
    online,
    piloted,
    self_tuning,
    self_tuning_cosine,
)
from .lessons import Lessons, OfflineLessons, RefiningLessons
from .optimizers import make_optimizer
from .training import Plan, Training
from .trial import Scalar

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from lrpilot.experiments.tasks.catalogue import LoadedTask

Setting = Mapping[str, Scalar]
MakeOptimizer = Callable[[Any, Setting], "Optimizer"]

START_RATE = 0.01  # of the optimizers that the online controller drives: the middle of the grid
STARTS: Mapping[str, Setting] = {"paper": {}, "stable": {"lr": START_RATE}}
"""What the actor-critic starts from, by its setting."""
DECAYS = (1e-4, 1e-3)  # gamma per step of the schedule eta_0 / (1 + gamma t)
OVERESTIMATES: Sequence[Setting] = ({"overestimate": "tenth"}, {"overestimate": 2.0})
"""The factor C of vSGD's first estimates: the paper's d/10, and its alternative."""


def rates(grid: Sequence[float]) -> Sequence[Setting]:
    """Each rate of the grid."""
    return [{"lr": rate} for rate in grid]


def only(*settings: Setting) -> Callable[[Sequence[float]], Sequence[Setting]]:
    """These settings, whatever the grid."""
    return lambda grid: settings


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way to train a network."""

    name: str  # in results and on the command line
    heading: str  # what tables and legends call it
    family: str  # what it is among the others: a baseline of the paper, a rate-free peer, a control and so on
    optimizer: str | MakeOptimizer = "sgd"  # of OPTIMIZERS, unless the setting names another; or what makes one
    controller: MakeController = fixed
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

        def driven(optimizer: Optimizer, generator: Any) -> Controller:
            terms = Terms(steps=plan.steps, generator=generator, setting=setting, policy=policy)
            return (controller or self.controller)(optimizer, terms)

        make = partial(self.make_optimizer, setting=setting)
        return Training(task, plan, make_optimizer=make, make_controller=driven, **options)

    def make_optimizer(self, network: nn.Module, setting: Setting) -> Optimizer:
        """The optimizer of a network."""
        if not isinstance(self.optimizer, str):
            return self.optimizer(network, setting)
        given: dict[str, Any] = {"learning_rate": setting.get("lr", START_RATE), "momentum": setting.get("momentum")}
        return make_optimizer(str(setting.get("optimizer", self.optimizer)), network.parameters(), **given)


def _peer(name: str) -> MakeOptimizer:
    return lambda network, setting: PEERS[name](network.parameters(), **setting)


def _vsgd(granularity: Granularity, network: nn.Sequential, setting: Setting) -> Optimizer:
    factor = setting["overestimate"]
    overestimate = None if factor == "tenth" else float(factor)
    return VSGD(network, granularity, overestimate=overestimate, epsilon=float(setting.get("epsilon", 1e-9)))


_rate_free = partial(Method, family="rate-free", controller=self_tuning, settings=only({}))
_schaul = partial(Method, family="schaul", controller=self_tuning, settings=only(*OVERESTIMATES))

_ALL = (
    Method(name="sgd", heading="SGD", family="paper"),
    Method(name="adam", heading="Adam", family="paper", optimizer="tf-adam"),
    Method(name="adagrad", heading="Adagrad", family="paper", optimizer="tf-adagrad"),
    Method(name="rmsprop", heading="RMSprop", family="paper", optimizer="tf-rmsprop"),
    Method(
        name="sgd-inverse-time",
        heading="SGD, 1/t decay",
        family="schaul",
        controller=inverse_time,
        settings=lambda grid: [{"lr": rate, "gamma": gamma} for rate in grid for gamma in DECAYS],
    ),
    Method(name="sgd-cosine", heading="SGD, cosine", family="schedule", controller=cosine),
    # A pixel that is almost always blank has almost no curvature, and under an epsilon of 1e-9 a weight that explodes.
    _schaul(
        name="vsgd-l",
        heading="vSGD-l",
        optimizer=partial(_vsgd, "local"),
        settings=only(*OVERESTIMATES, *({**setting, "epsilon": 1e-3} for setting in OVERESTIMATES)),
    ),
    _schaul(name="vsgd-b", heading="vSGD-b", optimizer=partial(_vsgd, "block")),
    _schaul(name="vsgd-g", heading="vSGD-g", optimizer=partial(_vsgd, "global")),
    _rate_free(name="prodigy", heading="Prodigy", optimizer=_peer("prodigy"), package="prodigyopt"),
    _rate_free(
        name="prodigy-cosine",
        heading="Prodigy, cosine",
        optimizer=_peer("prodigy"),
        controller=self_tuning_cosine,
        package="prodigyopt",
    ),
    _rate_free(
        name="d-adaptation-sgd",
        heading="D-Adaptation SGD",
        optimizer=_peer("d-adaptation-sgd"),
        package="dadaptation",
    ),
    _rate_free(
        name="d-adaptation-adam",
        heading="D-Adaptation Adam",
        optimizer=_peer("d-adaptation-adam"),
        package="dadaptation",
    ),
    _rate_free(  # its default rate of 1, and 0.1: at 1 the MNIST CNN learns nothing
        name="schedule-free-sgd",
        heading="Schedule-Free SGD",
        optimizer=_peer("schedule-free-sgd"),
        settings=only({}, {"lr": 0.1}),
        package="schedulefree",
    ),
    _rate_free(
        name="schedule-free-adamw",
        heading="Schedule-Free AdamW",
        optimizer=_peer("schedule-free-adamw"),
        package="schedulefree",
    ),
    *(
        Method(
            name=f"{kind}-{setting}",
            heading=f"{heading}, {setting}",
            family="actor-critic",
            controller=partial(online, setting, learn=kind == "online"),
            settings=only(start),
        )
        for kind, heading in {"online": "actor-critic", "frozen": "untrained actor"}.items()
        for setting, start in STARTS.items()
    ),
    *(
        Method(
            name=f"offline-{setting}",
            heading=f"offline actor-critic, {setting}",
            family="offline",
            settings=only(),
            lessons=partial(OfflineLessons, setting),
        )
        for setting in STARTS
    ),
    *(
        Method(
            name=f"mean-rate-{of}{setting}",
            heading=f"SGD at the mean rate of {of.replace('-', ', ')}{setting}",
            family="control",
            control_of=f"{of or 'online-'}{setting}",
        )
        for of in ("", "offline-")
        for setting in STARTS
    ),
    Method(
        name="pilot",
        heading="pilot",
        family="start",
        controller=piloted,
        # with the shipped policy, named so that another one's results are other runs
        settings=lambda grid: [{"optimizer": "sgd", "lr": START_RATE, "policy": fingerprint("shipped")}],
    ),
    Method(name="pilot-refined", heading="refined pilot", family="start", settings=only(), lessons=RefiningLessons),
    Method(name="constant", heading="constant rate", family="start"),
    Method(name="cosine", heading="cosine", family="start", controller=cosine),
)
METHODS: Mapping[str, Method] = {method.name: method for method in _ALL}
LABELS: Mapping[str, str] = {method.name: method.heading for method in _ALL}
CONTROLS: Mapping[str, str] = {method.name: method.control_of for method in _ALL if method.control_of}
"""By method, the one at whose mean rate it runs."""
PACKAGES = tuple(dict.fromkeys(method.package for method in _ALL if method.package))
PAPERS_BASELINES, SCHAUL, RATE_FREE, ACTOR_CRITICS, BY_START = (
    tuple(method.name for method in _ALL if method.family == family)
    for family in ("paper", "schaul", "rate-free", "actor-critic", "start")
)
