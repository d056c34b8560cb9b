"""Tables on narrow terminals: what is left out is said, and no number is cut in two."""

import re

import pytest
from rich.console import Console

from lrpilot.commands.terminal import show
from lrpilot.experiments.report.tables import Table

METHODS = ("pilot", "D-Adaptation Adam", "Schedule-Free AdamW")
WIDE = Table(
    "Test error",
    ["method", "setting", *(f"from {rate:g}" for rate in (1e-4, 1e-3, 1e-2, 1e-1, 1.0)), "runs"],
    [[name, "optimizer=sgd,lr=0.01", *(f"{place}2.48 ± 0.01" for place in range(4, 9)), "3"] for name in METHODS],
    "A note.",
)


def printed(table, width):
    console = Console(width=width)
    with console.capture() as captured:
        show(console, table)
    return [line.rstrip() for line in captured.get().splitlines()]


@pytest.mark.parametrize("width", [200, 120, 80, 60, 40])
def test_no_line_is_too_long_and_no_number_is_cut(width):
    lines = printed(WIDE, width)
    assert max(map(len, lines)) <= width
    first = next(place for place, line in enumerate(lines) if "─" in line)
    body = " ".join(lines[first:]).partition("A note.")[0]
    numbers = re.findall(r"\d[\d.]*", body)
    whole = {"0.01", "3", *(f"{place}2.48" for place in range(4, 9))}
    assert set(numbers) <= whole
    assert "0.01" in numbers


def test_a_wide_terminal_shows_everything():
    text = "\n".join(printed(WIDE, 200))
    assert "42.48 ± 0.01" in text.replace("\xa0", " ")
    assert "Schedule-Free AdamW" in text
    assert "left out" not in text


def test_spreads_go_first_then_the_last_columns_and_a_line_says_so():
    eighty, sixty = (" ".join(printed(WIDE, width)) for width in (80, 60))
    assert "±" not in eighty
    assert "Spreads left out for want of room." in eighty
    assert "Columns left out" not in eighty
    assert "82.48" in eighty
    assert "Columns left out for want of room: from 1; runs." in sixty
    assert "72.48" in sixty
    assert "82.48" not in sixty


def test_text_is_taken_as_it_is():
    assert any("[bold]" in line for line in printed(Table("t", ["[bold]"], [["[/]"]]), 40))
