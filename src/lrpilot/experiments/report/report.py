"""``results/`` -> one Markdown page, one self-contained HTML page, and the README's results."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from lrpilot.errors import InvalidArgument
from lrpilot.experiments.runs.store import Store
from lrpilot.experiments.studies.comparison import ROOT
from lrpilot.experiments.studies.profiles import Profile

from .claims import verdicts
from .comparison_pages import README_CAPTION, headline
from .page import Section, write_html, write_markdown
from .readme import fill, parts
from .sections import WRITERS, sections, summary
from .tables import Table


def write_report(profile: Profile, store: Store, folder: Path, *, before: Sequence[Section] = ()) -> tuple[Path, Path]:
    """Write ``report.md`` (pictures beside it) and ``report.html`` (everything in it) into ``folder``.

    Args:
        profile: whose results are written.
        store: where they are.
        folder: made if need be.
        before: sections that come first, such as those on comparisons.

    Raises:
        InvalidArgument: the store holds no result of this profile, and nothing comes before.
    """
    own = sections(profile, store)
    written = [*before, *(own if len(own) > 1 else [])]  # the first only counts the results
    if not written:
        raise InvalidArgument("results", f"a folder with results of profile {profile.name}", str(store.root))
    title = f"lrpilot: results, profile {profile.name}"
    markdown, page = folder / "report.md", folder / "report.html"
    write_markdown(title, written, markdown)
    write_html(title, written, page)
    return markdown, page


def update_readme(readme: Path, profile: Profile, store: Store, *, compared: Store) -> None:
    """Write those parts of a file that come from results, each between its marker lines (:mod:`~.readme`).

    ``comparison`` is the picture and the table of all comparisons, ``results`` the methods of the paper's tables beside
    each other, ``claims`` the verdicts on the paper's claims; a part named after an experiment is its tables. A part
    without any results stays as it is, and so does one that another command writes.

    Args:
        readme: the file.
        profile: whose results are shown.
        store: where they are.
        compared: where comparisons are; their picture is written there too, as ``compare/headline.png``.

    Raises:
        InvalidArgument: the file has no such part.
    """
    named = [name for name in parts(readme) if name in ("comparison", "results", "claims", *WRITERS)]
    if not named:
        raise InvalidArgument("readme", "a file with marker lines such as <!-- results:begin -->", str(readme))
    for name in named:
        content = _comparison(readme, compared) if name == "comparison" else _tables(name, profile, store)
        if content:
            fill(readme, name, content)


def _comparison(readme: Path, compared: Store) -> str:
    shown = headline(compared)
    if shown is None:
        return ""
    picture, standings = shown
    link = Path(os.path.relpath(picture.write(compared.root / ROOT), readme.parent)).as_posix()
    return f"![{README_CAPTION}]({link})\n\n{standings.to_markdown()}"


def _tables(name: str, profile: Profile, store: Store) -> str:
    if name in WRITERS:
        blocks = WRITERS[name](profile, store)
    else:
        blocks = [(summary if name == "results" else verdicts)(profile, store)]
    tables = [block.to_markdown() for block in blocks if isinstance(block, Table) and block.rows]
    head = f"Profile `{profile.name}`; `lrpilot report` writes every table, setting and picture as one page."
    return "\n\n".join([head, *tables] if name == "results" and tables else tables)
