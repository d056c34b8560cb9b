"""The command ``lrpilot``: its subcommands."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .benching import bench
from .comparing import compare
from .pretraining import pretraining
from .reproduction import report, reproduce
from .suggesting import suggest
from .terminal import STOPPED
from .training import demo, train


class Stoppable(TyperGroup):
    """Says that it was stopped where a subcommand has no more to say of it."""

    def invoke(self, ctx: Any) -> Any:
        """Run the subcommand."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("Stopped.", err=True)
            raise typer.Exit(STOPPED) from None


app = typer.Typer(
    cls=Stoppable,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lrpilot {version('lrpilot')}")
        raise typer.Exit


@app.callback()
def lrpilot(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Set the learning rate while a PyTorch network trains."""


for command in (train, suggest, demo, compare, reproduce, report):
    app.command()(command)
app.add_typer(bench, name="bench")
app.add_typer(pretraining, name="pretrain")
