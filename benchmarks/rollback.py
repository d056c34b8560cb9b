"""``python -m benchmarks.rollback``: small runs with ``rollback=True`` and without, side by side.

Network, optimizer, rate, length and what goes wrong on the way are drawn from a seed; the two runs are the same but for
the guard. A line of JSON for each pair; the same command goes on where it stood.
"""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console

from benchmarks.ledger import Finding, Ledger
from benchmarks.small_runs import PROBLEMS, problem, rows
from lrpilot.commands.options import Page
from lrpilot.commands.terminal import show
from lrpilot.errors import NonFiniteLoss, PilotWarning
from lrpilot.experiments.report.readme import fill
from lrpilot.experiments.report.tables import Table
from lrpilot.experiments.runs.optimizers import make_optimizer
from lrpilot.pilot.controller import Pilot

OPTIMIZERS = ("sgd", "momentum", "adam", "adamw", "rmsprop", "adagrad")
WORSE = 1.01  # from this ratio of final losses on, one run is worse than the other
NOISE = 1e-6  # of the untrained loss: what float32 cannot tell from nothing


@dataclass(frozen=True)
class Event:
    """What happens to a run at one step, or from there on.

    Attributes:
        inputs: they are multiplied by this.
        flips: whether targets are flipped.
        loss: it is multiplied by this.
        rate: the rate is multiplied by this behind the pilot's back, once.
        lasts: whether it goes on until the end.
    """

    inputs: float = 1.0
    flips: bool = False
    loss: float = 1.0
    rate: float = 1.0
    lasts: bool = False


EVENTS = {
    "nothing": Event(),
    "targets flipped": Event(flips=True, lasts=True),
    "loss x 1000 from then on": Event(loss=1e3, lasts=True),
    "loss / 1000 from then on": Event(loss=1e-3, lasts=True),
    "one loss of 0": Event(loss=0.0),
    "one loss of NaN": Event(loss=math.nan),
    "one batch x 1000": Event(inputs=1e3),
    "rate x 1000": Event(rate=1e3),
}


@dataclass(frozen=True)
class Run:
    """What is run twice. ``at`` is the step at which ``event`` happens."""

    seed: int
    problem: str
    optimizer: str
    lr: float
    batch: int
    steps: int
    event: str
    at: int

    @classmethod
    def drawn(cls, seed: int) -> Run:
        """Rates from 1e-4 to 10, 100 to 600 steps; one event in five happens at the very first step."""
        dice = random.Random(seed)
        steps = round(100 * 6 ** dice.random())
        return cls(
            seed=seed,
            problem=dice.choice(PROBLEMS),
            optimizer=dice.choice(OPTIMIZERS),
            lr=10 ** dice.uniform(-4, 1),
            batch=dice.choice((8, 32, 128)),
            steps=steps,
            event=dice.choice(tuple(EVENTS)),
            at=dice.randrange(steps) if dice.random() < 0.8 else 0,
        )

    def both(self) -> Finding:
        """The losses on all examples, untrained and at both ends (None: not finite), and how often each went back."""
        untrained = problem(self.problem, self.seed).whole(flipped=self._ends_flipped)
        found: Finding = {"untrained": untrained}
        for name, rollback in (("without", False), ("with", True)):
            loss, returns = self._end(rollback=rollback)
            found |= {name: loss if math.isfinite(loss) else None, f"returns_{name}": returns}
        return found

    @property
    def _ends_flipped(self) -> bool:
        return EVENTS[self.event].flips and EVENTS[self.event].lasts

    def _end(self, *, rollback: bool) -> tuple[float, int]:
        task, event = problem(self.problem, self.seed), EVENTS[self.event]
        optimizer = make_optimizer(self.optimizer, task.network.parameters(), learning_rate=self.lr)
        pilot = Pilot(optimizer, self.steps, network=task.network, rollback=rollback)
        try:
            with warnings.catch_warnings(action="ignore", category=PilotWarning):
                for step, chosen in enumerate(rows(self.batch, self.steps, self.seed)):
                    now = event if step == self.at or (event.lasts and step > self.at) else EVENTS["nothing"]
                    targets = task.targets[chosen]
                    outputs = task.network(now.inputs * task.inputs[chosen])
                    loss = now.loss * task.loss(outputs, task.flipped(targets) if now.flips else targets)
                    optimizer.zero_grad()
                    loss.backward()
                    for group in optimizer.param_groups:
                        group["lr"] *= now.rate
                    optimizer.step()
                    pilot.step(loss)
        except NonFiniteLoss:
            return math.inf, _returns(pilot)
        return task.whole(flipped=self._ends_flipped), _returns(pilot)


def _returns(pilot: Pilot) -> int:
    return sum(decision.back_to is not None for decision in pilot.history.decisions)


def _ends(finding: Finding) -> tuple[float, float]:
    """The final losses without and with."""
    without, guarded = (math.inf if finding[name] is None else finding[name] for name in ("without", "with"))
    return without, guarded


def worse(finding: Finding) -> bool:
    """Whether the run with ``rollback`` ended with a loss more than 1 % above the other's."""
    without, guarded = _ends(finding)
    return guarded > WORSE * without + NOISE * finding["untrained"]


def better(finding: Finding) -> bool:
    """The other way round."""
    without, guarded = _ends(finding)
    return without > WORSE * guarded + NOISE * finding["untrained"]


def destroyed(finding: Finding) -> bool:
    """Whether the run without ``rollback`` ended above the untrained loss, or in an error."""
    return _ends(finding)[0] > finding["untrained"]


def tables(findings: Sequence[Finding]) -> list[Table]:
    """Counts by event, and every run that ``rollback`` made worse."""
    found = {name: [each for each in findings if each["event"] == name] for name in EVENTS}
    cells = [[name, *_counts(each)] for name, each in [*found.items(), ("all", findings)] if each]
    header = ["what happens", "runs", "worse", "better", "destroyed without", "of those, better"]
    note = "Worse and better: the final loss with rollback more than 1 % above or below that without."
    ratios = [guarded / without if without else math.inf for without, guarded in map(_ends, filter(worse, findings))]
    if ratios:
        note += f" At its worst it is {max(ratios):.3g} times as high."
    counts = Table("The same run with rollback and without", header, cells, note)
    lost = [
        [
            *(str(each[name]) for name in ("seed", "problem", "optimizer")),
            f"{each['lr']:.2g}",
            f"{each['event']}, step {each['at']} of {each['steps']}",
            *(f"{loss:.3g}" for loss in (each["untrained"], *_ends(each))),
            *(str(each[f"returns_{name}"]) for name in ("without", "with")),
        ]
        for each in findings
        if worse(each)
    ]
    ends = ["untrained", "without", "with", "returns without", "returns with"]
    header = ["seed", "network", "optimizer", "rate", "what happens", *ends]
    return [counts, Table("Runs that rollback made worse", header, lost)] if lost else [counts]


def _counts(findings: Sequence[Finding]) -> list[str]:
    lost = [each for each in findings if destroyed(each)]
    counts = len(findings), sum(map(worse, findings)), sum(map(better, findings)), len(lost), sum(map(better, lost))
    return list(map(str, counts))


app = typer.Typer(add_completion=False)


@app.command()
def rollback(
    runs: Annotated[int, typer.Option(help="Seeds from 0 on; those that were run are not run again.", min=1)] = 200,
    out: Annotated[Path, typer.Option(help="What was found, which grows: a line of JSON a run.")] = Path(
        "results/rollback.jsonl"
    ),
    readme: Page = None,
) -> None:
    """Random small runs with rollback and without, side by side; a second for each."""
    torch.set_num_threads(1)
    console, ledger = Console(), Ledger(out)
    with console.status("") as status:
        for seed in range(runs):
            status.update(f"run {seed + 1} of {runs}")
            run = Run.drawn(seed)
            ledger.complete(asdict(run), run.both)
    found = tables(list(ledger))
    for table in found:
        show(console, table)
    if readme is not None:
        fill(readme, "rollback", found[0].to_markdown())


if __name__ == "__main__":
    app(prog_name="python -m benchmarks.rollback")
