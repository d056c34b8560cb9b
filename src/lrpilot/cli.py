"""The command ``lrpilot``: whatever goes wrong ends in one line and an exit code, never in a traceback."""

from __future__ import annotations

import io
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn

from .core.signals import answering
from .errors import Diverged, InvalidArgument, PilotWarning, Unusable

BAD_INPUT, FAULT, STOPPED = 2, 70, 130


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and leave by ``SystemExit``.

    Args:
        arguments: those of the command line; None: those of the process.
    """
    _make_writable()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show
            code = _run(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except SystemExit as left:
        code = left.code
    except BaseException as error:
        code, line = _explained(error)
        _fail(line)
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    with answering(_leave):
        from lrpilot.commands.app import app
    with answering(_interrupt):
        return app(arguments or ["--help"], prog_name="lrpilot", standalone_mode=False) or 0


def _leave(number: int, _: FrameType | None) -> NoReturn:
    """At once, for there is nothing to save yet and an import may swallow a KeyboardInterrupt."""
    os.write(2, b"Stopped.\n")
    os._exit(STOPPED)


def _interrupt(number: int, _: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _explained(error: BaseException) -> tuple[int, str]:
    """The exit code and the line for whatever was raised."""
    said = getattr(error, "format_message", None)  # of click's errors, or of typer's own copy of them
    if isinstance(error, KeyboardInterrupt):
        return STOPPED, "Stopped."
    if said is not None:
        return BAD_INPUT, said()
    if isinstance(error, InvalidArgument | Diverged | Unusable | PilotWarning):  # a warning by PYTHONWARNINGS=error
        return BAD_INPUT, str(error)
    if isinstance(error, ModuleNotFoundError) and not (error.name or "lrpilot").startswith("lrpilot"):
        return BAD_INPUT, f"the command needs {error.name}: pip install 'lrpilot[experiments]'"
    if isinstance(error, OSError):
        names = [str(name) for name in (error.filename, error.filename2) if name is not None]
        return BAD_INPUT, ": ".join([" and ".join(names) or "output", error.strerror or str(error)])
    if isinstance(error, MemoryError) or "allocate memory" in str(error) or "out of memory" in str(error):
        return BAD_INPUT, "there is not enough memory: ask for less"
    if os.environ.get("LRPILOT_TRACEBACK"):
        traceback.print_exception(error)
    where = "LRPILOT_TRACEBACK=1 shows where"
    return FAULT, f"a fault in lrpilot, {type(error).__name__}: {error} ({where}; please report it)"


def _show(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any) -> None:
    """A warning of the pilot is one line: a user of the command has no loop whose line it could name."""
    if issubclass(category, PilotWarning):
        print(f"lrpilot: warning: {message}", file=sys.stderr)
    else:
        print(warnings.formatwarning(message, category, filename, lineno), end="", file=sys.stderr)


def _fail(line: str) -> None:
    text = " ".join(line.split())
    if not text:  # the help of a group of commands, which has been shown
        return
    with suppress(OSError, ValueError):  # a terminal that has gone
        print(text if text == "Stopped." else f"lrpilot: {text}", file=sys.stderr, flush=True)
    try:
        sys.stdout.flush()
    except (OSError, ValueError):  # a full device would be complained of once more when the process ends
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for as long as the process lasts


def _make_writable() -> None:
    """A closed standard stream becomes the null device; what a terminal's alphabet lacks is written as an escape."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if os.environ.get("COLUMNS") == "0":  # of a terminal that does not know its width: nothing would be printed
        del os.environ["COLUMNS"]
