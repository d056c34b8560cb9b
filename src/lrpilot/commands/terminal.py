"""Lines and tables on a terminal, text taken as it is."""

from __future__ import annotations

import re
from textwrap import wrap
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from rich.console import Console

    from lrpilot.experiments.report.tables import Table as ResultTable

STOPPED = 130  # the exit code of a command that Ctrl-C ended
GAP = 2  # spaces between two columns


def say(console: Console, line: str) -> None:
    """Print a line, neither wrapped nor coloured."""
    console.out(line, highlight=False)


def show(console: Console, table: ResultTable) -> None:
    """Print a table, no wider than the terminal (:func:`fitted`)."""
    columns, note = fitted(table, console.width)
    shown = Table(
        title=escape(table.title),
        caption=escape(note),
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, GAP - 1, 0, 0),
    )
    for heading, *_ in columns:
        shown.add_column(escape(heading), no_wrap=True)
    for row in zip(*(cells for _, *cells in columns), strict=True):
        shown.add_row(*map(escape, row))
    console.print()
    console.print(shown)


def fitted(table: ResultTable, room: int) -> tuple[list[list[str]], str]:
    """The columns of a table, headings first, in ``room`` characters, and its note.

    Text wraps at spaces and in settings after a comma; a number is never cut. Where that is not enough the spreads are
    left out, then the last columns, and the note says so.
    """
    columns = [list(map(_breakable, column)) for column in zip(table.header, *table.rows, strict=True)]
    notes, dropped = [table.note] if table.note else [], []
    if _least(columns) > room:
        bare = [[re.sub("\xa0±\xa0[\\d.]+", "", cell) for cell in column] for column in columns]
        notes += ["Spreads left out for want of room."] if bare != columns else []
        columns = bare
    while len(columns) > 1 and _least(columns) > room:
        dropped.insert(0, columns.pop()[0])
    if dropped:
        notes.append(f"Columns left out for want of room: {'; '.join(dropped)}.")
    widths, least = ([max(map(measure, column)) for column in columns] for measure in (len, _longest_word))
    while sum(widths) + GAP * (len(widths) - 1) > room and widths != least:
        widest = max(range(len(widths)), key=lambda column: widths[column] - least[column])
        widths[widest] -= 1
    wrapped = [
        ["\n".join(wrap(cell, width, break_long_words=False, break_on_hyphens=False)) for cell in column]
        for column, width in zip(columns, widths, strict=True)
    ]
    return wrapped, " ".join(notes)


def _breakable(cell: str) -> str:
    """With spaces where it may wrap: after a setting's comma, not around ±."""
    return re.sub(r",(?=[a-z])", ", ", cell).replace(" ± ", "\xa0±\xa0")


def _least(columns: list[list[str]]) -> int:
    """How many characters these columns need at least."""
    return sum(max(map(_longest_word, column)) for column in columns) + GAP * (len(columns) - 1)


def _longest_word(cell: str) -> int:
    return max(map(len, cell.split(" ")))
