"""``python -m benchmarks.overhead``: what a controller costs, as ratios to plain SGD."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.costs import HEADER, Cost, markdown, rows
from benchmarks.runs import measure_run
from benchmarks.steps import measure_arithmetic, measure_network
from benchmarks.workloads import WORKLOADS
from lrpilot.commands.options import Page
from lrpilot.experiments.report.readme import fill

if TYPE_CHECKING:
    from collections.abc import Callable

app = typer.Typer(add_completion=False)

STEPS = ("m0", "mnist-cnn", "cifar10-cnn")
RUNS = (("m1", 2_000), ("m1", 12_000), ("m2", 12_000), ("mnist-cnn", 1_000))


def plan(*, quick: bool) -> dict[str, Callable[[], list[Cost]]]:
    """What is measured, by the name of its rows; a quick plan takes a minute, the whole one some minutes."""
    rounds = 6 if quick else 12
    networks, lengths = (STEPS[:2], RUNS[:1]) if quick else (STEPS, RUNS)
    measured: dict[str, Callable[[], list[Cost]]] = {
        name: partial(measure_network, WORKLOADS[name], rounds=rounds) for name in networks
    }
    measured["a network of one number"] = partial(measure_arithmetic, rounds=rounds)
    for name, steps in lengths:
        measured[f"{name}, a run of {steps:,} steps"] = partial(measure_run, WORKLOADS[name], steps)
    return measured


@app.command()
def overhead(
    quick: Annotated[bool, typer.Option("--quick", help="The small networks only, in a minute.")] = False,
    out: Annotated[Path | None, typer.Option(help="A JSON file for the numbers.")] = None,
    readme: Page = None,
) -> None:
    """The cost of a step: plain SGD, the online controller, the literal transcription; and of whole piloted runs."""
    console = Console()
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
    costs: dict[str, list[Cost]] = {}
    for name, measure in plan(quick=quick).items():
        with console.status(f"measuring {name}"):
            costs[name] = measure()
    table = Table(title="Processor time of a training step, one thread")
    for place, heading in enumerate(HEADER):
        table.add_column(heading, justify="left" if place < 2 else "right")
    for row in rows(costs):
        table.add_row(*row)
    console.print(table)
    if out is not None:
        measured = {name: [asdict(cost) for cost in kinds] for name, kinds in costs.items()}
        out.write_text(json.dumps({"torch": version("torch"), "costs": measured}, indent=2) + "\n")
    if readme is not None:
        fill(readme, "overhead", markdown(costs))


if __name__ == "__main__":
    app()
