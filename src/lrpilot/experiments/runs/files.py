"""Files that are replaced whole: a process killed at any moment leaves the old one or the new one."""

from __future__ import annotations

import os
from pathlib import Path

UNFINISHED = ".unfinished"


def replace_file(file: Path, content: bytes, *, keep: Path | None = None) -> None:
    """Put ``content`` in the place of ``file`` as one act, its present content going to ``keep``."""
    unfinished = file.with_name(file.name + UNFINISHED)
    try:
        with unfinished.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        if keep and file.exists():
            file.replace(keep)
        unfinished.replace(file)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
    if os.name == "posix":
        folder = os.open(file.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
