"""What one run is: every choice that its numbers depend on, as the command takes it and ``config.json`` holds it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch

from lrpilot.errors import InvalidArgument
from lrpilot.experiments.choices import at_least, choose
from lrpilot.experiments.tasks.catalogue import TASKS, LoadedTask, task_named
from lrpilot.online.settings import SETTINGS

from .methods import METHODS, Method
from .optimizers import HELP as OPTIMIZER_HELP
from .optimizers import default_learning_rate, make_optimizer
from .training import Plan, Training

CONTROLLERS = ("online", "pilot", "none")
USUAL = {"setting": "stable", "optimizer": "sgd"}


def option(help_: str) -> Any:
    """A field that the command has an option for, described by ``help_``; None where nothing was said."""
    return field(default=None, metadata={"help": help_})


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """As a user gives it, what was not said is None; :meth:`complete` fills that in."""

    task: str = "digits"  # a name that load_task takes
    controller: str | None = option(
        "What sets the rate: pilot (default), online (default with --setting or --discount), or none for a fixed rate."
    )
    setting: str | None = option(
        "Setting of the online actor-critic: stable (default), or paper, the literal one, whose first rate is its own."
    )
    discount: float | None = option("Discount factor gamma of the online actor-critic; default the setting's.")
    optimizer: str | None = option(f"{OPTIMIZER_HELP} Default sgd.")
    lr: float | None = option("Learning rate; the pilot starts at a tenth. Default 0.1 for sgd, else the optimizer's.")
    momentum: float | None = option("Momentum, for optimizers that have one.")
    steps: int | None = option("Training steps; default the task's.")
    batch_size: int | None = option("Batch size; default the task's.")
    seed: int | None = option("Seed of all random numbers; default 0.")
    evaluate_every: int | None = option("Steps between evaluations; default a twentieth of the run, but at least 100.")
    data: str | None = None  # the label of the data set used

    def __post_init__(self) -> None:
        """Spell the task as all do."""
        if self.task.lower() in TASKS:
            object.__setattr__(self, "task", self.task.lower())

    @property
    def driver(self) -> str:
        """The controller; where it was not said, the pilot, or the one that alone has what was said."""
        online = self.setting is not None or self.discount is not None
        return ("online" if online else "pilot") if self.controller is None else self.controller

    @property
    def method(self) -> Method:
        """What the controller is called among the methods that are compared."""
        names = {"pilot": "pilot", "none": "constant", "online": f"online-{self._or_usual('setting')}"}
        return METHODS[names[self.driver]]

    def _or_usual(self, name: str) -> Any:
        value = getattr(self, name)
        return USUAL[name] if value is None else value

    def check(self) -> None:
        """Refuse what can be refused before any data is read.

        Raises:
            InvalidArgument: an unknown name, or a number out of range.
        """
        task_named(self.task)
        choose("controller", self.driver, dict.fromkeys(CONTROLLERS))
        for name, value in self._given("setting", "discount").items():
            if self.driver != "online":
                raise InvalidArgument(name, f"left out with --controller {self.driver}", value)
        choose("setting", self._or_usual("setting"), SETTINGS)
        replace(SETTINGS[self._or_usual("setting")], **self._given("discount"))
        probe = [torch.nn.Parameter(torch.zeros(1))]
        make_optimizer(self._or_usual("optimizer"), probe, learning_rate=self.lr, momentum=self.momentum)
        at_least(1, steps=self.steps, batch_size=self.batch_size, evaluate_every=self.evaluate_every)
        at_least(0, seed=self.seed)

    def complete(self, task: LoadedTask) -> Configuration:
        """With the defaults filled in, those of ``task`` among them."""
        optimizer, steps = self._or_usual("optimizer"), self.steps or task.steps
        defaults = {
            "controller": self.driver,
            "setting": USUAL["setting"] if self.driver == "online" else None,
            "optimizer": optimizer,
            "lr": default_learning_rate(optimizer),
            "steps": steps,
            "batch_size": task.batch_size,
            "evaluate_every": max(100, steps // 20),
            "seed": 0,
        }
        missing = {name: value for name, value in defaults.items() if getattr(self, name) is None}
        return replace(self, data=task.data.label, **missing)

    def check_against(self, saved: Configuration, where: str) -> None:
        """Refuse whatever is asked for otherwise than in a configuration saved at ``where``, by its field."""
        for each in fields(self):
            given, value = getattr(self, each.name), getattr(saved, each.name)
            if given is not None and given != value:
                raise InvalidArgument(each.name, f"{value!r} as in {where}, or --out another directory", given)

    def training(self, task: LoadedTask) -> Training:
        """The run itself, before its first step; of a complete configuration."""
        plan = Plan(**self._given("steps", "batch_size", "evaluate_every", "seed"))
        return self.method.training(task, plan, self._given("optimizer", "lr", "momentum", "discount"))

    def _given(self, *names: str) -> dict[str, Any]:
        return {name: value for name in names if (value := getattr(self, name)) is not None}
