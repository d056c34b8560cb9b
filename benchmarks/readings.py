"""``python -m benchmarks.readings``: which literal reading of the paper is sound most widely.

All combinations of what the paper leaves open, on several tasks, in rungs: each with two seeds, then the better ones
with more. Chosen by validation error alone. A task's seeds are its own, so that no two tasks share the draws of actor
and critic: with five draws for all, dQ/da may happen to have one sign in every table.

Whatever was made is in the store; the same command goes on from there.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console

from lrpilot.commands.options import Page
from lrpilot.commands.terminal import show
from lrpilot.errors import InvalidArgument
from lrpilot.experiments.choices import choose
from lrpilot.experiments.report.readme import fill
from lrpilot.experiments.report.tables import Table, mean_text
from lrpilot.experiments.runs.execute import Engine, complete
from lrpilot.experiments.runs.store import Store
from lrpilot.experiments.runs.trial import Result, Scalar, Trial, setting_name
from lrpilot.experiments.studies.profiles import QUICK
from lrpilot.experiments.tasks.catalogue import MNIST_NETWORKS
from lrpilot.online.settings import PAPER

app = typer.Typer(add_completion=False)

Reading = Mapping[str, Scalar]

AXES: Mapping[str, Sequence[Scalar]] = {
    "unroll": ("chunk", "sliding"),
    "initialisation": ("small", "tensorflow"),
    "critic_activation": ("relu", "tanh"),
    "critic_learning_rate": (1e-3, 1e-2),
    "critic_batch": ("own", "other"),
    "actor_learning_rate": (1e-3, 3e-4),
    "discount": (0.99, 0.95, 0.9, 0.5),
}
"""What is varied: fields of a setting. The actor's rate is given by the paper; it is here because it decides much."""


class Rung(NamedTuple):
    """How many seeds, which share of the readings of the rung before goes on to them, and on which tasks."""

    seeds: int
    share: float
    tasks: Sequence[str]


RUNGS = (Rung(2, 1.0, ("m0", "m1")), Rung(5, 0.1, tuple(MNIST_NETWORKS)), Rung(10, 0.3, tuple(MNIST_NETWORKS)))
"""M2, whose steps take four times as long, joins in the second."""
CAME_DOWN = 0.1
"""A rate has come down that ends below this share of its highest."""
SEEDS_APART = 100  # between the first seeds of two tasks


@dataclass(frozen=True)
class Study:
    """The runs of a map, which grow as results come in.

    Attributes:
        tasks: in whose mean the readings are compared, as far as a rung has them.
        steps: of each run.
        store: where results are, and go.
        axes: what is varied.
        rungs: see :data:`RUNGS`.
    """

    tasks: Sequence[str]
    steps: int
    store: Store
    axes: Mapping[str, Sequence[Scalar]] = field(default_factory=lambda: AXES)
    rungs: Sequence[Rung] = RUNGS

    def readings(self) -> list[Reading]:
        """All combinations."""
        return [dict(zip(self.axes, values, strict=True)) for values in product(*self.axes.values())]

    def plan(self) -> list[Trial]:
        """The runs of every rung that is known: readings, constant rates, and untrained actors to hold them against."""
        trials: list[Trial] = []
        alive, before = self.readings(), None
        for rung in self.rungs:
            if self.store.missing(trials):
                break
            alive = self.ranked(alive, before)[: math.ceil(rung.share * len(alive))] if before else alive
            before, tasks = rung, self.on(rung)
            trials += [trial for reading in alive for trial in self.trials("online-paper", reading, rung.seeds, tasks)]
            for others, settings in self.references().items():
                trials += [trial for setting in settings for trial in self.trials(others, setting, rung.seeds, tasks)]
        return list({trial.name: trial for trial in trials}.values())

    def on(self, rung: Rung) -> list[str]:
        """The tasks of a rung."""
        return [task for task in self.tasks if task in rung.tasks]

    def references(self) -> Mapping[str, Sequence[Reading]]:
        """What the readings are held against, by method."""
        weights = self.axes["initialisation"]
        return {
            "sgd": [{"lr": rate} for rate in QUICK.rates],
            "frozen-paper": [{"initialisation": weight} for weight in weights],
        }

    def trials(self, method: str, setting: Reading, seeds: int, tasks: Sequence[str]) -> list[Trial]:
        """Of one method at one setting, on some tasks."""
        size = QUICK.sizes
        return [
            Trial(
                experiment=f"map-{self.steps}",
                task=task,
                method=method,
                setting=setting,
                seed=SEEDS_APART * (1 + list(MNIST_NETWORKS).index(task)) + number,
                steps=self.steps,
                batch_size=size[task].batch_size,
                validation=size[task].validation,
                evaluations=size[task].evaluations,
            )
            for task in tasks
            for number in range(seeds)
        ]

    def found(self, method: str, setting: Reading, task: str, seeds: int | None = None) -> list[Result]:
        """The results that there are of the first so many seeds, or of all, in their order."""
        most = max(rung.seeds for rung in self.rungs)
        trials = self.trials(method, setting, seeds or most, [task])
        return [run for trial in trials if (run := self.store.load(trial)) is not None]

    def ranked(self, readings: Iterable[Reading], rung: Rung) -> list[Reading]:
        """The readings by the geometric mean, over a rung's tasks, of their mean validation errors in it, best first.

        Runs of later rungs do not count: the plan must not change under way.
        """

        def score(reading: Reading) -> float:
            runs = [self.found("online-paper", reading, task, rung.seeds) for task in self.on(rung)]
            return statistics.fmean(math.log(max(_mean(own, "validation_error"), 1e-3)) for own in runs)

        return sorted(readings, key=score)

    def table(self, task: str) -> Table:
        """The readings that have results on a task, best first, under the constant rates and the untrained actors."""
        runs = [(self.found("online-paper", reading, task), reading) for reading in self.readings()]
        made = [(_mean(own, "validation_error"), number, reading) for number, (own, reading) in enumerate(runs) if own]
        rows = [
            self._row(method, setting, task)
            for method, settings in {
                **self.references(),
                "online-paper": [reading for *_, reading in sorted(made)],
            }.items()
            for setting in settings
            if self.found(method, setting, task)
        ]
        header = ["", "validation error %", "test error %", "worst", "last rates", "seeds"]
        alike = {name: values[0] for name, values in self.axes.items() if len(values) == 1}
        note = (
            "Best first, by validation error. Error of guessing where a run diverged. "
            f"The same in all: {setting_name(alike) if alike else 'nothing'}."
        )
        return Table(f"{task.upper()}, {self.steps:,} steps", header, rows, note)

    def endings(self) -> Table:
        """What became of the rates, on all tasks together, by the critic's activation and batch."""
        rows: list[list[str]] = []
        for activation, batch in product(self.axes["critic_activation"], self.axes["critic_batch"]):
            alike = {"critic_activation": activation, "critic_batch": batch}
            readings = [reading for reading in self.readings() if alike.items() <= reading.items()]
            runs = [run for r in readings for task in self.tasks for run in self.found("online-paper", r, task)]
            if not runs:
                continue
            rates = [run.curve["rate"] for run in runs]
            peaks = [max(rate) for rate in rates]
            down = [peak for rate, peak in zip(rates, peaks, strict=True) if rate[-1] < CAME_DOWN * peak]
            places = [rate.index(peak) / len(rate) for rate, peak in zip(rates, peaks, strict=True)]
            numbers = [f"{statistics.median(peaks):.2g}", f"{100 * statistics.median(places):.0f} %"]
            rows.append(
                [str(activation), f"x_{'i' if batch == 'own' else 'j'}", str(len(runs)), *numbers, str(len(down))]
            )
        header = ["critic", "learns on", "runs", "highest rate, median", "reached at", "came down"]
        return Table("What became of the rates", header, rows, f"Came down: ended below {CAME_DOWN:g} of the highest.")

    def _row(self, method: str, setting: Reading, task: str) -> list[str]:
        runs = self.found(method, setting, task)
        errors, last = [run.final("test_error") for run in runs], [run.curve["rate"][-1] for run in runs]
        varied = {name: value for name, value in setting.items() if len(self.axes.get(name, (1, 2))) > 1}
        return [
            setting_name(varied) if method == "online-paper" else f"{method}, {setting_name(setting)}",
            mean_text(run.final("validation_error") for run in runs),
            mean_text(errors),
            f"{max(errors):.2f}",
            f"{min(last):.2g} to {max(last):.2g}",
            str(len(runs)),
        ]


def _mean(runs: Sequence[Result], measure: str) -> float:
    return statistics.fmean(run.final(measure) for run in runs)


def narrowed(fixed: Iterable[str]) -> Mapping[str, Sequence[Scalar]]:
    """The axes, some of them reduced to the values in ``name=value`` or ``name=value,value``."""
    axes = dict(AXES)
    for each in fixed:
        name, _, values = each.partition("=")
        if name not in axes:
            raise InvalidArgument("--fix", f"NAME=VALUE, a name of {', '.join(axes)}", each)
        axes[name] = [_scalar(value) for value in values.split(",")]
        for value in axes[name]:
            replace(PAPER, **{name: value})  # which refuses what is none
    return axes


def _scalar(text: str) -> Scalar:
    try:
        value: Any = json.loads(text)
    except json.JSONDecodeError:
        return text
    return value


@app.command()
def readings(
    task: Annotated[list[str] | None, typer.Option(help="May be repeated; default all three.")] = None,
    steps: Annotated[int, typer.Option(help="Of each run.")] = 7_200,
    fix: Annotated[list[str] | None, typer.Option(help="NAME=VALUE[,VALUE]: narrow an axis; may be repeated.")] = None,
    results: Annotated[Path, typer.Option(help="Where results are, and go.")] = Path("results/map"),
    workers: Annotated[int, typer.Option(help="Runs side by side.")] = 1,
    data: Annotated[Path | None, typer.Option(help="Where data sets lie.")] = None,
    readme: Page = None,
) -> None:
    """Make the runs of the map that are missing, and print a table a task. Hours on one core."""
    tasks = [choose("--task", name, {each: each for each in MNIST_NETWORKS}) for name in task or MNIST_NETWORKS]
    study = Study(tasks, steps, Store(results), narrowed(fix or []))
    if not study.on(RUNGS[0]):
        first = ", ".join(RUNGS[0].tasks)
        raise InvalidArgument("--task", f"one of {first}, where the first rung is, or several", tasks)
    console = Console()
    complete({"map": study.plan}, study.store, engine=Engine(workers=workers, data=data), console=console)
    tables = [*(study.table(name) for name in study.tasks), study.endings()]
    for table in tables:
        show(console, table)
    if readme is not None:
        fill(readme, "map", "\n\n".join(table.to_markdown() for table in tables))


if __name__ == "__main__":
    app()
