"""What one run is: every choice that its numbers depend on, as ``config.json`` holds it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from lrpilot.errors import InvalidArgument
from .choices import choose
from .controllers import CONTROLLERS, Controller, Terms
from .optimizers import default_learning_rate, make_optimizer
from lrpilot.experiments.tasks.catalogue import check_task
from .training import Plan, Training
from lrpilot.online.settings import Setting, resolve

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from lrpilot.experiments.tasks.catalogue import Task


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What a user asked for; None where nothing was said.

    Attributes:
        task: a name of :func:`~lrpilot.experiments.tasks.catalogue.load_task`.
        controller: a name of :data:`~lrpilot.experiments.runs.controllers.CONTROLLERS`; default ``pilot``, or ``online``
            where ``setting`` or ``discount`` is given, which only it has.
        setting: of the actor-critic; default ``stable``.
        discount: of the actor-critic, gamma; default the setting's.
        optimizer: a name of :data:`~lrpilot.experiments.runs.optimizers.OPTIMIZERS`; default ``sgd``.
        lr: the rate to start from; default 0.1 for ``sgd``, any other's own.
        momentum: for optimizers that have one; default the optimizer's own.
        steps: updates; default the task's.
        batch_size: examples a step; default the task's.
        evaluate_every: steps between evaluations; default a twentieth of the run, 100 at least.
        seed: of everything random; default 0.
    """

    task: str
    controller: str | None = None
    setting: str | None = None
    discount: float | None = None
    optimizer: str | None = None
    lr: float | None = None
    momentum: float | None = None
    steps: int | None = None
    batch_size: int | None = None
    evaluate_every: int | None = None
    seed: int | None = None

    @property
    def driver(self) -> str:
        """The controller, its default filled in."""
        online = self.setting is not None or self.discount is not None
        return self.controller or ("online" if online else "pilot")


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """The fields of :class:`Choices`, defaults filled in, and ``data``, the label of the data set used."""

    task: str
    data: str
    controller: str
    setting: str | None
    discount: float | None
    optimizer: str
    lr: float
    momentum: float | None
    steps: int
    batch_size: int
    evaluate_every: int
    seed: int

    @classmethod
    def complete(cls, choices: Choices, task: Task) -> Configuration:
        """Fill in the defaults, those of ``task`` among them."""
        controller = choices.driver
        optimizer = choices.optimizer or "sgd"
        steps = task.steps if choices.steps is None else choices.steps
        return cls(
            task=choices.task,
            data=task.data.label,
            controller=controller,
            setting=(choices.setting or "stable") if controller == "online" else None,
            discount=choices.discount,
            optimizer=optimizer,
            lr=default_learning_rate(optimizer) if choices.lr is None else choices.lr,
            momentum=choices.momentum,
            steps=steps,
            batch_size=task.batch_size if choices.batch_size is None else choices.batch_size,
            evaluate_every=max(100, steps // 20) if choices.evaluate_every is None else choices.evaluate_every,
            seed=choices.seed or 0,
        )

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Configuration:
        """What :meth:`as_json` gave; ``TypeError`` if it is anything else."""
        return cls(**values)

    def as_json(self) -> dict[str, Any]:
        """Field by field, for ``json.dumps``."""
        return asdict(self)

    def check_against(self, choices: Choices, where: str) -> None:
        """Compare a saved configuration with what the user now asks for.

        Raises:
            InvalidArgument: names the first field that differs, and ``where`` its saved value stands.
        """
        for field in fields(choices):
            given = getattr(choices, field.name)
            if given is not None and given != getattr(self, field.name):
                allowed = f"{getattr(self, field.name)!r} as in {where}, or --out another directory"
                raise InvalidArgument(field.name, allowed, given)

    def training(self, task: Task) -> Training:
        """The run itself, before its first step."""
        plan = Plan(
            steps=self.steps,
            batch_size=self.batch_size,
            evaluate_every=self.evaluate_every,
            seed=self.seed,
        )
        setting = _setting(self.setting, self.discount)

        def controller(optimizer: Optimizer, generator: torch.Generator) -> Controller:
            return CONTROLLERS[self.controller](
                optimizer, Terms(generator=generator, steps=self.steps, setting=setting)
            )

        return Training(
            task,
            plan,
            make_optimizer=partial(make_optimizer, self.optimizer, learning_rate=self.lr, momentum=self.momentum),
            make_controller=controller,
        )


def _setting(name: str | None, discount: float | None) -> Setting:
    setting = resolve(name or "stable")
    return setting if discount is None else replace(setting, discount=discount)


def check(choices: Choices) -> None:
    """Refuse what can be refused before any data is read.

    Raises:
        InvalidArgument: an unknown name, or a number out of range.
    """
    check_task(choices.task)
    controller = choices.driver
    choose("controller", controller, CONTROLLERS)
    for name in ("setting", "discount"):
        if getattr(choices, name) is not None and controller != "online":
            raise InvalidArgument(name, f"left out with --controller {controller}", getattr(choices, name))
    _setting(choices.setting, choices.discount)
    probe = [torch.nn.Parameter(torch.zeros(1))]
    make_optimizer(choices.optimizer or "sgd", probe, learning_rate=choices.lr, momentum=choices.momentum)
    for name in ("steps", "batch_size", "evaluate_every"):
        number = getattr(choices, name)
        if number is not None and number < 1:
            raise InvalidArgument(name, "a whole number of at least 1", number)
    if choices.seed is not None and choices.seed < 0:
        raise InvalidArgument("seed", "a whole number of at least 0", choices.seed)
