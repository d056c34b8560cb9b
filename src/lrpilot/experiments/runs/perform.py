"""Making one trial: from its description to its result, whatever happens on the way."""

from __future__ import annotations

import datetime
import importlib.metadata
import math
import platform
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from .controllers import Controller, Piloted
from lrpilot.experiments.studies.methods import METHODS, check_policy
from .rehearsals import in_study, rehearse, taught
from lrpilot.experiments.tasks.catalogue import Task, load_task
from .training import Plan, Record, Training
from .trial import Result, Trial
from lrpilot.learning.refinement import Refinement
from lrpilot.online.offline import OfflineActorCritic
from lrpilot.online.controller import OnlineActorCritic

LOGS_PER_EVALUATION = 5
HELD_OUT = 10  # of the training set one in so many scores the runs that refine a policy
CLOCK = time.process_time  # of one thread: the wall-clock of a core that the run has to itself, however busy it is
MEASURES = ("test_loss", "test_error", "validation_loss", "validation_error")


def perform(trial: Trial, folder: str | Path | None = None, *, policy: str | Path = "shipped") -> Result:
    """Train as ``trial`` says, with one thread, and report.

    A run whose loss is not finite, or in which anything is raised, gives a result that says so. Only what
    stops the whole program (Ctrl-C) passes.

    Args:
        trial: what to do.
        folder: where data sets lie; None: the variable LRPILOT_DATA, or the user's cache.
        policy: of the pilot: the shipped one, or the path of another's file.
    """
    torch.set_num_threads(1)
    started = CLOCK()
    records: list[Record] = []
    earlier: dict[str, list[float]] = {}
    try:
        task = _task(trial.task, folder, trial.validation, trial.fraction)
        with ExitStack() as stack:
            make_controller = None
            offline = METHODS[trial.method].offline
            if offline:
                study = OfflineActorCritic(offline, generator=torch.Generator().manual_seed(trial.seed))
                earlier = rehearse(study, trial, partial(_training, task=task))
                make_controller = in_study(study, stack)
            if METHODS[trial.method].refines:
                check_policy(trial.setting, policy)
                study = Refinement(policy, generator=torch.Generator().manual_seed(trial.seed))
                held_out = trial.validation or len(task.data.train) // HELD_OUT
                part = _task(trial.task, folder, held_out, trial.fraction)
                earlier = rehearse(study, trial, partial(_training, task=part))
                make_controller = taught(study, trial)
            training = _training(trial, task, make_controller, policy=policy)
            records.extend(training.run())
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return _result(trial, records, "failed", reason, seconds=CLOCK() - started, earlier=earlier)
    logged = _history(training.controller, training.step, [record.step for record in records])
    return _result(
        trial,
        records,
        "diverged" if training.failure else "finished",
        str(training.failure) if training.failure else None,
        seconds=CLOCK() - started,
        logged=logged,
        earlier=earlier,
    )


@lru_cache(maxsize=2)
def _task(name: str, folder: str | Path | None, validation: int, fraction: float) -> Task:
    """The task in memory, whole and with a part held out, kept for the next trial of the same."""
    return load_task(name, folder=folder, validation=validation, fraction=fraction)


def _training(
    trial: Trial,
    task: Task,
    make_controller: Callable[..., Any] | None = None,
    *,
    policy: str | Path = "shipped",
) -> Training:
    method = METHODS[trial.method]
    evaluate_every = max(1, trial.steps // trial.evaluations)
    plan = Plan(
        steps=trial.steps,
        batch_size=trial.batch_size,
        evaluate_every=evaluate_every,
        log_every=max(1, evaluate_every // LOGS_PER_EVALUATION),
        seed=trial.seed,
    )
    made: list[torch.nn.Module] = []  # vSGD watches the network itself, not only its parameters

    def make_network(generator: torch.Generator) -> torch.nn.Module:
        made.append(task.make_network(generator))
        return made[0]

    def own_controller(optimizer: torch.optim.Optimizer, generator: torch.Generator) -> Controller:
        return method.controller(
            optimizer, setting=trial.setting, steps=trial.steps, generator=generator, policy=policy
        )

    return Training(
        replace(task, make_network=make_network),
        plan,
        make_optimizer=lambda _: method.optimizer(made[0], trial.setting),
        make_controller=make_controller or own_controller,
        clock=CLOCK,
    )


def _history(controller: Any, steps: int, ends: Sequence[int]) -> dict[str, list[float]]:
    """What a pilot or an actor-critic logged at every step, as means over the intervals that end at ``ends``.

    A column that began later than the first step has nan until then.
    """
    if isinstance(controller, Piloted):
        history, names = controller.pilot.history, ("rate",)
    elif isinstance(controller, OnlineActorCritic):
        history, names = controller.history, ("rate", "dq_da", "td_error")
    else:
        return {}
    means: dict[str, list[float]] = {}
    for name in names:
        column = history[name].double().cpu()
        column = torch.cat([torch.full((max(0, steps - len(column)),), math.nan, dtype=column.dtype), column])
        starts = [0, *ends[:-1]]
        means[name] = [column[start:end].nanmean().item() for start, end in zip(starts, ends, strict=True)]
    return means


def _result(
    trial: Trial,
    records: Sequence[Record],
    status: Any,
    reason: str | None,
    *,
    seconds: float,
    logged: Mapping[str, list[float]] | None = None,
    earlier: Mapping[str, list[float]],
) -> Result:
    looks = [record for record in records if record.test_error is not None]
    training_seconds = records[-1].seconds if records else 0.0
    return Result(
        trial=trial,
        status=status,
        reason=reason,
        steps=records[-1].step if records else 0,
        seconds=round(training_seconds, 3),
        evaluation_seconds=round(seconds - training_seconds, 3),
        curve={
            "step": [record.step for record in records],
            "train_loss": [record.loss for record in records],
            "rate": [record.learning_rate for record in records],
            **(logged or {}),
        },
        evaluations={
            "step": [record.step for record in looks],
            "seconds": [record.seconds for record in looks],
            **{name: [_number(getattr(record, name)) for record in looks] for name in MEASURES},
        },
        earlier=earlier,
        about={**_surroundings(), "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")},
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else value


@cache
def _surroundings() -> dict[str, str]:
    """Commit, versions and processor: the same for all trials of a process."""
    packages = ("torch", "prodigyopt", "dadaptation", "schedulefree")
    return {
        "commit": commit(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
        "processor": _processor(),
        "threads": "1",
    }


def commit() -> str:
    """The commit of the source tree, ``-dirty`` where that was changed since; ``unknown`` without one."""
    describe = partial(subprocess.run, capture_output=True, text=True, check=True, cwd=Path(__file__).parent)
    try:
        return describe(["git", "describe", "--always", "--dirty", "--exclude", "*"]).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
