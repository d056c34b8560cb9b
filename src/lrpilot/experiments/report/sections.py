"""What the report says of each experiment: its tables and pictures, from whatever results there are."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pandas as pd
from pandas import DataFrame

from lrpilot.experiments.runs.methods import (
    ACTOR_CRITICS,
    CONTROLS,
    EXTENSIONS,
    LABELS,
    PACKAGES,
    PAPERS_BASELINES,
)
from lrpilot.experiments.studies.catalogue import EXPERIMENTS
from lrpilot.experiments.studies.frame import chosen, has_validation
from lrpilot.experiments.tasks.catalogue import PAPERS

from . import figures, studies
from .claims import verdicts
from .evidence import Evidence
from .page import Block, Picture, Section
from .paper_tables import comparison, overview, paper_form
from .tables import Table, render, steps_text

HEADINGS = {name: task.heading for name, task in PAPERS.items()}
CONTROLLED = ("online-paper", "online-stable")
OTHERS = tuple(name for name in LABELS if name not in {*PAPERS_BASELINES, *CONTROLS})
PUBLISHED: Mapping[str, Mapping[str, float]] = tomllib.loads(
    Path(__file__).with_name("published.toml").read_text("utf-8")
)
VERSIONS = ("commit", "processor", "torch", *PACKAGES)

Writer = Callable[[Evidence], Iterable[Block]]


def sections(evidence: Evidence) -> list[Section]:
    """One section for each experiment that has results, and before them how many there are; none without any."""
    if evidence.runs.empty:
        return []
    judged = verdicts(evidence.runs)
    written = [Section("Runs", [*_runs(evidence)]), Section(judged.title, [judged] if judged.rows else [])]
    written += [Section(EXPERIMENTS[name].title, [*write(evidence)]) for name, write in WRITERS.items()]
    return [section for section in written if section.blocks]


def summary(evidence: Evidence) -> Table:
    """All methods on all tasks in one table: what the README shows."""
    tables = ("table1", "table2", "table3")
    unmade = Counter(trial.task for trial in evidence.unmade if trial.experiment in tables)
    return overview("Test error, %; the paper's in brackets", evidence.by_task(*tables), PUBLISHED, unmade)


def _runs(evidence: Evidence) -> Iterator[Block]:
    profile, sizes = evidence.profile, evidence.profile.sizes
    yield render("runs.md", name=profile.name, sizes=sizes, seeds={size.repeats for size in sizes.values()}).strip()
    rows = []
    for name, planned in evidence.planned.items():
        own = evidence.of(name)
        ends = [str((own.status == end).sum()) for end in ("finished", "diverged", "failed")]
        rows.append([name, str(planned), *ends, f"{(own.seconds + own.evaluation_seconds).sum() / 3600:.2f}"])
    header = ["experiment", "runs known so far", "finished", "diverged", "failed", "core hours"]
    yield Table("Runs", header, [row for row in rows if row[1] != "0"])
    if screened := [HEADINGS[task] for task, size in sizes.items() if size.screens]:
        yield (
            f"With {', '.join(screened)} the first seed tried the whole grid, and "
            "the others ran at the settings that it chose by test error and by validation error."
        )
    for key in VERSIONS:
        yield f"{key}: {', '.join(sorted({run.about.get(key, 'unknown') for run in evidence.runs.run}))}"


def _by_task(write: Callable[[str, DataFrame], Iterable[Block]], *experiments: str) -> Writer:
    """What ``write`` says of each task of these experiments and its runs."""
    return lambda evidence: (
        block for task, runs in evidence.by_task(*experiments).items() for block in write(task, runs)
    )


def _table(task: str, runs: DataFrame) -> Iterator[Block]:
    heading = HEADINGS[task]
    yield comparison(heading, runs, PUBLISHED[task])
    others = chosen(runs[runs.method.isin(OTHERS)])
    if len(others):
        drawn = figures.rates(f"{heading}: the learning rate of each run", others)
        caption = "Every method that changes its rate: learned, estimated or scheduled."
        yield Picture(f"{PAPERS[task].table}-{task}-rates", drawn, caption)
    slopes = studies.critic_slope(f"{heading}: the critic's slope", runs)
    if slopes.rows:
        yield slopes


def _table3(evidence: Evidence) -> Iterator[Block]:
    if tasks := evidence.by_task("table3"):
        yield paper_form("Table 3 as the paper prints it", tasks, ["sgd", *PUBLISHED["m0"]], PUBLISHED)
    yield from _by_task(_table, "table3")(evidence)


def _curves(name: str, task: str, runs: DataFrame) -> Iterator[Block]:
    for whose, those, suffix, draw in (
        ("the paper's methods", (*PAPERS_BASELINES, *CONTROLLED), "", figures.learning_curves),
        ("the others", OTHERS, "-peers", figures.errors),
    ):
        best = chosen(runs[runs.method.isin(those)])
        if len(best):
            caption = f"Figure {name[-1]}: {HEADINGS[task]}, {whose}, {steps_text(best)}."
            yield Picture(f"{name}{suffix}", draw(f"{HEADINGS[task]}: {whose}", best), caption)


def _figure4(_: str, runs: DataFrame) -> Iterator[Block]:
    figure = figures.learning_curves("CIFAR-10, a fifth of the training data", chosen(runs), accuracy=False)
    caption = "a fifth of CIFAR-10, the baselines at the rates that Table 2 chose by test error"
    yield Picture("figure4", figure, f"Figure 4: {caption}, {steps_text(runs)}.")


def _figure5(_: str, runs: DataFrame) -> Iterator[Block]:
    learned = chosen(runs[runs.method.isin(CONTROLLED)])
    if len(learned):
        figure = figures.learned_rate("The learned rate on CIFAR-10", learned)
        gap = "The paper's text gives neither range nor axes of its figure"
        yield Picture("figure5", figure, f"Figure 5: the learned rate on CIFAR-10, {steps_text(learned)}. {gap}.")


def _figure6(_: str, runs: DataFrame) -> Iterator[Block]:
    same = runs.experiment == "figure6"
    if same.any():
        other = ~same & runs.method.isin(CONTROLLED)
        batches = {", x_j another batch": runs[other], ", x_j = x_i": runs[same]}
        runs = pd.concat([own.assign(label=own.label + batch) for batch, own in batches.items()])
        title = "A fifth of CIFAR-10: which batch the actor learns from"
        caption = f"Figure 6: the actor learns from another batch, or from the same, {steps_text(runs)}."
        yield Picture("figure6", figures.learning_curves(title, runs, accuracy=False), caption)
        yield Picture("figure6-rates", figures.rates(title, runs), "The rates of the same runs.")


def _appendix(task: str, runs: DataFrame) -> Iterator[Block]:
    own = runs[runs.experiment == "appendix"]
    if len(own):
        beside = pd.concat([own, runs[(runs.experiment != "appendix") & runs.method.isin(ACTOR_CRITICS)]])
        version = f"the offline version (the paper's: {PUBLISHED[task]['offline-paper']}%)"
        yield studies.offline(f"{HEADINGS[task]}: {version}, beside the online one and untrained actors", beside)
    offline = own[own.method.str.startswith("offline")]
    if len(offline):
        figure = figures.rates(f"{task}: the rates of the run after the training runs", offline)
        yield Picture(f"appendix-{task}", figure, "What the actor does that learned in the runs before.")


def _start(task: str, runs: DataFrame) -> Iterator[Block]:
    if (runs.experiment == "start").any():
        title = f"{HEADINGS[task]}: the starting rate"
        runs = runs[(runs.experiment == "start") | (runs.method == "sgd")]
        yield studies.sensitivity(title, runs, "lr")
        yield Picture(f"start-{task}", figures.against_start({title: runs}), f"{title}; every run is a point.")


def _discount(task: str, runs: DataFrame) -> Iterator[Block]:
    yield studies.sensitivity(f"{HEADINGS[task]}: the discount", runs, "discount")


def _readings(evidence: Evidence) -> Iterator[Block]:
    runs = evidence.of("readings")
    if len(runs):
        yield studies.readings(runs)


def _extensions(task: str, runs: DataFrame) -> Iterator[Block]:
    for name in EXTENSIONS:
        if f"online-{name}" in set(runs.method):
            yield studies.beside_the_rate(HEADINGS[task], name, runs)


def _optimizers(task: str, runs: DataFrame) -> Iterator[Block]:
    yield studies.on_optimizers(HEADINGS[task], runs)


def _wall_clock(task: str, runs: DataFrame) -> Iterator[Block]:
    yield studies.wall_clock(f"{task}: time to {PAPERS[task].target:g}% test error", runs, PAPERS[task].target)


def _early_stopping(evidence: Evidence) -> Iterator[Block]:
    for name, title in {"table2": "CIFAR-10", "figure4": "A fifth of CIFAR-10"}.items():
        for runs in evidence.by_task(name).values():
            if has_validation(runs):
                yield studies.early_stopping(title, runs)


WRITERS: Mapping[str, Writer] = {
    "table1": _by_task(_table, "table1"),
    "table2": _by_task(_table, "table2"),
    "table3": _table3,
    "figure2": _by_task(partial(_curves, "figure2"), "table1"),
    "figure3": _by_task(partial(_curves, "figure3"), "table2"),
    "figure4": _by_task(_figure4, "figure4"),
    "figure5": _by_task(_figure5, "table2"),
    "figure6": _by_task(_figure6, "figure4", "figure6"),
    "appendix": _by_task(_appendix, "appendix", "table1", "table2"),
    "start": _by_task(_start, "start", "table3"),
    "discount": _by_task(_discount, "discount"),
    "readings": _readings,
    "extensions": _by_task(_extensions, "extensions"),
    "optimizers": _by_task(_optimizers, "optimizers"),
    "wall-clock": _by_task(_wall_clock, "table1", "table2", "table3"),
    "early-stopping": _early_stopping,
}
