"""One run with its directory: begun or resumed, recorded as it goes, stopped so that it can go on."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lrpilot.core.signals import stopped_by_signals
from lrpilot.errors import Diverged, InvalidArgument, Unusable
from lrpilot.experiments.choices import at_least
from lrpilot.experiments.tasks.catalogue import load_task

from .configuration import Configuration
from .run_directory import CHECKPOINT, CONFIG, CURVES, RunDirectory
from .training import Record, Training
from .trial import plain_name


class Display(Protocol):
    """Shows a run as it goes: where it begins, how far it has come, and what one line tells."""

    def begin(self, configuration: Configuration, step: int) -> None: ...  # noqa: D102
    def show(self, record: Record) -> None: ...  # noqa: D102
    def say(self, line: str) -> None: ...  # noqa: D102


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    path: Path  # its directory
    configuration: Configuration
    records: list[dict[str, Any]]  # all of them, as in metrics.jsonl
    curves: Path  # the picture
    finished: bool  # False when it was stopped and can go on
    failure: Diverged | None  # set when it diverged
    rates: list[float]  # of every step where the controller keeps them, else of every record

    def resume_command(self, folder: Path | None) -> str:
        """The command that goes on with a run that was stopped; ``folder`` as ``--data`` was given."""
        words = ["lrpilot", "train", self.configuration.task, "--out", str(self.path), "--resume"]
        return shlex.join([*words, "--data", str(folder)] if folder else words)


def train(
    asked: Configuration,
    *,
    display: Display,
    draw: Callable[[Sequence[Mapping[str, Any]], Path], None],
    folder: Path | None = None,
    out: Path | None = None,
    resume: bool = False,
    checkpoint_every: int | None = None,
) -> Outcome:
    """Train as asked, all of it in a run directory. Ctrl-C, SIGTERM or SIGHUP stops it after the step under way.

    Args:
        asked: what to train and how; in a resumed run what is left out is as it was.
        display: shows the run.
        draw: draws the curves of its records into a file.
        folder: where data sets lie; None: LRPILOT_DATA, or the user's cache.
        out: the run directory; None: a fresh one under ``runs/``.
        resume: go on with the run in ``out``.
        checkpoint_every: steps between checkpoints, at the next record; None: ``evaluate_every``.

    Raises:
        InvalidArgument: a choice out of range, or that contradicts the run to be resumed.
        Unusable: data, or a run directory, that is not there, cannot be read, or is in use.
    """
    asked.check()
    at_least(1, checkpoint_every=checkpoint_every)
    if resume and out is None:
        raise InvalidArgument("out", "the directory of the run that --resume goes on with", out)
    fresh = f"{plain_name(asked.task).strip('-')[-60:]}-{asked.driver}-{time.strftime('%Y%m%d-%H%M%S')}"
    with RunDirectory(out, name=fresh, resume=resume) as directory:
        config, curves = directory.path / CONFIG, directory.path / CURVES
        saved = directory.saved_configuration() if resume else None
        if saved:
            asked.check_against(saved, where=str(config))
        task = load_task(asked.task, folder=folder)
        configuration = saved or asked.complete(task)
        if configuration.data != task.data.label:
            raise InvalidArgument("data", f"{configuration.data} as in {config}", task.data.label)
        training = configuration.training(task)
        if saved:
            _take_up(training, directory, display)
        else:
            directory.begin(configuration)
        display.begin(configuration, training.step)
        with stopped_by_signals(lambda: setattr(training, "stop_requested", True)):
            _record(training, directory, display, checkpoint_every or training.plan.evaluate_every)
        records = directory.records()
        draw(records, curves)
        finished = training.step == training.plan.steps
        kept = training.controller.history
        rates = kept.numbers("rate") if "rate" in kept.keys() else [record["learning_rate"] for record in records]  # noqa: SIM118
        return Outcome(directory.path, configuration, records, curves, finished, training.failure, rates)


def _take_up(training: Training, directory: RunDirectory, display: Display) -> None:
    try:
        state, problem = directory.restore()
        if state:
            training.load_state_dict(state)
    except (Unusable, OSError):
        raise
    except Exception as error:  # whatever a state of other contents leads to
        raise Unusable(f"{directory.path / CHECKPOINT} does not fit this run: train into another --out") from error
    if problem:
        display.say(problem)
    elif state and training.step < training.plan.steps:
        display.say(f"going on from step {training.step}")


def _record(training: Training, directory: RunDirectory, display: Display, checkpoint_every: int) -> None:
    saved = training.step
    for record in training.run():
        directory.write(record)
        due = record.step - saved >= checkpoint_every or record.step == training.plan.steps
        if due and not record.diverged:  # the checkpoint stays that of a sound network
            directory.save(training.state_dict())
            saved = record.step
        display.show(record)
        if record.diverged:
            return
    if training.step > saved:
        directory.save(training.state_dict())
