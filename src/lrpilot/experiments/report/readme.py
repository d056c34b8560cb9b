"""The parts of README and docs that commands write, between two marker lines, from committed results."""

from __future__ import annotations

import re
from pathlib import Path

from lrpilot.core.files import read_file, replace_file
from lrpilot.errors import InvalidArgument


def parts(readme: Path) -> list[str]:
    """The names of the parts that commands write, in their order."""
    return re.findall(r"<!-- ([\w/-]+):begin", _text(readme))


def fill(readme: Path, name: str, content: str) -> None:
    """Replace what stands between the marker lines ``<!-- name:begin ... -->`` and ``<!-- name:end -->``.

    Raises:
        InvalidArgument: the file lacks one of the lines.
    """
    text = _text(readme)
    line_end = "\r\n" if "\r\n" in text else "\n"
    text = text.replace("\r\n", "\n")
    before, begin, rest = text.partition(f"<!-- {name}:begin")
    opening, close, rest = rest.partition("-->\n")
    _, end, after = rest.partition(f"<!-- {name}:end -->")
    if not (begin and close and end):
        raise InvalidArgument("readme", f"a file with marker lines {name}:begin and {name}:end", str(readme))
    filled = f"{before}{begin}{opening}{close}\n{content.strip()}\n\n{end}{after}"
    replace_file(readme, filled.replace("\n", line_end).encode())


def _text(readme: Path) -> str:
    try:
        return read_file(readme).decode()
    except UnicodeDecodeError as error:
        raise InvalidArgument("readme", "a file of text", str(readme)) from error
