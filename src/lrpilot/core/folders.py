"""Folders of which one process has the use: a run's, new or gone on with."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from lrpilot.errors import InvalidArgument, Unusable

from .files import UNFINISHED

LOCK = ".lock"


@contextmanager
def working_folder(path: Path, marker: str, *, resume: bool = False, made: Sequence[Path] = ()) -> Generator[None]:
    """As long as this lasts, no other process has ``path``; a killed one lets go of it.

    Args:
        path: a new or empty folder, made when it is not there; or that of a run to be resumed.
        marker: the file that tells a run is there. If none is left behind, the folder goes again if it is new.
        resume: whether there must be a run, or may not be.
        made: folders that go as well then, the innermost first.

    Raises:
        InvalidArgument: there is no run to resume, or something else in the way.
        Unusable: another process has it.
    """
    from filelock import FileLock, Timeout

    if resume and not (path / marker).exists():
        raise InvalidArgument("out", "the directory of a run: there is nothing to resume", str(path))
    if not resume:
        made = [*made, *make(path)]
        _check_unused(path)
    lock = FileLock(path / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise Unusable(f"{path} is in use by another process: wait for it, or name another folder") from error
    try:
        if not resume:
            _check_unused(path)
        else:
            for left in path.glob(f"*{UNFINISHED}"):  # by a process that was killed
                left.unlink()
        yield
    finally:
        lock.release()
        if not (path / marker).exists():
            with suppress(OSError):
                (path / LOCK).unlink()
                remove(made)


def make(path: Path, *, exist_ok: bool = True) -> list[Path]:
    """Make a folder; which ones were missing, the innermost first."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=exist_ok)
    return missing


def remove(made: Sequence[Path]) -> None:
    """Take back what :func:`make` made, as far as it is still empty."""
    with suppress(OSError):
        for folder in made:
            folder.rmdir()


def make_fresh(path: Path) -> list[Path]:
    """As :func:`make`, of a name that no other process takes, a number added to ``path`` if need be."""
    for number in count(1):
        with suppress(FileExistsError):
            return make(path if number == 1 else path.with_name(f"{path.name}-{number}"), exist_ok=False)
    raise AssertionError("the numbers do not end")


def _check_unused(path: Path) -> None:
    if any(file.suffix != UNFINISHED and file.name != LOCK for file in path.iterdir()):
        raise InvalidArgument("out", "a new or an empty directory (--resume goes on with the run in it)", str(path))
