"""The subcommands ``lrpilot bench overhead`` and ``lrpilot bench policy``: they parse, call and print."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from lrpilot.errors import InvalidArgument
from lrpilot.experiments.report.readme import fill

from .options import Data, stoppable

bench = typer.Typer(help="What controllers cost, and what the pilot's policy owes to its parts.", no_args_is_help=True)


def _find_benchmarks() -> None:
    """The benchmarks are part of the repository, not of the installed package."""
    checkout = Path(__file__).resolve().parents[4]
    if not (checkout / "benchmarks" / "overhead.py").is_file():
        raise InvalidArgument("bench", "called from a checkout of the repository", "an installed package")
    if str(checkout) not in sys.path:
        sys.path.append(str(checkout))


@bench.command()
def overhead(
    data: Data = None,
    out: Annotated[Path | None, typer.Option(help="A JSON file for the numbers.")] = None,
    readme: Annotated[
        Path | None, typer.Option(help="Write the table between this file's overhead markers as well.")
    ] = None,
) -> None:
    """The cost of a step: plain SGD, the online controller, the literal transcription; and of whole piloted runs."""
    _find_benchmarks()
    from benchmarks import overhead as measurement
    from benchmarks import runs as flight_cost
    from lrpilot.experiments.tasks.catalogue import load_task

    console = Console()
    costs = {}
    for name in ("m0", "mnist-cnn", "cifar10-cnn"):
        with console.status(f"measuring {name}"):
            costs[name] = measurement.measure_task(load_task(name, folder=data))
    with console.status("measuring the controllers' own arithmetic"):
        costs["a network of one number"] = measurement.measure_arithmetic()
    for name, shape in flight_cost.SHAPES.items():
        with console.status(f"measuring {name}"):
            costs[name] = flight_cost.measure_flight(shape)
    table = Table(title="Processor time of a training step, one thread")
    for heading in ("network", "kind", "ms", "x plain SGD", "in passes, %"):
        table.add_column(heading, justify="left" if heading in ("network", "kind") else "right")
    for name, rows in costs.items():
        for row in rows:
            table.add_row(name, *measurement.cells(row))
        table.add_section()
    console.print(table)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        measured = {name: [asdict(row) for row in rows] for name, rows in costs.items()}
        out.write_text(json.dumps({"torch": version("torch"), "costs": measured}, indent=2) + "\n")
    if readme is not None:
        fill(readme, "overhead", measurement.markdown(costs))


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
