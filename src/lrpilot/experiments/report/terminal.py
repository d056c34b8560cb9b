"""Lines and tables on a terminal, text taken as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from rich.console import Console

    from .tables import Table as ResultTable

STOPPED = 130  # the exit code of a command that Ctrl-C ended


def say(console: Console, line: str) -> None:
    """Print a line, neither wrapped nor coloured."""
    console.print(line, soft_wrap=True, highlight=False, markup=False)


def show(console: Console, table: ResultTable) -> None:
    """Print a table."""
    shown = Table(title=escape(table.title), caption=escape(table.note))
    for column, heading in enumerate(table.header):
        shown.add_column(escape(heading), no_wrap=column == 0, overflow="fold")  # narrow, numbers break, names do not
    for row in table.rows:
        shown.add_row(*map(escape, row))
    console.print(shown)
