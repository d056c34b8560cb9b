"""A run on disk, of one process at a time, safe against being killed at any moment.

    config.json          the configuration, and the versions that ran it
    metrics.jsonl        one record a line
    events.out.tfevents* the same for TensorBoard
    checkpoint           all that the rest of the run depends on, and what metrics.jsonl was
    checkpoint.previous  the one before, should the first be damaged
    curves.png           loss, error and rate
    .lock                held by the process that trains

What metrics.jsonl gained after the checkpoint is cut off when a run is resumed, because the resumed run writes it
again.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import ExitStack, suppress
from dataclasses import asdict
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrpilot.core.files import (
    LOCK,
    UNFINISHED,
    VERSION,
    check_version,
    fingerprint,
    load_state,
    naming,
    parse_json,
    read_file,
    replace_file,
    save_state,
    sole_use,
)
from lrpilot.core.state import StateDict
from lrpilot.errors import Damaged, InvalidArgument, Unusable

from .configuration import Configuration
from .events import Events

if TYPE_CHECKING:
    from .training import Record

CONFIG, METRICS, CURVES = "config.json", "metrics.jsonl", "curves.png"
CHECKPOINT, PREVIOUS = "checkpoint", "checkpoint.previous"
KIND = "lrpilot checkpoint"
RUNS = Path("runs")


class RunDirectory:
    """The files of one run. Use it as a context manager: within, no other process has it.

    Args:
        path: of the run to be resumed, or a new or empty folder, made when it is not there; None: a new one in
            ``runs/``, at once.
        name: of a folder in ``runs/``, to which a number is added if there is one.
        resume: whether there must be a run already, or may not be.

    Entering it raises:
        InvalidArgument: there is no run to resume, or something else in the way.
        Unusable: another process has it.
    """

    def __init__(self, path: Path | None, *, name: str = "", resume: bool = False) -> None:
        self._resume = resume
        self._made: list[Path] = []  # folders that go again if nothing begins
        self.path = self._make_fresh(name) if path is None else path
        self._events: Events | None = None
        self._stack = ExitStack()
        self._step = 0  # of the checkpoint that the run is resumed from
        self._configuration = ""  # its fingerprint
        self._length, self._digest = 0, hashlib.sha256()  # of what metrics.jsonl holds

    def __enter__(self) -> RunDirectory:
        if self._resume:
            if not (self.path / CONFIG).exists():
                raise InvalidArgument("out", "the directory of a run: there is nothing to resume", str(self.path))
        elif not self._made:
            self._made = _make(self.path)
            self._check_unused()
        self._stack.enter_context(sole_use(self.path))
        if not self._resume:
            self._check_unused()
        return self

    def __exit__(self, *_: object) -> None:
        if self._events:
            self._events.close()
        self._stack.close()
        if not (self.path / CONFIG).exists():
            with suppress(OSError):
                (self.path / LOCK).unlink()
                for folder in self._made:
                    folder.rmdir()

    def _make_fresh(self, name: str) -> Path:
        for number in count(1):
            path = RUNS / (name if number == 1 else f"{name}-{number}")
            with suppress(FileExistsError):
                self._made = _make(path, exist_ok=False)
                return path
        raise AssertionError("the numbers do not end")

    def _check_unused(self) -> None:
        if any(file.suffix != UNFINISHED and file.name != LOCK for file in self.path.iterdir()):
            allowed = "a new or an empty directory (--resume goes on with the run in it)"
            raise InvalidArgument("out", allowed, str(self.path))

    def saved_configuration(self) -> Configuration:
        """The configuration of the run that is here.

        Raises:
            Unusable: ``config.json`` cannot be read, or was changed since the run began.
        """
        file = self.path / CONFIG
        content = parse_json(read_file(file), file)
        check_version(file, content)
        saved = content.get("configuration")
        if not isinstance(saved, dict) or content.get("fingerprint") != fingerprint(saved):
            raise Unusable(f"{file} was changed since the run began: undo that, or train into another --out")
        self._configuration = fingerprint(saved)
        return Configuration(**saved)

    def begin(self, configuration: Configuration) -> None:
        """Write the configuration of a run that starts here."""
        values = asdict(configuration)
        self._configuration = fingerprint(values)
        content = {
            "format": "lrpilot run",
            "version": VERSION,
            "fingerprint": self._configuration,
            "configuration": values,
            "versions": {name: version(name) for name in ("lrpilot", "torch")},
        }
        replace_file(self.path / CONFIG, json.dumps(content, indent=2).encode() + b"\n")

    def write(self, record: Record) -> None:
        """Append a record to ``metrics.jsonl`` and to the events."""
        values = record.as_json()
        line = json.dumps(values).encode() + b"\n"
        with naming(self.path / METRICS), (self.path / METRICS).open("ab") as metrics:
            metrics.write(line)
        self._digest.update(line)
        self._length += len(line)
        with naming(self.path):
            self._events = self._events or Events(self.path, forget_from=self._step + 1)
            scalars = {name: value for name, value in values.items() if name not in ("step", "seconds", "diverged")}
            self._events.add(record.step, {name: value for name, value in scalars.items() if value is not None})

    def records(self) -> list[dict[str, Any]]:
        """What ``metrics.jsonl`` holds, line by line."""
        file = self.path / METRICS
        return [json.loads(line) for line in read_file(file).splitlines()] if file.exists() else []

    def save(self, state: StateDict) -> None:
        """Make ``state`` the checkpoint, and the present checkpoint the previous one."""
        with naming(self.path / METRICS), (self.path / METRICS).open("ab") as file:
            os.fsync(file.fileno())
        content = {"metrics": [self._length, self._digest.hexdigest()], "training": state}
        file = self.path / CHECKPOINT
        save_state(file, KIND, content, configuration=self._configuration, keep=self.path / PREVIOUS)

    def restore(self) -> tuple[StateDict | None, str | None]:
        """The state to resume from and one line on what was wrong with the files, each None if there is none.

        Cuts ``metrics.jsonl`` to what it was at that state.

        Raises:
            Unusable: a file is there that is not this run's.
        """
        problems: list[str] = []
        there = [file for name in (CHECKPOINT, PREVIOUS) if (file := self.path / name).exists()]
        for file in there:
            try:
                checkpoint = load_state(file, KIND, configuration=self._configuration)
            except Damaged:
                problems.append(str(file))
                continue
            self._cut_metrics(*checkpoint["metrics"])
            self._step = checkpoint["training"]["step"]
            return checkpoint["training"], f"{problems[0]} is damaged: going on from {file.name}" if problems else None
        self._cut_metrics(0, self._digest.hexdigest())
        lost = f"{' and '.join(problems)} damaged, no other checkpoint: starting again from step 0"
        return None, lost if problems else None

    def _cut_metrics(self, length: int, digest: str) -> None:
        file = self.path / METRICS
        kept = read_file(file)[:length] if file.exists() else b""
        self._length, self._digest = length, hashlib.sha256(kept)
        if self._digest.hexdigest() != digest:
            raise Unusable(f"{file} is not as this run wrote it: put that back, or train into another --out")
        if file.exists():
            os.truncate(file, length)


def _make(path: Path, *, exist_ok: bool = True) -> list[Path]:
    """Make a folder; which ones were missing, the innermost first."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=exist_ok)
    return missing
