"""One training run to be made, and what came of it. Both are plain data that travel as JSON."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal

from lrpilot.errors import InvalidArgument

Scalar = str | int | float | bool
Status = Literal["finished", "diverged", "failed"]
COLUMNS = ("curve", "evaluations", "earlier")  # of a result
CHANCE = 0.9
"""The error of guessing among ten classes: what a network whose loss is not finite is worth."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One run: a task, a method with its setting, a seed, a length.

    Attributes:
        experiment: the table, figure or comparison that the run is made for.
        task: a name that ``tasks.load_task`` takes.
        method: a name of ``methods.METHODS``.
        setting: the method's own settings by name, such as ``{"lr": 0.1}``.
        seed: of the initial weights, the order of the batches and the dropout masks.
        steps: mini-batches.
        batch_size: examples in each.
        fraction: share of the training set used, in (0, 1].
        validation: training examples held out for choosing between settings; 0 holds out none.
        evaluations: how often test and validation sets are looked at, evenly spaced; the last is at the end.
    """

    experiment: str
    task: str
    method: str
    setting: Mapping[str, Scalar] = field(default_factory=dict)
    seed: int
    steps: int
    batch_size: int
    fraction: float = 1.0
    validation: int = 5000
    evaluations: int = 20

    def __post_init__(self) -> None:
        """Check that it can be run and named."""
        for name, least in (
            ("seed", 0),
            ("steps", 1),
            ("batch_size", 1),
            ("evaluations", 1),
            ("validation", 0),
        ):
            if getattr(self, name) < least:
                raise InvalidArgument(name, f"an integer >= {least}", getattr(self, name))

    @property
    def path(self) -> PurePosixPath:
        """Where its result lies below the store's root: ``experiment/task/method/setting/seed-N.json``."""
        return PurePosixPath(
            self.experiment, plain_name(self.task), self.method, self.setting_name, f"seed-{self.seed}.json"
        )

    @property
    def setting_name(self) -> str:
        """The setting on one line, ``lr=0.1,gamma=0.001``; ``default`` where there is nothing to set."""
        return setting_name(self.setting)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Trial:
        """The trial that :meth:`to_json` described."""
        return cls(**stored)

    def to_json(self) -> dict[str, Any]:
        """As plain dictionaries, strings and numbers."""
        return {**asdict(self), "setting": dict(self.setting)}


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of a trial.

    Attributes:
        trial: what was to be done.
        status: ``finished``; ``diverged``, where a loss was not finite; or ``failed``, where the program
            stopped.
        reason: one line on what happened, for all but the finished.
        steps: steps made.
        seconds: processor time of the training, evaluations left out: one thread's wall-clock on an idle core.
        evaluation_seconds: the same of the evaluations, and of loading the data where the run did so.
        curve: by name, columns of equal length, thinned to one value for each interval of steps: ``step``
            (the interval's last), ``train_loss`` and ``rate`` (means over it), and what else the method logs.
        evaluations: columns of equal length: ``step``, ``seconds``, ``test_loss``, ``test_error`` (percent),
            ``validation_loss``, ``validation_error``.
        about: where and with what it ran: commit, versions, processor, date.
        earlier: of the offline version's training runs before this one, in their order: ``test_error`` and
            ``validation_error`` at the end of each, ``mean_rate``, ``seconds``. Empty for every other method.
    """

    trial: Trial
    status: Status
    reason: str | None = None
    steps: int
    seconds: float
    evaluation_seconds: float = 0.0
    curve: Mapping[str, list[float]]
    evaluations: Mapping[str, list[float]]
    about: Mapping[str, str]
    earlier: Mapping[str, list[float]] = field(default_factory=dict)

    def final(self, measure: str) -> float:
        """The last evaluation's ``measure``. Errors of a run that did not finish are those of guessing.

        Losses of such a run are infinite.
        """
        if self.status != "finished":
            return 100 * CHANCE if measure.endswith("error") else math.inf
        return self.evaluations[measure][-1]

    def best(self, measure: str) -> float:
        """The least ``measure`` of all evaluations, those of an unfinished run included."""
        values = [value for value in self.evaluations.get(measure, []) if math.isfinite(value)]
        return min([*values, 100 * CHANCE if measure.endswith("error") else math.inf])

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Result:
        """The result that :meth:`to_json` described."""
        plain: dict[str, Any] = {**stored, "trial": Trial.from_json(stored["trial"])}
        for name in COLUMNS:
            plain[name] = {
                key: [math.nan if value is None else value for value in column]
                for key, column in plain.get(name, {}).items()
            }
        return cls(**plain)

    def to_json(self) -> dict[str, Any]:
        """As plain dictionaries, strings and numbers, these to six digits; not finite ones become null."""
        plain = {**asdict(self), "trial": self.trial.to_json()}
        for name in COLUMNS:
            plain[name] = {key: [_rounded(value) for value in column] for key, column in plain[name].items()}
        return plain


def setting_name(setting: Mapping[str, Scalar]) -> str:
    """``lr=0.1,gamma=0.001``; ``default`` where there is nothing to set."""
    return ",".join(f"{key}={_plain(value)}" for key, value in setting.items()) or "default"


def plain_name(task: str) -> str:
    """The task's name for files: without the separators in the path of a user's own pictures."""
    return re.sub(r"[^\w.-]+", "-", task)


def _plain(value: Scalar) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _rounded(value: float) -> float | None:
    if not math.isfinite(value):
        return None
    return float(f"{value:.6g}") if isinstance(value, float) else value
