"""A page of headings, paragraphs, tables and pictures: Markdown with files beside it, or one HTML file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from lrpilot.core.files import replace_file

from .drawing import png, svg
from .tables import Table, render


@dataclass(frozen=True)
class Picture:
    """A figure with the name of its file (without suffix) and a line of text."""

    name: str
    figure: Figure
    caption: str

    @cached_property
    def png(self) -> bytes:
        """The figure as a file."""
        return png(self.figure)

    @cached_property
    def svg(self) -> str:
        """The figure as text that a page can have inside."""
        return svg(self.figure, self.name)

    def write(self, folder: Path) -> Path:
        """Write the PNG into ``folder`` and an SVG beside it; returns the PNG."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{self.name}.png"
        replace_file(file, self.png)
        replace_file(file.with_suffix(".svg"), self.svg.encode())
        return file


Block = str | Table | Picture


class Card(NamedTuple):
    """A conclusion: a number and what it says."""

    value: str
    text: str


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it: paragraphs (strings), tables, pictures."""

    title: str
    blocks: Sequence[Block]


def markdown(blocks: Iterable[Block], page: Path, *, pictures: Path) -> str:
    """A part of the Markdown file ``page``, without tables that are empty; pictures are written into their folder."""
    parts: list[str] = []
    for block in blocks:
        if isinstance(block, Picture):
            link = Path(os.path.relpath(block.write(pictures), page.parent)).as_posix()
            parts.append(f"![{block.caption}]({link})")
        elif isinstance(block, Table):
            parts.append(block.to_markdown() if block.rows else "")
        else:
            parts.append(block)
    return "\n\n".join(filter(None, parts))


def write_page(title: str, cards: Sequence[Card], sections: Sequence[Section], folder: Path) -> tuple[Path, Path]:
    """Write ``report.md``, its pictures beside it, and ``report.html``, which needs no other file and no network."""
    folder.mkdir(parents=True, exist_ok=True)
    blocks = [block for section in sections for block in section.blocks]
    for block in blocks:
        if isinstance(block, Picture):
            block.write(folder)
    tables = [block for block in blocks if isinstance(block, Table) and block.header[0] == "method"]
    methods = list(dict.fromkeys(row[0] for table in tables for row in table.rows))
    pages = folder / "report.md", folder / "report.html"
    for page in pages:
        content = render(f"page{page.suffix}", title=title, cards=cards, sections=sections, methods=methods)
        replace_file(page, content.encode())
    return pages
