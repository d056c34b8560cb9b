"""Making one trial: from its description to its result, whatever happens on the way."""

from __future__ import annotations

import datetime
import importlib.metadata
import math
import platform
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from lrpilot.errors import Unusable
from lrpilot.experiments.tasks.catalogue import LoadedTask, load_task
from lrpilot.experiments.tasks.suite import SUITE, load_suite_task

from .controllers import Terms
from .lessons import teach
from .methods import METHODS, PACKAGES
from .training import Plan, Record, Training
from .trial import MEASURES, Result, Status, Trial

SOURCE = Path(__file__).parents[2]
LOGS_PER_EVALUATION = 5
LOGGED = ("rate", "momentum", "dropout", "dq_da", "td_error")  # what a result keeps of a history, in every place
HELD_OUT = 10  # of the training set one in so many scores the runs that refine a policy
CLOCK = time.process_time  # of one thread: the wall-clock of a core that the run has to itself, however busy it is


@dataclass
class Making:
    """A trial under way: what there is of its result."""

    trial: Trial
    started: float = field(default_factory=CLOCK)
    records: list[Record] = field(default_factory=list)
    logged: dict[str, list[float]] = field(default_factory=dict)
    earlier: dict[str, list[float]] = field(default_factory=dict)

    def run(self, folder: str | Path | None, policy: str | Path) -> Training:
        """Make it."""
        trial, lessons = self.trial, METHODS[self.trial.method].lessons
        task = _task(trial.task, folder, trial.validation, trial.fraction)
        with ExitStack() as stack:
            controller = None
            if lessons:
                generator = torch.Generator().manual_seed(trial.seed)
                terms = Terms(steps=trial.steps, generator=generator, setting=trial.setting, policy=policy)
                given = lessons(terms)
                held_out = trial.validation or (len(task.data.train) // HELD_OUT if given.held_out else 0)
                part = _task(trial.task, folder, held_out, trial.fraction)
                self.earlier = teach(given, trial, partial(_training, task=part))
                controller = partial(given.taught, stack)
            training = _training(trial, task, policy=policy, controller=controller)
            self.records.extend(training.run())
        self.logged = _means(training, [record.step for record in self.records])
        return training

    def result(self, status: Status, reason: str | None) -> Result:
        """What came of it."""
        looks = [record for record in self.records if record.test_error is not None]
        seconds = self.records[-1].seconds if self.records else 0.0
        curve = {"step": "step", "train_loss": "loss", "rate": "learning_rate"}
        return Result(
            trial=self.trial,
            status=status,
            reason=reason,
            steps=self.records[-1].step if self.records else 0,
            seconds=round(seconds, 3),
            evaluation_seconds=round(CLOCK() - self.started - seconds, 3),
            curve={column: _column(self.records, name) for column, name in curve.items()} | self.logged,
            evaluations={name: _column(looks, name) for name in ("step", "seconds", *MEASURES)},
            earlier=self.earlier,
            about={**_surroundings(), "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")},
        )


def perform(trial: Trial, folder: str | Path | None = None, *, policy: str | Path = "shipped") -> Result:
    """Train as ``trial`` says, with one thread and denormal numbers taken for 0, and report.

    A run whose loss is not finite, or in which anything is raised, gives a result that says so. Only what
    stops the whole program (Ctrl-C) passes, and that the data cannot be read, which says nothing of a method.

    Args:
        trial: what to do.
        folder: where data sets lie; None: the variable LRPILOT_DATA, or the user's cache.
        policy: of the pilot: the shipped one, or the path of another's file.

    Raises:
        Unusable: data that is not there or cannot be read.
    """
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # moments of weights that are hardly ever used end there, and are slow
    making = Making(trial)
    try:
        failure = making.run(folder, policy).failure
    except Unusable:
        raise
    except Exception as error:
        return making.result("failed", f"{type(error).__name__}: {error}".splitlines()[0])
    return making.result("diverged" if failure else "finished", str(failure) if failure else None)


@lru_cache(maxsize=2)
def _task(name: str, folder: str | Path | None, validation: int, fraction: float) -> LoadedTask:
    """The task in memory, whole and with a part held out, kept for the next trial of the same."""
    if name in SUITE:
        return load_suite_task(name)
    return load_task(name, folder=folder, validation=validation, fraction=fraction)


def _training(trial: Trial, task: LoadedTask, **options: Any) -> Training:
    evaluate_every = max(1, trial.steps // trial.evaluations)
    plan = Plan(
        steps=trial.steps,
        batch_size=min(trial.batch_size, len(task.data.train)),
        evaluate_every=evaluate_every,
        log_every=max(1, evaluate_every // LOGS_PER_EVALUATION),
        seed=trial.seed,
    )
    return METHODS[trial.method].training(task, plan, trial.setting, clock=CLOCK, **options)


def _column(records: list[Record], name: str) -> list[float]:
    return [math.nan if (value := getattr(record, name)) is None else value for record in records]


def _means(training: Training, ends: list[int]) -> dict[str, list[float]]:
    """What the controller logged at every step, as means over the intervals that end at ``ends``.

    A column that began later than the first step has nan until then.
    """
    history, means = training.controller.history, {}
    for name in (name for name in history.keys() if name.split("/")[0] in LOGGED):  # noqa: SIM118 - is no mapping
        column = history[name].double().cpu()
        column = torch.cat([torch.full((max(0, training.step - len(column)),), math.nan, dtype=column.dtype), column])
        pairs = zip([0, *ends[:-1]], ends, strict=True)
        means[name] = [column[start:end].nanmean().item() for start, end in pairs]
    return means


@cache
def _surroundings() -> dict[str, str]:
    """Commit, versions and processor: the same for all trials of a process."""
    versions = {name: version for name in ("torch", *PACKAGES) if (version := _version(name))}
    where = {"commit": commit(), "python": platform.python_version()}
    return {**where, **versions, "processor": _processor(), "threads": "1"}


def _version(package: str) -> str | None:
    """None of a package that is not installed: of the peers' some are extras."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def commit(package: Path = SOURCE) -> str:
    """The commit of the package, ``-dirty`` where its files changed since; ``unknown`` where it is in none."""
    git = partial(subprocess.run, capture_output=True, text=True, check=True, cwd=package)
    try:
        git(["git", "ls-files", "--error-unmatch", "__init__.py"])  # a repository around an installed package has none
        changed = git(["git", "status", "--porcelain", "--", "."]).stdout
        return git(["git", "rev-parse", "--short", "HEAD"]).stdout.strip() + ("-dirty" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
