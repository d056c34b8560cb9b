"""The parts of the README that commands write: what stands between two marker lines comes from committed results."""

from __future__ import annotations

from pathlib import Path

from lrpilot.errors import InvalidArgument


def fill(readme: Path, name: str, content: str) -> None:
    """Replace what stands between the marker lines ``<!-- name:begin ... -->`` and ``<!-- name:end -->``.

    Raises:
        InvalidArgument: the file lacks one of the lines.
    """
    text = readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition(f"<!-- {name}:begin")
    opening, close, rest = rest.partition("-->\n")
    _, end, after = rest.partition(f"<!-- {name}:end -->")
    if not (begin and close and end):
        raise InvalidArgument("readme", f"a file with marker lines {name}:begin and {name}:end", str(readme))
    readme.write_text(f"{before}{begin}{opening}{close}\n{content.strip()}\n\n{end}{after}", encoding="utf-8")
