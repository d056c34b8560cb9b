"""``python -m benchmarks.divergence``: every optimizer from rates between 1e-8 and 1000, alone, piloted, and online.

A line of JSON for each run; the same command goes on where it stood.
"""

from __future__ import annotations

import math
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from torch.optim import Optimizer

from benchmarks.ledger import Finding, Ledger
from benchmarks.small_runs import Problem, Step, online, piloted, plain, problem, rows
from lrpilot.commands.options import Page
from lrpilot.commands.terminal import show
from lrpilot.errors import Diverged, PilotWarning
from lrpilot.experiments.choices import choose
from lrpilot.experiments.report.readme import fill
from lrpilot.experiments.report.tables import Table
from lrpilot.experiments.runs.optimizers import OPTIMIZERS
from lrpilot.online.controller import OnlineActorCritic
from lrpilot.pilot.controller import Pilot

TAKEN = {  # Rprop reads the rate at its first step alone
    name: kind for name, kind in OPTIMIZERS.items() if not name.startswith("tf-") and name != "rprop"
}
if hasattr(torch.optim, "Muon"):  # since torch 2.9; no plain loop's network is all matrices, this one is
    TAKEN["muon"] = torch.optim.Muon
RATES = tuple(10.0**exponent for exponent in range(-8, 4))
STEPS, BATCH, SEED = 300, 32, 0

CONSTANT = "a constant rate"
DRIVERS: Mapping[str, Callable[[Problem, Optimizer], Step]] = {
    CONSTANT: plain,
    "Pilot": lambda task, optimizer: piloted(task, Pilot(optimizer, STEPS, network=task.network)),
    "OnlineActorCritic, stable": lambda task, optimizer: online(
        task, OnlineActorCritic(optimizer, generator=torch.Generator().manual_seed(SEED))
    ),
}


def run(driver: str, optimizer: str, rate: float) -> Finding:
    """One run: the losses on all examples before and after (None: not finite), and in what error it ended, if any.

    An error that is not the one that says that a run diverged is a fault, and its last lines are kept.
    """
    task, said, fault = problem("no biases", SEED), None, None
    untrained = task.whole()
    try:
        step = DRIVERS[driver](task, TAKEN[optimizer](task.network.parameters(), lr=rate))
        with warnings.catch_warnings(action="ignore", category=PilotWarning):
            for chosen in rows(BATCH, STEPS, SEED):
                step(chosen)
    except Diverged as error:
        said = str(error)
    except Exception:
        fault = traceback.format_exc(limit=-3)
    loss = task.whole()
    return {"untrained": untrained, "loss": loss if math.isfinite(loss) else None, "said": said, "fault": fault}


def table(findings: Sequence[Finding]) -> Table:
    """Counts by what drives."""
    trainable = {each["optimizer"] for each in findings if each["driver"] == CONSTANT and not _above(each)}
    by_driver = {driver: [each for each in findings if each["driver"] == driver] for driver in DRIVERS}
    cells = [[driver, *map(str, _counts(own, trainable))] for driver, own in by_driver.items()]
    header = ["driven by", "runs", "stopped by an error", "not finite, no error", "above the untrained loss", "faults"]
    kinds = len({each["optimizer"] for each in findings})
    note = f"{kinds} optimizers, {len(RATES)} rates from {RATES[0]:g} to {RATES[-1]:g}, {STEPS} steps."
    for driver in [driver for driver in DRIVERS if driver != CONSTANT]:
        counts = Counter(each["optimizer"] for each in by_driver[driver] if _harmed(each, trainable))
        if counts:
            with_each = ", ".join(f"{optimizer} ({count})" for optimizer, count in counts.items())
            note += f" Above the untrained loss with {driver}: {with_each}."
    return Table("Runs from rates that are decades off", header, cells, note)


def _counts(findings: Sequence[Finding], trainable: set[str]) -> list[int]:
    """Above the untrained loss count those alone whose optimizer a constant rate of the grid lets train."""
    return [
        len(findings),
        sum(each["said"] is not None for each in findings),
        sum(each["loss"] is None and each["said"] is None and each["fault"] is None for each in findings),
        sum(_harmed(each, trainable) for each in findings),
        sum(each["fault"] is not None for each in findings),
    ]


def _harmed(finding: Finding, trainable: set[str]) -> bool:
    return _above(finding) and finding["optimizer"] in trainable


def _above(finding: Finding) -> bool:
    return finding["loss"] is None or finding["loss"] > finding["untrained"]


app = typer.Typer(add_completion=False)


@app.command()
def divergence(
    optimizers: Annotated[list[str] | None, typer.Option("--optimizer", help="Only these; may be repeated.")] = None,
    out: Annotated[Path, typer.Option(help="What was found, which grows: a line of JSON a run.")] = Path(
        "results/divergence.jsonl"
    ),
    readme: Page = None,
) -> None:
    """Every optimizer of torch.optim that can be driven from twelve rates, alone and driven; some minutes."""
    torch.set_num_threads(1)
    chosen = [choose("--optimizer", name, {each: each for each in TAKEN}) for name in optimizers or TAKEN]
    console, ledger = Console(), Ledger(out)
    with console.status("") as status:
        for optimizer in chosen:
            for driver in DRIVERS:
                for rate in RATES:
                    status.update(f"{optimizer}, {driver}, {rate:g}")
                    key = {"optimizer": optimizer, "driver": driver, "rate": rate}
                    ledger.complete(key, partial(run, driver, optimizer, rate))
    found = table(list(ledger))
    show(console, found)
    if readme is not None:
        fill(readme, "divergence", found.to_markdown())


if __name__ == "__main__":
    app(prog_name="python -m benchmarks.divergence")
