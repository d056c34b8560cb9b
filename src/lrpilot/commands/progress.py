"""A run as it goes, in the terminal: a live line where there is one, a line for each evaluation elsewhere."""

from __future__ import annotations

import time
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column

from lrpilot.experiments.runs.configuration import Configuration
from lrpilot.experiments.runs.training import Record

from .terminal import say


class Display:
    """Shows a run to whoever waits for it. Use it as a context manager.

    On a terminal a line is redrawn; elsewhere, for logs and pipes, lines follow each other.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._error = "-"
        columns = ("fields[left]", "completed}/{task.total", "fields[state]")
        texts = (TextColumn(f"{{task.{name}}}", table_column=Column(no_wrap=True)) for name in columns)
        self._progress = Progress(*texts, BarColumn(bar_width=None), console=console, refresh_per_second=4, expand=True)

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._progress.stop()

    def begin(self, configuration: Configuration, step: int) -> None:
        """The run is about to train, from ``step`` on."""
        self._steps, self._first, self._began = configuration.steps or 0, step, time.monotonic()
        if self._console.is_terminal:
            self._progress.start()
            self._bar = self._progress.add_task("", total=self._steps, completed=step, left="", state="")

    def show(self, record: Record) -> None:
        """The run has come this far."""
        if record.test_error is not None:
            self._error = f"{record.test_error:.1f} %"
        pace = (time.monotonic() - self._began) / max(1, record.step - self._first)
        speed = f"{1 / max(pace, 1e-6):.{0 if pace < 0.1 else 2}f} steps/s"
        numbers = (f"error {self._error}", speed, f"rate {record.learning_rate:.3g}", f"loss {record.loss:.3g}")
        left = f"{timedelta(seconds=round(pace * (self._steps - record.step)))} left"
        if self._console.is_terminal:
            room = max(0, self._console.width - len(left) - 2 * len(str(self._steps)) - 4)
            fitting = [count for count in range(len(numbers) + 1) if len("  ".join(numbers[:count])) <= room]
            self._progress.update(self._bar, completed=record.step, left=left, state="  ".join(numbers[: fitting[-1]]))
        elif record.test_error is not None:
            self.say("  ".join([f"step {record.step}/{self._steps}", left, *numbers]))

    def say(self, line: str) -> None:
        """Something happened that one line tells."""
        say(self._console, line)
