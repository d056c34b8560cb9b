"""A run as it goes, in the terminal: a live line where there is one, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from rich.console import Console

    from .configuration import Configuration
    from .training import Record


class LiveDisplay:
    """One line that is redrawn: how far, loss, rate, test error, time left. Use it as a context manager."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}  rate {task.fields[rate]}  test error {task.fields[error]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
            refresh_per_second=4,
            expand=True,
        )
        self._error = "-"

    def __enter__(self) -> LiveDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def begin(self, configuration: Configuration, step: int) -> None:
        """Draw the line for the first time."""
        self._progress.start()
        self._task = self._progress.add_task(
            configuration.task,
            total=configuration.steps,
            completed=step,
            loss="-",
            rate="-",
            error=self._error,
        )

    def show(self, record: Record) -> None:
        """Redraw it."""
        if record.test_error is not None:
            self._error = f"{record.test_error:.2f} %"
        self._progress.update(
            self._task,
            completed=record.step,
            loss=f"{record.loss:.4f}",
            rate=f"{record.learning_rate:.2e}",
            error=self._error,
        )

    def say(self, line: str) -> None:
        """Print a line above it."""
        self._progress.console.print(line, soft_wrap=True, highlight=False, markup=False)


class PlainDisplay:
    """A line for each evaluation, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> PlainDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def begin(self, configuration: Configuration, step: int) -> None:
        """Remember where and when it began, for the time left."""
        self._steps, self._first, self._began = configuration.steps, step, time.monotonic()

    def show(self, record: Record) -> None:
        """Print the record if it contains an evaluation."""
        if record.test_error is None:
            return
        pace = (time.monotonic() - self._began) / max(1, record.step - self._first)
        self.say(
            f"step {record.step}/{self._steps}  loss {record.loss:.4f}  rate {record.learning_rate:.2e}  "
            f"test error {record.test_error:.2f} %  {pace * (self._steps - record.step):.0f} s left"
        )

    def say(self, line: str) -> None:
        """Print a line."""
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)


def display_for(console: Console) -> LiveDisplay | PlainDisplay:
    """The live line on a terminal, plain lines elsewhere."""
    return LiveDisplay(console) if console.is_terminal else PlainDisplay(console)
