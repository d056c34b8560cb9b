"""One training run to be made, and what came of it. Both are plain data that travel as JSON."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeGuard, get_args

from lrpilot.errors import InvalidArgument

Scalar = str | int | float | bool
Status = Literal["finished", "diverged", "failed"]
MEASURES = ("test_loss", "test_error", "validation_loss", "validation_error")
NEEDED = {
    "curve": {"step", "train_loss", "rate"},
    "evaluations": {"step", "seconds", *MEASURES},
    "earlier": set[str](),
}
"""The columns of a result."""
VERSION = 1  # of a result's form; a line without one is of the first
LARGEST = 2**63
"""Of a whole number: what no float holds cannot be averaged or drawn."""
CHANCE = 0.9
"""The error of guessing among ten classes: what a network whose loss is not finite is worth."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One run: a task, a method with its setting, a seed, a length."""

    experiment: str  # the table, figure or comparison that the run is made for
    task: str  # a name that load_task takes
    method: str  # a name of METHODS
    setting: Mapping[str, Scalar] = field(default_factory=dict)  # the method's own, by name, such as {"lr": 0.1}
    seed: int  # of the initial weights, the order of the batches and the dropout masks
    steps: int  # mini-batches
    batch_size: int  # examples in each, where the training set has as many
    fraction: float = 1.0  # of the training set used, in (0, 1]
    validation: int = 5000  # training examples held out for choosing between settings; 0 holds out none
    evaluations: int = 20  # looks at test and validation set, evenly spaced; the last is at the end

    def __post_init__(self) -> None:
        """Check that it can be run and named."""
        for name in ("experiment", "task", "method"):
            _check(self, name, isinstance(getattr(self, name), str), "a name")
        for name, least in {"seed": 0, "steps": 1, "batch_size": 1, "evaluations": 1, "validation": 0}.items():
            value = getattr(self, name)
            _check(self, name, type(value) is int and value >= least, f"an integer >= {least}")
        _check(self, "fraction", _is_number(self.fraction) and 0 < self.fraction <= 1, "a number in (0, 1]")
        scalars = isinstance(self.setting, Mapping) and all(isinstance(v, Scalar) for v in self.setting.values())
        _check(self, "setting", scalars, "numbers and words by name")
        rate = self.setting.get("lr", 1.0)
        _check(self, "setting", _is_number(rate) and rate > 0, "one with an lr above 0, or without")

    @property
    def name(self) -> str:
        """``experiment/task/method/setting/seed-N``: of two trials of one name, the store keeps the later result."""
        return f"{self.experiment}/{plain_name(self.task)}/{self.method}/{self.setting_name}/seed-{self.seed}"

    @property
    def setting_name(self) -> str:
        """The setting on one line, ``lr=0.1,gamma=0.001``; ``default`` where there is nothing to set."""
        return setting_name(self.setting)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of a trial.

    ``curve`` has a value for each interval of steps: ``step`` (the interval's last), ``train_loss`` and ``rate`` (means
    over it), and what else the method logs. ``evaluations`` has ``step``, ``seconds``, ``test_loss``, ``test_error``
    (percent), ``validation_loss`` and ``validation_error``. ``earlier``, of the training runs that taught the
    controller: ``test_error`` and ``validation_error`` at the end of each, ``mean_rate``, ``seconds``.
    """

    trial: Trial
    status: Status  # diverged: a loss was not finite; failed: the program stopped
    reason: str | None = None  # one line on what happened, for all but the finished
    steps: int  # made
    seconds: float  # processor time of the training alone: one thread's wall-clock on an idle core
    evaluation_seconds: float = 0.0  # the same of the evaluations, and of loading the data where the run did so
    curve: Mapping[str, list[float]]
    evaluations: Mapping[str, list[float]]
    about: Mapping[str, str]  # where and with what it ran: commit, versions, processor, date
    earlier: Mapping[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that it can be shown."""
        _check(self, "status", self.status in get_args(Status), f"one of {', '.join(get_args(Status))}")
        for name in ("steps", "seconds", "evaluation_seconds"):
            value = getattr(self, name)
            _check(self, name, _is_number(value) and value >= 0, "a number >= 0")
        for name, needed in NEEDED.items():
            columns = getattr(self, name)
            numbers = all(_is_number(value) for column in columns.values() for value in column)
            sound = needed <= columns.keys() and numbers and len(set(map(len, columns.values()))) <= 1
            _check(self, name, sound, f"columns of numbers, as many in each, {', '.join(needed)} among them")
        errors = (value for name, column in self.evaluations.items() if name.endswith("error") for value in column)
        _check(self, "evaluations", not any(value < 0 for value in errors), "errors of at least 0 %")
        looked_at = self.status != "finished" or bool(self.evaluations["step"])
        _check(self, "evaluations", looked_at, "those of a finished run")
        words = all(isinstance(word, str) for word in (*self.about, *self.about.values()))
        _check(self, "about", words, "words by name")

    def final(self, measure: str) -> float:
        """The last evaluation's ``measure``; of a run that did not finish, the error of guessing, an infinite loss."""
        return self.evaluations[measure][-1] if self.status == "finished" else _guessing(measure)

    def best(self, measure: str) -> float:
        """The least ``measure`` of all evaluations, those of an unfinished run included."""
        return min([*filter(math.isfinite, self.evaluations.get(measure, [])), _guessing(measure)])

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Result:
        """The result that :meth:`to_json` described."""
        plain: dict[str, Any] = {**stored, "trial": Trial(**stored["trial"])}
        if plain.pop("version", 1) != VERSION:
            raise InvalidArgument("version", f"{VERSION}, which this lrpilot reads", stored["version"])
        for name in NEEDED:
            columns = plain.get(name, {}).items()
            plain[name] = {key: [math.nan if value is None else value for value in column] for key, column in columns}
        return cls(**plain)

    def to_json(self) -> dict[str, Any]:
        """As plain dictionaries, strings and numbers, these to six digits; not finite ones become null."""
        plain: dict[str, Any] = {"version": VERSION, **asdict(self)}
        for name in NEEDED:
            plain[name] = {key: [_rounded(value) for value in column] for key, column in plain[name].items()}
        return plain


def setting_name(setting: Mapping[str, Scalar]) -> str:
    """``lr=0.1,gamma=0.001``; ``default`` where there is nothing to set."""
    plain = (f"{value:g}" if isinstance(value, float) else str(value) for value in setting.values())
    return ",".join(f"{key}={value}" for key, value in zip(setting, plain, strict=True)) or "default"


def plain_name(task: str) -> str:
    """The task's name for files: without the separators in the path of a user's own pictures."""
    return re.sub(r"[^\w.-]+", "-", task)


def _check(record: Trial | Result, name: str, fits: bool, allowed: str) -> None:
    if not fits:
        raise InvalidArgument(name, allowed, getattr(record, name))


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, float) or (type(value) is int and abs(value) <= LARGEST)


def _guessing(measure: str) -> float:
    return 100 * CHANCE if measure.endswith("error") else math.inf


def _rounded(value: float) -> float | None:
    if not math.isfinite(value):
        return None
    return float(f"{value:.6g}") if isinstance(value, float) else value
