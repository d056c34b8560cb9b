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
from lrpilot.experiments.sections import sections, summary
from lrpilot.experiments.store import Store

BEGIN = "<!-- results:begin (lrpilot report writes what stands between these lines) -->"
END = "<!-- results:end -->"


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
    """Replace what stands between the README's two marker lines by the tables of the results.

    Args:
        readme: the file.
        profile: whose results are shown.
        store: where they are.
        compared: where comparisons are; their picture is written there too, as ``compare/headline.png``.

    Raises:
        InvalidArgument: the README lacks the marker lines.
    """
    text = readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InvalidArgument("readme", f"a file with the lines {BEGIN} and {END}", str(readme))
    parts = _headline(compared, readme.parent) if compared else []
    table = summary(profile, store)
    if table.rows or not parts:
        head = f"Profile `{profile.name}`; all settings and pictures are in `results/{profile.name}/report`."
        parts += [head, table.to_markdown()]
    readme.write_text("\n\n".join([f"{before}{BEGIN}", *parts, f"{END}{after}"]), encoding="utf-8")


def _headline(compared: Store, folder: Path) -> list[str]:
    """The headline picture, linked as seen from ``folder``, and its table, as Markdown."""
    shown = headline(compared)
    if shown is None:
        return []
    picture, table = shown
    link = Path(os.path.relpath(picture.write(compared.root / ROOT), folder)).as_posix()
    return [f"![{README_CAPTION}]({link})", table.to_markdown()]
