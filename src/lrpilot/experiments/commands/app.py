"""The command ``lrpilot``: its subcommands."""

from __future__ import annotations

import typer

from .benching import bench
from .comparing import compare
from .pretraining import pretraining
from .reproduction import report, reproduce
from .training import demo, train

app = typer.Typer(
    help="Sets the learning rate while a network trains.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (train, demo, compare, reproduce, report):
    app.command()(command)
app.add_typer(bench, name="bench")
app.add_typer(pretraining, name="pretrain")
