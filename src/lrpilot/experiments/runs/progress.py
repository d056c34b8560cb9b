"""A run as it goes, in the terminal: a live line where there is one, a line for each evaluation elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from rich.console import Console

    from .configuration import Configuration
    from .training import Record


class Display:
    """Shows a run to whoever waits for it. Use it as a context manager.

    Args:
        console: on a terminal a line is redrawn; elsewhere, for logs and pipes, lines follow each other.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._error = "-"
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
            refresh_per_second=4,
            expand=True,
        )

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
            self._bar = self._progress.add_task(configuration.task, total=self._steps, completed=step, state="")

    def show(self, record: Record) -> None:
        """The run has come this far."""
        if record.test_error is not None:
            self._error = f"{record.test_error:.2f} %"
        state = f"loss {record.loss:.4f}  rate {record.learning_rate:.2e}  test error {self._error}"
        if self._console.is_terminal:
            self._progress.update(self._bar, completed=record.step, state=state)
        elif record.test_error is not None:
            pace = (time.monotonic() - self._began) / max(1, record.step - self._first)
            left = pace * (self._steps - record.step)
            self.say(f"step {record.step}/{self._steps}  {state}  {left:.0f} s left")

    def say(self, line: str) -> None:
        """Something happened that one line tells."""
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)
