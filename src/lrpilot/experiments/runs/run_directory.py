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

import json
import os
from contextlib import ExitStack
from dataclasses import asdict, fields
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrpilot.core.files import (
    VERSION,
    Log,
    check_version,
    fingerprint,
    load_state,
    naming,
    parse_json,
    read_file,
    replace_file,
    save_state,
)
from lrpilot.core.folders import make_fresh, working_folder
from lrpilot.core.state import StateDict
from lrpilot.errors import Damaged, Unusable

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

    What entering it raises is that of `working_folder`.
    """

    def __init__(self, path: Path | None, *, name: str = "", resume: bool = False) -> None:
        made = make_fresh(RUNS / name) if path is None else []
        self.path = path or made[0]
        self._folder = working_folder(self.path, CONFIG, resume=resume, made=made)
        self._stack = ExitStack()
        self._events: Events | None = None
        self._metrics = Log(self.path / METRICS)
        self._step = 0  # of the checkpoint that the run is resumed from
        self._configuration = ""  # its fingerprint

    def __enter__(self) -> RunDirectory:
        self._stack.enter_context(self._folder)
        return self

    def __exit__(self, *_: object) -> None:
        if self._events:
            self._events.close()
        self._stack.close()

    def saved_configuration(self) -> Configuration:
        """The configuration of the run that is here.

        Raises:
            Unusable: ``config.json`` cannot be read, was changed since the run began, or is a later version's.
        """
        file = self.path / CONFIG
        content = parse_json(read_file(file), file)
        check_version(file, content)
        saved = content.get("configuration")
        if not isinstance(saved, dict) or content.get("fingerprint") != fingerprint(saved):
            raise Unusable(f"{file} was changed since the run began: undo that, or train into another --out")
        if unknown := saved.keys() - {each.name for each in fields(Configuration)}:
            text = f"{file} has {min(unknown)}, which this lrpilot does not know: use the version that began the run"
            raise Unusable(text)
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
        self._metrics.append(values)
        with naming(self.path):
            self._events = self._events or Events(self.path, forget_from=self._step + 1)
            scalars = {name: value for name, value in values.items() if name not in ("step", "seconds", "diverged")}
            self._events.add(record.step, {name: value for name, value in scalars.items() if value is not None})

    def records(self) -> list[dict[str, Any]]:
        """What ``metrics.jsonl`` holds, line by line."""
        return self._metrics.read()

    def save(self, state: StateDict) -> None:
        """Make ``state`` the checkpoint, and the present checkpoint the previous one."""
        content = {"metrics": self._metrics.mark(), "training": state}
        file = self.path / CHECKPOINT
        save_state(file, KIND, content, configuration=self._configuration, keep=self.path / PREVIOUS)

    def restore(self) -> tuple[StateDict | None, str | None]:
        """The state to resume from and one line on what was wrong with the files, each None if there is none.

        Cuts ``metrics.jsonl`` to what it was at that state.

        Raises:
            Unusable: a file is there that is not this run's.
            OSError: one cannot be read, such as a link to a disk that is away.
        """
        damaged: list[str] = []
        for file in filter(os.path.lexists, (self.path / CHECKPOINT, self.path / PREVIOUS)):
            try:
                checkpoint = load_state(file, KIND, configuration=self._configuration)
            except Damaged:
                damaged.append(str(file))
                continue
            self._metrics.cut(*checkpoint["metrics"])
            self._step = checkpoint["training"]["step"]
            return checkpoint["training"], f"{damaged[0]} is damaged: going on from {file.name}" if damaged else None
        self._metrics.cut()
        lost = f"{' and '.join(damaged)} damaged, no other checkpoint" if damaged else f"no checkpoint in {self.path}"
        return None, f"{lost}: starting again from step 0"
