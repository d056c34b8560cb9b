"""The subcommands of ``lrpilot bench``: they parse, call and print."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lrpilot.errors import InvalidArgument
from lrpilot.experiments.report.readme import fill

from .options import stoppable

bench = typer.Typer(help="What controllers cost, and what the pilot's policy owes to its parts.", no_args_is_help=True)
BENCHMARKS = {
    "overhead": "The cost of a step, as ratios to plain SGD; --quick: in a minute.",
    "readings": "Which reading of the paper is sound most widely: all that it leaves open, in rungs; hours.",
    "rollouts": "What batching thousands of small trainings is worth.",
}


def _benchmark(context: typer.Context) -> None:
    """A benchmark is part of the repository, not of the installed package: it reads its own arguments."""
    checkout = Path(__file__).resolve().parents[4]
    if not (checkout / "benchmarks" / "__init__.py").is_file():
        raise InvalidArgument("bench", "called from a checkout of the repository", "an installed package")
    sys.path.insert(0, str(checkout))
    benchmark = import_module(f"benchmarks.{context.info_name}")
    benchmark.app(context.args, prog_name=context.command_path, standalone_mode=False)


for _name, _help in BENCHMARKS.items():
    passed_on = {"allow_extra_args": True, "ignore_unknown_options": True}
    bench.command(_name, help=_help, context_settings=passed_on, add_help_option=False)(_benchmark)


@bench.command()
def policy(
    out: Annotated[Path, typer.Option(help="The file of findings, which grows: a line of JSON for each.")] = Path(
        "results/policy.jsonl"
    ),
    file: Annotated[
        str, typer.Option("--policy", help="The policy whose features are hidden: shipped, or a file.")
    ] = "shipped",
    seeds: Annotated[
        int, typer.Option(help="How often each variant of the pretraining is learned anew, some minutes each.", min=0)
    ] = 3,
    readme: Annotated[
        Path | None, typer.Option(help="Write the tables between this file's policy markers as well.")
    ] = None,
) -> None:
    """What the pilot's policy owes to its parts; the noisy quadratic against its optimum. Hours on one core."""
    from lrpilot.experiments.report.policy_tables import policy_tables
    from lrpilot.experiments.report.terminal import show
    from lrpilot.experiments.studies import ablations

    console, ledger = Console(), ablations.Ledger(out)
    hint = f"What was found is in {out}; the same command goes on from there."
    with stoppable(console, hint), console.status("") as status:
        ablations.study(ledger, file, seeds=seeds, report=status.update)
    tables = policy_tables(list(ledger))
    for table in tables:
        show(console, table)
    if readme is not None:
        fill(readme, "policy", "\n\n".join(table.to_markdown() for table in tables))
