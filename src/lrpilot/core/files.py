"""Files that runs depend on: replaced whole, and read only where they are what they say.

A checked file is a line of JSON (format, version, the fingerprint of a configuration, a checksum) and then its content.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch

from lrpilot.errors import Damaged, InvalidArgument, Unusable

from .state import StateDict

UNFINISHED = ".unfinished"
VERSION = 1
"""Of every format below; another version's files are refused by name."""


@contextmanager
def naming(file: Path) -> Generator[None]:
    """An `OSError` raised within says which file it is about."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(file)
        raise


def expanded(path: str | Path) -> Path:
    """With the user's home for ``~``.

    Raises:
        InvalidArgument: no path, an empty one, or one that no system takes.
        Unusable: there is no such home.
    """
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else ""
    if not isinstance(text, str) or not text or "\0" in text:
        raise InvalidArgument("path", "a string or a pathlib.Path, not empty and without NUL characters", path)
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        text = f"{path} cannot be found, for there is no home directory: set HOME, or name a place without ~"
        raise Unusable(text) from error


def read_file(file: Path) -> bytes:
    """What a regular file holds: no pipe is waited for, no endless device read.

    Raises:
        Unusable: it is something else.
        OSError: it is not there or cannot be read.
    """
    if file.exists() and not file.is_file():
        raise Unusable(f"{file} is not a regular file: remove it, or name another place")
    return file.read_bytes()


def replaceable(file: Path) -> Path:
    """What :func:`replace_file` would write: ``file``, or where it leads to if it is a link.

    Raises:
        Unusable: a folder, a device or a pipe is there.
    """
    file = Path(os.path.realpath(file))
    if file.exists() and not file.is_file():
        raise Unusable(f"{file} is not a regular file and is left as it is: name another one")
    return file


def replace_file(file: Path, content: bytes, *, keep: Path | None = None) -> None:
    """Put ``content`` in the place of ``file`` as one act, its present content going to ``keep``.

    A process killed at any moment leaves the old one or the new one, beside it perhaps a half-written ``*.unfinished``.
    Of several processes that write at once, one prevails. Where ``file`` is a link, what it leads to is replaced.

    Raises:
        Unusable: as of :func:`replaceable`.
        OSError: it cannot be written; the old file stays. It names ``file``, as it was given.
    """
    given, file = file, replaceable(file)
    unfinished = file.with_name(f"{file.name}.{uuid4().hex[:8]}{UNFINISHED}")
    try:
        with unfinished.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        if keep and file.exists():
            file.replace(keep)
        unfinished.replace(file)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink()
        if not file.parent.exists():
            text = f"there is no folder {file.parent} (make it, or name another place)"
            raise FileNotFoundError(errno.ENOENT, text, str(given)) from error
        if error.errno is None or error.filename not in (None, str(unfinished)):
            raise
        raise OSError(error.errno, error.strerror, str(given)) from error
    if os.name == "posix":
        folder = os.open(file.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


def fingerprint(configuration: Mapping[str, Any]) -> str:
    """Twelve digits that change with any value of a configuration."""
    return hashlib.sha256(json.dumps(configuration, sort_keys=True).encode()).hexdigest()[:12]


def save_state(file: Path, kind: str, state: StateDict, *, configuration: str, keep: Path | None = None) -> None:
    """Write a checked file of tensors, numbers and plain containers.

    Args:
        file: which.
        kind: its format, such as ``"lrpilot checkpoint"``.
        state: what it holds.
        configuration: the :func:`fingerprint` of what it belongs to.
        keep: where the present file goes.
    """
    stream = io.BytesIO()
    torch.save(state, stream)
    content = stream.getvalue()
    header = {"format": kind, "version": VERSION, "configuration": configuration, "sha256": _checksum(content)}
    replace_file(file, json.dumps(header).encode() + b"\n" + content, keep=keep)


def load_state(file: Path, kind: str, *, configuration: str) -> StateDict:
    """What :func:`save_state` wrote, its tensors on the CPU. No code in it is run.

    Raises:
        Damaged: it is not as it was written, or never was such a file.
        Unusable: of another version or configuration; or no regular file.
    """
    line, _, content = read_file(file).partition(b"\n")
    header = parse_json(line, file)
    if header.get("format") != kind:
        raise Damaged(f"{file} is not a file of the format {kind!r}: remove it")
    check_version(file, header)
    if header.get("sha256") != _checksum(content):
        raise Damaged(f"{file} is damaged: remove it")
    if header.get("configuration") != configuration:
        raise Unusable(f"{file} belongs to another configuration: name another folder")
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a reader stumbles over
        raise Damaged(f"{file} is damaged ({type(error).__name__}): remove it") from error


def parse_json(content: bytes | str, file: Path) -> dict[str, Any]:
    """A JSON object of a file.

    Raises:
        Damaged: it is none.
    """
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{file} is damaged: it holds no JSON") from error
    if not isinstance(values, dict):
        raise Damaged(f"{file} is damaged: it holds no JSON object")
    return values


def check_version(file: Path, header: Mapping[str, Any]) -> None:
    """Refuse a file of a version that is not read here."""
    if header.get("version") != VERSION:
        written = header.get("version")
        raise Unusable(f"{file} is of version {written!r}, this lrpilot reads version {VERSION}: use the one it is of")


class Log:
    """A file of JSON lines that grows, and of which a checkpoint knows what it was."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._length, self._digest = 0, hashlib.sha256()

    def append(self, values: Mapping[str, Any]) -> None:
        """One line more."""
        line = json.dumps(values).encode() + b"\n"
        with naming(self.file), self.file.open("ab") as stream:
            stream.write(line)
        self._digest.update(line)
        self._length += len(line)

    def read(self) -> list[dict[str, Any]]:
        """All lines."""
        return [json.loads(line) for line in read_file(self.file).splitlines()] if self.file.exists() else []

    def mark(self) -> tuple[int, str]:
        """What :meth:`cut` takes to come back to this moment; the lines are on the disk then."""
        if self._length:
            with naming(self.file), self.file.open("ab") as stream:
                os.fsync(stream.fileno())
        return self._length, self._digest.hexdigest()

    def cut(self, length: int = 0, digest: str = hashlib.sha256().hexdigest()) -> None:
        """Back to what :meth:`mark` said, or to nothing.

        Raises:
            Unusable: the file does not begin with the lines of that moment; it is left as it is.
        """
        kept = read_file(self.file)[:length] if self.file.exists() else b""
        self._length, self._digest = length, hashlib.sha256(kept)
        if self._digest.hexdigest() != digest:
            raise Unusable(f"{self.file} is not as this run wrote it: put that back, or name another --out")
        if self.file.exists():
            os.truncate(self.file, length)


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
