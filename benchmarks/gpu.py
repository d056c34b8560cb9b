"""``python -m benchmarks.gpu`` (``make gpu``): whether what holds on the CPU holds on a CUDA device.

The contract tests there, a run of each controller, how often a step makes the host wait, and what it costs; within
eight minutes.
"""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import typer
from rich.console import Console
from torch.optim import SGD

from benchmarks.costs import HEADER, Cost, rows
from benchmarks.host_reads import reads_by_step
from benchmarks.runs import measure_run
from benchmarks.small_runs import Problem, Step, online, piloted, plain, problem
from benchmarks.small_runs import rows as batches
from benchmarks.steps import measure_network
from benchmarks.workloads import WORKLOADS
from lrpilot.commands.options import Page
from lrpilot.commands.terminal import say, show
from lrpilot.experiments.report.readme import fill
from lrpilot.experiments.report.tables import Table
from lrpilot.online.controller import OnlineActorCritic
from lrpilot.online.offline import OfflineActorCritic
from lrpilot.pilot.controller import Pilot

CHECKOUT = Path(__file__).resolve().parents[1]
STEPS, BATCH, LEARNING_RATE = 200, 32, 0.1
NETWORKS = ("m0", "mnist-cnn")


@dataclass(frozen=True)
class Run:
    """What a run came to.

    Attributes:
        before: the loss on all examples, untrained.
        after: the same at the end.
        reads: how often each step made the host wait.
        decisions: the steps after which the pilot decided or ended.
    """

    before: float
    after: float
    reads: Sequence[int]
    decisions: frozenset[int] = frozenset()

    def cells(self) -> list[str]:
        """What the table says of it."""
        between = [count for step, count in enumerate(self.reads, start=1) if step not in self.decisions]
        within = f"{max(between)}" if self.decisions and between else "-"
        return [f"{self.before:.3f}", f"{self.after:.3f}", f"{statistics.fmean(self.reads):.2f}", within]


def _run(device: str, drive: Callable[[Problem, SGD], Step]) -> Run:
    task = problem("batch norm", 0).to(device)
    step = drive(task, SGD(task.network.parameters(), lr=LEARNING_RATE, momentum=0.9))
    before = task.whole()
    reads = reads_by_step(step, [chosen.to(device) for chosen in batches(BATCH, STEPS, 0)], device)
    return Run(before, task.whole(), reads)


def _pilot(device: str) -> Run:
    made: list[Pilot] = []

    def drive(task: Problem, optimizer: SGD) -> Step:
        made.append(Pilot(optimizer, STEPS, network=task.network))
        return piloted(task, made[0])

    run = _run(device, drive)
    return replace(run, decisions=frozenset({each.step for each in made[0].history.decisions} | {STEPS}))


def _online(device: str, setting: str) -> Run:
    generator = torch.Generator().manual_seed(0)
    return _run(device, lambda task, it: online(task, OnlineActorCritic(it, setting, generator=generator)))


def _offline(device: str) -> Run:
    """The last of two runs, before which the actor has learned once."""
    study = OfflineActorCritic("stable", generator=torch.Generator().manual_seed(0))
    found: list[Run] = []
    for _ in range(2):

        def drive(task: Problem, optimizer: SGD) -> Step:
            return online(task, stack.enter_context(study.run(optimizer)))

        with ExitStack() as stack:
            found.append(_run(device, drive))
    return found[-1]


RUNS: dict[str, Callable[[str], Run]] = {
    "a constant rate": lambda device: _run(device, plain),
    "Pilot": _pilot,
    "OnlineActorCritic, stable": lambda device: _online(device, "stable"),
    "OnlineActorCritic, paper": lambda device: _online(device, "paper"),
    "OfflineActorCritic": _offline,
}


def contracts(device: str) -> str:
    """What pytest says last of the contract tests with their networks on ``device``."""
    command = [sys.executable, "-m", "pytest", "-q", "tests/test_contracts.py"]
    ran = subprocess.run(
        command, cwd=CHECKOUT, env={**os.environ, "LRPILOT_DEVICE": device}, capture_output=True, text=True, check=False
    )
    if ran.returncode:
        print(ran.stdout, ran.stderr, file=sys.stderr)
    return ran.stdout.strip().rpartition("\n")[2]


def costs(device: str) -> dict[str, list[Cost]]:
    """As `benchmarks.overhead` measures them, of the host's processor time."""
    there = {name: replace(WORKLOADS[name], device=device) for name in NETWORKS}
    found = {name: measure_network(workload, rounds=6) for name, workload in there.items()}
    return found | {f"{name}, a run of 1,000 steps": measure_run(there[name], 1_000) for name in NETWORKS}


def tables(where: str, tested: str, runs: dict[str, Run], costs: dict[str, list[Cost]]) -> list[Table]:
    """What was found, with the device's name."""
    header = ["driven by", "loss before", "after", "host waits a step", "most between decisions"]
    note = f"On {where}, torch {torch.__version__}. Contract tests there: {tested}."
    first = Table(
        f"{STEPS} steps of each controller", header, [[name, *run.cells()] for name, run in runs.items()], note
    )
    return [first, Table("Processor time of the host", HEADER, rows(costs))]


app = typer.Typer(add_completion=False)


@app.command()
def gpu(
    readme: Page = None,
) -> None:
    """The contract tests, a run of each controller, host waits and costs on a CUDA device."""
    if not torch.cuda.is_available():
        sys.exit("a CUDA device is needed, and torch sees none: nothing was run")
    console, device, started = Console(), "cuda", time.monotonic()
    where = torch.cuda.get_device_name()
    say(console, f"the contract tests on {where}")
    tested = contracts(device)
    say(console, f"{tested}; a run of each controller")
    runs = {name: run(device) for name, run in RUNS.items()}
    say(console, "costs")
    found = tables(where, tested, runs, costs(device))
    for table in found:
        show(console, table)
    say(console, f"{time.monotonic() - started:.0f} seconds")
    if readme is not None:
        fill(readme, "gpu", "\n\n".join(table.to_markdown() for table in found))
    sound = all(math.isfinite(run.after) and run.after < run.before for run in runs.values())
    if " failed" in tested or " error" in tested or not sound:
        sys.exit("not all is well on this device")


if __name__ == "__main__":
    app(prog_name="python -m benchmarks.gpu")
