"""A run on disk, safe against being killed at any moment.

    config.json          the configuration, and the versions that ran it
    metrics.jsonl        one record a line
    events.out.tfevents* the same for TensorBoard
    checkpoint           all that the rest of the run depends on, and how long metrics.jsonl was
    checkpoint.previous  the one before, should the first be damaged
    curves.png           loss, error and rate

What metrics.jsonl gained after the checkpoint is cut off when a run is resumed, because the resumed run writes it
again.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lrpilot.errors import InvalidArgument

from .configuration import Configuration
from .files import UNFINISHED, replace_file
from .training import Record

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

CONFIG, METRICS, CURVES = "config.json", "metrics.jsonl", "curves.png"
CHECKPOINT, PREVIOUS = "checkpoint", "checkpoint.previous"


class RunDirectory:
    """The files of one run. Use it as a context manager: leaving it closes them.

    Args:
        path: made when it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._events: SummaryWriter | None = None
        self._step = 0

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(self, *_: object) -> None:
        if self._events:
            self._events.close()

    def saved_configuration(self) -> Configuration | None:
        """The configuration of the run that is here; None when there is none.

        Raises:
            InvalidArgument: ``config.json`` is there and cannot be read.
        """
        file = self.path / CONFIG
        try:
            return Configuration(**json.loads(file.read_text())["configuration"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InvalidArgument("out", f"a run directory whose {CONFIG} can be read", str(file)) from error

    def begin(self, configuration: Configuration) -> None:
        """Write the configuration of a run that starts here.

        Raises:
            InvalidArgument: there is something else already, or nothing can be written there.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if any(file.suffix != UNFINISHED for file in self.path.iterdir()):
                allowed = "a new or an empty directory (--resume goes on with the run in it)"
                raise InvalidArgument("out", allowed, str(self.path))
            versions = {name: version(name) for name in ("lrpilot", "torch")}
            content = {"configuration": asdict(configuration), "versions": versions}
            replace_file(self.path / CONFIG, json.dumps(content, indent=2).encode() + b"\n")
        except OSError as error:
            allowed = f"a directory that can be written ({error.strerror})"
            raise InvalidArgument("out", allowed, str(self.path)) from error

    def write(self, record: Record) -> None:
        """Append a record to ``metrics.jsonl`` and to the events."""
        if self._events is None:
            from torch.utils.tensorboard.writer import SummaryWriter

            # A resumed run tells TensorBoard to forget what the killed one wrote after the checkpoint.
            self._events = SummaryWriter(str(self.path), purge_step=self._step + 1 if self._step else None)
        values = record.as_json()
        with (self.path / METRICS).open("ab") as metrics:
            metrics.write(json.dumps(values).encode() + b"\n")
        for name, value in values.items():
            if name not in ("step", "seconds", "diverged") and value is not None:
                self._events.add_scalar(name, value, record.step)

    def records(self) -> list[dict[str, Any]]:
        """What ``metrics.jsonl`` holds, line by line; a last line cut short by a kill is left out."""
        file = self.path / METRICS
        lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
        return [json.loads(line) for line in lines]

    def save(self, state: dict[str, Any]) -> None:
        """Make ``state`` the checkpoint, and the present checkpoint the previous one."""
        with (self.path / METRICS).open("ab") as file:
            os.fsync(file.fileno())
            length = file.tell()
        if self._events:
            self._events.flush()
        content = io.BytesIO()
        torch.save({"metrics_bytes": length, "training": state}, content)
        replace_file(self.path / CHECKPOINT, content.getvalue(), keep=self.path / PREVIOUS)

    def restore(self) -> tuple[dict[str, Any] | None, str | None]:
        """The state to resume from and one line on what was wrong with the files, each None if there is none.

        Cuts ``metrics.jsonl`` to what it was at that state.
        """
        there = [file for name in (CHECKPOINT, PREVIOUS) if (file := self.path / name).exists()]
        read = {file: _read_checkpoint(file) for file in there}
        sound = next((file for file in there if read[file]), None)
        checkpoint = read[sound] if sound else None
        metrics = self.path / METRICS
        if metrics.exists():
            os.truncate(metrics, checkpoint["metrics_bytes"] if checkpoint else 0)
        if checkpoint and sound:
            self._step = checkpoint["training"]["step"]
            problem = None if sound == there[0] else f"{there[0]} is damaged: going on from {sound.name}"
            return checkpoint["training"], problem
        damaged = " and ".join(map(str, there))
        return None, f"{damaged} damaged, no other checkpoint: starting again from step 0" if damaged else None


def _read_checkpoint(file: Path) -> dict[str, Any] | None:
    """A checkpoint, or None when it is damaged: zipfile looks at the checksums, torch's reader does not."""
    try:
        with zipfile.ZipFile(file) as archive:
            if archive.testzip():
                return None
        return torch.load(file, weights_only=True)
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, pickle.UnpicklingError):
        return None
