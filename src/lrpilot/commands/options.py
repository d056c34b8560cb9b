"""What several subcommands have in common: their options, and how they end."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer
from rich.console import Console

from lrpilot.core.files import expanded
from lrpilot.experiments.tasks.catalogue import HELP

from .terminal import STOPPED, say

if TYPE_CHECKING:
    from lrpilot.experiments.runs.execute import Tally


def path(text: str | Path) -> Path:
    """A path of the command line, ``~`` being the user's home."""
    if not str(text):
        raise typer.BadParameter("a path is empty")
    return expanded(text)


def page(text: str | Path) -> Path:
    """The path of a file that is there."""
    found = path(text)
    if not found.is_file():
        raise typer.BadParameter(f"there is no file {str(text)!r}")
    return found


def command(*words: object) -> str:
    """A line to be typed, quoted where that is needed."""
    return shlex.join(["lrpilot", *map(str, words)])


def path_option(help_: str, *names: str, parser: Callable[[str], Path] = path) -> Any:
    """An option for a path."""
    return typer.Option(*names, help=help_, parser=parser, metavar="PATH")


TaskName = Annotated[str, typer.Argument(help=HELP)]
Data = Annotated[Path | None, path_option("Folder of the data sets; default $LRPILOT_DATA, else the user's cache.")]
Page = Annotated[Path | None, path_option("Also write the tables between this file's marker lines.", parser=page)]
Pages = Annotated[
    list[Path] | None, path_option("Also fill in the marked parts of this Markdown file; may be repeated.", parser=page)
]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Repeat runs that crashed.")]


@contextmanager
def stoppable(console: Console, line: str) -> Generator[None]:
    """Around work that Ctrl-C may stop: prints ``line``, on how to go on, and leaves by an exit code of its own."""
    try:
        yield
    except KeyboardInterrupt:
        say(console, f"Stopped. {line}")
        raise typer.Exit(STOPPED) from None


def with_options_of(record: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for each field of a dataclass that has a ``help``; it takes them as ``**keywords``."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        hints, keyword = get_type_hints(record), inspect.Parameter.KEYWORD_ONLY
        own = inspect.signature(command, eval_str=True).parameters.values()
        first, *others = (one.replace(kind=keyword) for one in own if one.kind is not one.VAR_KEYWORD)
        derived = (
            inspect.Parameter(
                each.name,
                keyword,
                default=each.default,
                annotation=Annotated[hints[each.name], typer.Option(help=each.metadata["help"])],
            )
            for each in fields(record)
            if "help" in each.metadata
        )
        parameters = [first, *derived, *others]
        changed: Any = command
        changed.__signature__ = inspect.Signature(parameters)
        changed.__annotations__ = {one.name: one.annotation for one in parameters}
        return command

    return decorate


def close(console: Console, tally: Tally, line: str) -> None:
    """Say how runs ended, and ``line``; leave by an exit code of 1 where some crashed."""
    say(console, f"{tally}.\n{line}")
    if tally["failed"]:
        say(console, "The results file says why a run failed; --retry-failed repeats such runs.")
        raise typer.Exit(1)
