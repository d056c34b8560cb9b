"""``python -m benchmarks.suggest``: `lrpilot.suggest` beside the range tests of Lightning and fastai.

Each names a rate for the same untrained networks. A run is then made at that rate held constant, and one with a cosine
from it; what counts is the mean loss over the run's last twentieth. The tasks are digits and some of the bank that
nothing was chosen on.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
import torch.nn.functional as F
import typer
from rich.console import Console
from torch import nn

from benchmarks.costs import one_thread
from lrpilot.baselines import range_test
from lrpilot.commands.terminal import show
from lrpilot.experiments.report.tables import Table
from lrpilot.experiments.runs.optimizers import make_optimizer
from lrpilot.experiments.tasks.catalogue import load_task, loss_of
from lrpilot.experiments.tasks.tensors import Batch, Batches, Examples
from lrpilot.learning.bank.data import load as load_examples
from lrpilot.learning.bank.networks import build
from lrpilot.learning.bank.tasks import draw_task
from lrpilot.learning.bank.training import make_optimizer as bank_optimizer
from lrpilot.suggestion import suggest

BANK = (18, 19, 36, 37, 58, 76, 118, 136, 157, 178, 198)
"""Tasks of the bank that are held out, of ten kinds or optimizers, and cheap."""
DIGITS = ("sgd", "momentum", "adamw")
STEPS = 100
"""Of a range test, as both have it by default."""
TAIL = 0.05
"""The share of a run whose losses count."""

Losses = Sequence[float]
app = typer.Typer(add_completion=False)


@dataclass(frozen=True)
class Subject:
    """An untrained network and its optimizer: ``step`` makes one step, at the rate that stands in the groups."""

    optimizer: torch.optim.Optimizer
    step: Callable[[], torch.Tensor]

    def at(self, rate: float) -> float:
        """The loss of one step at a rate."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return self.step().item()


@dataclass(frozen=True)
class Subjects:
    """A task: any number of equal subjects."""

    name: str
    steps: int
    fresh: Callable[[], Subject]


def on_digits(optimizer: str, *, steps: int) -> Subjects:
    """Handwritten digits."""
    task = load_task("digits")

    def fresh() -> Subject:
        generator = torch.Generator().manual_seed(0)
        network = task.make_network(generator)
        batches, loss_fn = Batches(task.data.train, task.batch_size, generator=generator), loss_of(network)
        return _subject(make_optimizer(optimizer, network.parameters()), lambda: loss_fn(batches.draw()))

    return Subjects(f"digits, {optimizer}", steps, fresh)


def of_the_bank(index: int) -> Subjects:
    """A task of the bank."""
    task = draw_task(index)
    data = load_examples(task.data, task.data_options)
    rows = Examples(data.inputs[: data.training], data.targets[: data.training])

    def loss_of_batch(network: nn.Module, batch: Batch) -> torch.Tensor:
        outputs, targets = network(batch[0]), batch[1]
        if data.classes:
            return F.cross_entropy(outputs.flatten(0, -2), targets.flatten())
        square = task.loss == "square"
        return F.mse_loss(outputs, targets) if square else F.binary_cross_entropy_with_logits(outputs, targets)

    def fresh() -> Subject:
        torch.manual_seed(task.seed)  # dropout
        network = build(task.network, task.network_options, initial=task.initial, seed=task.seed).train()
        batches = Batches(rows, task.batch_size, generator=torch.Generator().manual_seed(task.seed))
        return _subject(bank_optimizer(network, task), lambda: loss_of_batch(network, batches.draw()))

    return Subjects(f"{task.kind}, {task.optimizer}", task.steps, fresh)


def _subject(optimizer: torch.optim.Optimizer, loss_fn: Callable[[], torch.Tensor]) -> Subject:
    def step() -> torch.Tensor:
        loss = loss_fn()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return Subject(optimizer, step)


def ramp(subject: Subject, lowest: float, highest: float, *, late: int) -> tuple[list[float], list[float]]:
    """Rates and averaged losses of a range test as Lightning and fastai make it: 100 steps, an average with 0.98.

    It ends after the first step whose average is over four times the lowest. ``late``: Lightning's correction of the
    average's beginning is a step late.
    """
    rates: list[float] = []
    losses: list[float] = []
    average, best = 0.0, math.inf
    for step in range(STEPS):
        rates.append(lowest * (highest / lowest) ** (step / (STEPS - 1)))
        average = 0.98 * average + 0.02 * subject.at(rates[-1])
        losses.append(average / (1 - 0.98 ** (step + 1 + late)))
        if losses[-1] > 4 * best:
            break
        best = min(best, losses[-1])
    return rates, losses


def lightning(rates: Losses, losses: Losses) -> float:
    """Of Lightning's range test the rate at which the loss falls most steeply, by the rate itself."""
    kept = [pair for pair in zip(rates[10:-1], losses[10:-1], strict=True) if math.isfinite(pair[1])]
    if len(kept) < 2:
        return math.nan
    by, of = map(torch.tensor, zip(*kept, strict=True))
    return by[torch.gradient(of, spacing=[by])[0].argmin()].item()


def steep(rates: Losses, losses: Losses) -> float:
    """Of fastai's the rate before the steepest fall, by the log of the rate."""
    by, of = _trimmed(rates, losses)
    if len(by) < 2:
        return math.nan
    return by[((of[1:] - of[:-1]) / (by[1:].log() - by[:-1].log())).argmin()].item()


def valley(rates: Losses, losses: Losses) -> float:
    """Of fastai's, its default: the middle of the longest falling subsequence."""
    by, of = _trimmed(rates, losses)
    return by[range_test.valley(of.tolist())].item() if len(by) > 1 else math.nan


def _trimmed(rates: Losses, losses: Losses) -> tuple[torch.Tensor, torch.Tensor]:
    """Without the first tenth, the last five, and what comes after a loss that is no number."""
    of = torch.tensor(losses[STEPS // 10 : -5])
    bad = of.isnan().nonzero()
    sound = int(bad[0]) if len(bad) else len(of)
    return torch.tensor(rates[STEPS // 10 : -5])[:sound], of[:sound]


METHODS: dict[str, Callable[[Subject], float]] = {
    "lrpilot suggest": lambda subject: suggest(subject.optimizer, subject.step).rate,
    "Lightning": lambda subject: lightning(*ramp(subject, 1e-8, 1.0, late=1)),
    "fastai steep": lambda subject: steep(*ramp(subject, 1e-7, 10.0, late=0)),
    "fastai valley": lambda subject: valley(*ramp(subject, 1e-7, 10.0, late=0)),
}
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "cosine": lambda progress: (1 + math.cos(math.pi * progress)) / 2,
}


def final_loss(subjects: Subjects, rate: float, schedule: Callable[[float], float]) -> float:
    """The mean loss over the last twentieth of a run, at most the first loss: beyond, all are equally lost."""
    if math.isnan(rate):  # no suggestion
        rate = 0.0
    subject, losses = subjects.fresh(), list[float]()
    for step in range(subjects.steps):
        losses.append(subject.at(rate * schedule(step / subjects.steps)))
        if not math.isfinite(losses[-1]):
            return losses[0]
    return min(statistics.fmean(losses[-max(1, round(TAIL * subjects.steps)) :]), losses[0])


@dataclass(frozen=True)
class Finding:
    """What a method's rate is worth on a task: final losses by schedule."""

    rate: float
    losses: Mapping[str, float]


def compare(subjects: Subjects) -> dict[str, Finding]:
    """Every method on a task."""
    findings: dict[str, Finding] = {}
    for name, method in METHODS.items():
        rate = method(subjects.fresh())
        losses = {shape: final_loss(subjects, rate, schedule) for shape, schedule in SCHEDULES.items()}
        findings[name] = Finding(rate, losses)
    return findings


def summary(found: Mapping[str, Mapping[str, Finding]]) -> Table:
    """By method and schedule: the geometric mean of its loss over the lowest of all, and how often it is that."""
    rows: list[list[str]] = []
    for name in METHODS:
        cells = [name]
        for shape in SCHEDULES:
            lowest = [min(f.losses[shape] for f in findings.values()) for findings in found.values()]
            mine = [findings[name].losses[shape] for findings in found.values()]
            ratio = statistics.geometric_mean([a / b for a, b in zip(mine, lowest, strict=True)])
            cells += [f"{ratio:.2f}", f"{sum(a == b for a, b in zip(mine, lowest, strict=True))} of {len(found)}"]
        rows.append(cells)
    header = ["rate by", *(cell for shape in SCHEDULES for cell in (f"{shape}: loss / lowest", "lowest"))]
    return Table("Final losses over the lowest of the four, geometric mean", header, rows)


def details(found: Mapping[str, Mapping[str, Finding]]) -> Table:
    """Every rate and its final losses."""
    rows = [
        [task, name, f"{f.rate:.2g}", *(f"{f.losses[shape]:.3g}" for shape in SCHEDULES)]
        for task, findings in found.items()
        for name, f in findings.items()
    ]
    return Table("Rates and final losses", ["task", "rate by", "rate", *SCHEDULES], rows)


@app.command()
def main(
    steps: Annotated[int, typer.Option(help="Of a run on digits.", min=20)] = 2000,
    bank: Annotated[int, typer.Option(help="How many tasks of the bank.", min=0, max=len(BANK))] = len(BANK),
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the tables in Markdown.")] = False,
) -> None:
    """The rates of `lrpilot.suggest` and of the range tests of Lightning and fastai. Minutes on one core."""
    console = Console()
    found: dict[str, dict[str, Finding]] = {}
    with one_thread(), console.status("") as status:
        for make in (
            *(partial(on_digits, name, steps=steps) for name in DIGITS),
            *(partial(of_the_bank, i) for i in BANK[:bank]),
        ):
            subjects = make()
            status.update(subjects.name)
            found[f"{subjects.name}, {subjects.steps} steps"] = compare(subjects)
    for table in (details(found), summary(found)):
        if markdown:
            console.print(table.to_markdown(), soft_wrap=True, markup=False)
        else:
            show(console, table)


if __name__ == "__main__":
    app()
