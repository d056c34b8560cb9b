"""``results/`` -> one Markdown page, one self-contained HTML page, and the README's results."""

from __future__ import annotations

from pathlib import Path

from lrpilot.errors import InvalidArgument
from lrpilot.experiments.page import write_html, write_markdown
from lrpilot.experiments.profiles import Profile
from lrpilot.experiments.readme import fill
from lrpilot.experiments.sections import sections, summary
from lrpilot.experiments.store import Store


def write_report(profile: Profile, store: Store, folder: Path) -> tuple[Path, Path]:
    """Write ``report.md`` (pictures beside it) and ``report.html`` (everything in it) into ``folder``.

    Raises:
        InvalidArgument: the store holds no result of this profile.
    """
    written = sections(profile, store)
    if len(written) == 1:
        raise InvalidArgument("results", f"a folder with results of profile {profile.name}", str(store.root))
    title = f"lrpilot: results, profile {profile.name}"
    markdown, page = folder / "report.md", folder / "report.html"
    write_markdown(title, written, markdown)
    write_html(title, written, page)
    return markdown, page


def update_readme(readme: Path, profile: Profile, store: Store) -> None:
    """Replace what stands between the README's two marker lines by the tables of the results.

    Raises:
        InvalidArgument: the README lacks the marker lines.
    """
    table = summary(profile, store).to_markdown()
    head = f"Profile `{profile.name}`; `lrpilot report` writes every table, setting and picture as one page."
    fill(readme, "results", f"{head}\n\n{table}")
