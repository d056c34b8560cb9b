"""A page of headings, paragraphs, tables and pictures: Markdown with files beside it, or one HTML file."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from matplotlib.figure import Figure

from lrpilot.core.files import replace_file

from .drawing import png
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

    @property
    def base64(self) -> str:
        """The PNG as text, for a page that has its pictures inside."""
        return b64encode(self.png).decode("ascii")

    def write(self, folder: Path) -> Path:
        """Write the PNG into ``folder``; returns the file."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{self.name}.png"
        replace_file(file, self.png)
        return file


Block = str | Table | Picture


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it: paragraphs (strings), tables, pictures."""

    title: str
    blocks: Sequence[Block]


def markdown(blocks: Iterable[Block], page: Path, *, pictures: Path) -> str:
    """Tables and pictures as a part of the Markdown file ``page``; the pictures are written into their folder."""
    parts: list[str] = []
    for block in blocks:
        if isinstance(block, Picture):
            link = Path(os.path.relpath(block.write(pictures), page.parent)).as_posix()
            parts.append(f"![{block.caption}]({link})")
        elif isinstance(block, Table) and block.rows:
            parts.append(block.to_markdown())
    return "\n\n".join(parts)


def write_page(title: str, sections: Sequence[Section], folder: Path) -> tuple[Path, Path]:
    """Write ``report.md``, its pictures beside it, and ``report.html``, which needs no other file and has no script."""
    folder.mkdir(parents=True, exist_ok=True)
    for block in (block for section in sections for block in section.blocks):
        if isinstance(block, Picture):
            block.write(folder)
    pages = folder / "report.md", folder / "report.html"
    for page in pages:
        replace_file(page, render(f"page{page.suffix}", title=title, sections=sections).encode())
    return pages
