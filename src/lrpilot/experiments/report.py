"""``results/`` -> one Markdown page, one self-contained HTML page, and the README's results."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from lrpilot.errors import InvalidArgument
from lrpilot.experiments.comparison import ROOT
from lrpilot.experiments.comparison_pages import README_CAPTION, headline
from lrpilot.experiments.page import Section, write_html, write_markdown
from lrpilot.experiments.profiles import Profile
from lrpilot.experiments.readme import fill
from lrpilot.experiments.sections import sections, summary
from lrpilot.experiments.store import Store


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


def update_readme(readme: Path, profile: Profile, store: Store, *, compared: Store | None = None) -> None:
    """Replace what stands between the README's marker lines: the comparisons' picture and table, the results' table.

    Args:
        readme: the file.
        profile: whose results are shown.
        store: where they are.
        compared: where comparisons are; their picture is written there too, as ``compare/headline.png``. Without any,
            their part stays as it is.

    Raises:
        InvalidArgument: the README lacks the marker lines.
    """
    shown = headline(compared) if compared else None
    if compared and shown:
        picture, standings = shown
        link = Path(os.path.relpath(picture.write(compared.root / ROOT), readme.parent)).as_posix()
        fill(readme, "comparison", f"![{README_CAPTION}]({link})\n\n{standings.to_markdown()}")
    table = summary(profile, store)
    if table.rows or not shown:
        head = f"Profile `{profile.name}`; `lrpilot report` writes every table, setting and picture as one page."
        fill(readme, "results", f"{head}\n\n{table.to_markdown()}")
