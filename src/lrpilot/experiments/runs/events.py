"""Scalars for TensorBoard, written as they come: no thread of its own in which a full disk would go unnoticed."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path


class Events:
    """A file of events in a folder.

    Args:
        folder: where it goes.
        forget_from: the step from which on TensorBoard is to forget what earlier files of the folder say.
    """

    def __init__(self, folder: Path, *, forget_from: int) -> None:
        # Generated modules, whose names no type checker sees.
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue]
        from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._summary = Event, Summary
        name = f"events.out.tfevents.{time.time():.0f}.{platform.node()}.{os.getpid()}"
        self._records = RecordWriter((folder / name).open("ab"))
        self._write(file_version="brain.Event:2")
        self._write(step=forget_from, session_log=SessionLog(status=SessionLog.START))

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Write these numbers of a step."""
        values = [self._summary.Value(tag=name, simple_value=value) for name, value in scalars.items()]
        self._write(step=step, summary=self._summary(value=values))

    def _write(self, **content: object) -> None:
        self._records.write(self._event(wall_time=time.time(), **content).SerializeToString())
        self._records.flush()

    def close(self) -> None:
        """Nothing more comes."""
        self._records.close()
