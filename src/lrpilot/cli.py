"""The command ``lrpilot``: whatever goes wrong ends in one line and an exit code, never in a traceback."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn, cast

from .errors import Diverged, InvalidArgument

BAD_INPUT = 2


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and leave by ``SystemExit``.

    Args:
        arguments: those of the command line; None: those of the process.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        import typer

        from lrpilot.experiments.commands.app import app
        from lrpilot.experiments.tasks.tensors import Unusable
    except ModuleNotFoundError as missing:
        _needs(missing)
    # ClickException: of the package click, or of typer's own copy of it, by typer's version.
    click_error = cast("type[typer.BadParameter]", typer.BadParameter.__mro__[2])
    try:
        sys.exit(app(list(arguments) or ["--help"], prog_name="lrpilot", standalone_mode=False) or 0)
    except (InvalidArgument, Diverged, Unusable) as error:
        _fail(str(error))
    except click_error as error:
        _fail(error.format_message())
    except ModuleNotFoundError as missing:
        _needs(missing)


def _needs(missing: ModuleNotFoundError) -> NoReturn:
    if (missing.name or "lrpilot").startswith("lrpilot"):
        raise missing
    _fail(f"the command needs {missing.name}: pip install 'lrpilot[experiments]'")


def _fail(line: str) -> NoReturn:
    print(f"lrpilot: {line}", file=sys.stderr)
    sys.exit(BAD_INPUT)
