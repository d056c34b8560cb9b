"""A page of headings, paragraphs, tables and pictures, as Markdown with files and as one self-contained HTML
file.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from .tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #222
} table { border-collapse: collapse; margin: 1.5rem 0 .3rem; font-size: 13px; font-variant-numeric:
tabular-nums } caption { text-align: left; font-weight: 600; padding-bottom: .4rem } th, td { border-bottom:
1px solid #ddd; padding: .25rem .6rem; text-align: left } th { border-bottom: 2px solid #888 } tbody tr:hover
{ background: #f4f6fa } img { max-width: 100%; margin-top: 1rem } .note { color: #555; font-size: 13px;
margin-top: 0 }
""".strip()


@dataclass(frozen=True)
class Picture:
    """A figure with the name of its file (without suffix) and a line of text."""

    name: str
    figure: Figure
    caption: str

    @cached_property
    def png(self) -> bytes:
        """The figure as PNG; the same bytes for the same figure."""
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
        return buffer.getvalue()

    def write(self, folder: Path) -> Path:
        """Write the PNG into ``folder``; returns the file."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{self.name}.png"
        file.write_bytes(self.png)
        return file


Block = str | Table | Picture


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it: paragraphs (strings), tables, pictures."""

    title: str
    blocks: Sequence[Block]


def write_markdown(title: str, sections: Sequence[Section], path: Path) -> None:
    """Write ``path``, and each picture beside it as a PNG file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"# {title}"]
    for section in sections:
        lines.append(f"## {section.title}")
        for block in section.blocks:
            if isinstance(block, Picture):
                block.write(path.parent)
                lines.append(f"![{block.caption}]({block.name}.png)")
            else:
                lines.append(block.to_markdown() if isinstance(block, Table) else block)
    path.write_text("\n\n".join(lines) + "\n", encoding="utf-8")


def write_html(title: str, sections: Sequence[Section], path: Path) -> None:
    """Write ``path``: one file that needs no other, pictures and style inside, no script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    anchors = [f"section-{number}" for number in range(len(sections))]
    contents = "".join(
        f'<li><a href="#{anchor}">{html.escape(section.title)}</a></li>'
        for anchor, section in zip(anchors, sections, strict=True)
    )
    body = "".join(
        f'<h2 id="{anchor}">{html.escape(section.title)}</h2>' + "".join(map(_html, section.blocks))
        for anchor, section in zip(anchors, sections, strict=True)
    )
    path.write_text(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>'
        f"<body><h1>{html.escape(title)}</h1><ul>{contents}</ul>{body}</body></html>\n",
        encoding="utf-8",
    )


def _html(block: Block) -> str:
    if isinstance(block, Table):
        return block.to_html()
    if isinstance(block, Picture):
        image = base64.b64encode(block.png).decode("ascii")
        caption = html.escape(block.caption)
        return f'<figure><img alt="{caption}" src="data:image/png;base64,{image}">' + (
            f"<figcaption>{caption}</figcaption></figure>"
        )
    return f"<p>{html.escape(block)}</p>"
