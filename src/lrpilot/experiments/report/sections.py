"""What the report says of each experiment: its tables and pictures, from whatever results there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd
from pandas import DataFrame

from lrpilot.experiments.runs.methods import CONTROLS, LABELS, PACKAGES, PAPERS_BASELINES
from lrpilot.experiments.studies.catalogue import EXPERIMENTS
from lrpilot.experiments.studies.frame import chosen
from lrpilot.experiments.tasks.catalogue import PAPERS

from . import figures, studies
from .claims import verdicts
from .evidence import TASKS, Evidence
from .page import Block, Picture, Section
from .paper_tables import comparison, overview, paper_form
from .published import PAPER_FORM, TABLE1, TABLE2, TABLE3
from .tables import Table

CONTROLLED = ("online-paper", "online-stable")
UNTRAINED = ("frozen-paper", "frozen-stable")
OTHERS = tuple(name for name in LABELS if name not in {*PAPERS_BASELINES, *CONTROLS})
VERSIONS = ("commit", "processor", "torch", *PACKAGES)

Writer = Callable[[Evidence], list[Block]]


def sections(evidence: Evidence) -> list[Section]:
    """One section for each experiment that has results, and before them how many there are; none without any."""
    if evidence.runs.empty:
        return []
    written = [Section("Runs", _runs(evidence))]
    judged = verdicts(evidence.runs)
    if judged.rows:
        written.append(Section(judged.title, [judged]))
    blocks = {EXPERIMENTS[name].title: write(evidence) for name, write in WRITERS.items()}
    return [*written, *(Section(title, each) for title, each in blocks.items() if each)]


def summary(evidence: Evidence) -> Table:
    """All methods on all tasks in one table: what the README shows."""
    errors = {task: 100 - accuracy for task, accuracy in TABLE2.items()}
    paper = {**TABLE3, "mnist-cnn": TABLE1, "cifar10-cnn": errors}
    tasks = evidence.by_task("table1", "table2", "table3")
    return overview("Test error, %; the paper's in brackets", tasks, paper, TASKS)


def _runs(evidence: Evidence) -> list[Block]:
    rows = []
    for name, planned in evidence.planned.items():
        if planned:
            own = evidence.of(name)
            ends = [str((own.status == end).sum()) for end in ("finished", "diverged", "failed")]
            rows.append([name, str(planned), *ends, f"{(own.seconds + own.evaluation_seconds).sum() / 3600:.2f}"])
    header = ["experiment", "runs known so far", "finished", "diverged", "failed", "core hours"]
    sizes = evidence.profile.sizes
    vectors, mnist, cifar10 = sizes["m0"], sizes["mnist-cnn"], sizes["cifar10-cnn"]
    blocks: list[Block] = [
        f"Profile {evidence.profile.name}: {mnist.steps:,} steps of the MNIST CNN, {cifar10.steps:,} "
        f"of the CIFAR-10 CNN, {vectors.steps:,} of M0, M1 and M2 at batch {vectors.batch_size}; "
        f"{vectors.repeats} seeds, or {mnist.repeats} of a task that is screened. A validation set of "
        f"{vectors.validation:,} examples is held out of the training set of M0, M1 and M2, one of "
        f"{mnist.validation:,} for the convolutional networks. A run that diverged or "
        "failed counts with the error of guessing, 90%.",
        Table("Runs", header, rows),
    ]
    if screened := [TASKS[task] for task, size in sizes.items() if size.screens]:
        blocks.append(
            f"With {', '.join(screened)} the first seed tried the whole grid, and "
            "the others ran at the settings that it chose by test error and by validation error."
        )
    for key in VERSIONS:
        blocks.append(f"{key}: {', '.join(sorted({run.about.get(key, 'unknown') for run in evidence.runs.run}))}")
    return blocks


def _table1(evidence: Evidence) -> list[Block]:
    return _details("table1", "MNIST CNN", evidence.of("table1"), paper=TABLE1)


def _table2(evidence: Evidence) -> list[Block]:
    return _details("table2", "CIFAR-10 CNN", evidence.of("table2"), paper=TABLE2, accuracy=True)


def _table3(evidence: Evidence) -> list[Block]:
    tasks = evidence.by_task("table3")
    blocks: list[Block] = [paper_form("Table 3 as the paper prints it", tasks, PAPER_FORM, TABLE3)] if tasks else []
    for task, runs in tasks.items():
        blocks += _details(f"table3-{task}", TASKS[task], runs, paper=TABLE3[task])
    return blocks


def _details(
    name: str, title: str, runs: DataFrame, *, paper: Mapping[str, float], accuracy: bool = False
) -> list[Block]:
    if runs.empty:
        return []
    drawn = figures.rates(f"{title}: the rates in use, by run", chosen(runs, methods=OTHERS))
    slopes = studies.critic_slope(f"{title}: the critic's slope", runs)
    return [
        comparison(title, runs, paper=paper, accuracy=accuracy),
        Picture(f"{name}-rates", drawn, "The rate of every method that changes it: learned, estimated or scheduled."),
        *([slopes] if slopes.rows else []),
    ]


def _curves(experiment: str, name: str, title: str) -> Writer:
    def write(evidence: Evidence) -> list[Block]:
        blocks: list[Block] = []
        for suffix, whose, methods in (
            ("", "the paper's methods", (*PAPERS_BASELINES, *CONTROLLED)),
            ("-peers", "the others", OTHERS),
        ):
            best = chosen(evidence.of(experiment), methods=methods)
            if len(best):
                blocks.append(Picture(f"{name}{suffix}", figures.learning_curves(title, best), f"{title}: {whose}."))
        return blocks

    return write


def _figure4(evidence: Evidence) -> list[Block]:
    best = chosen(evidence.of("figure4"))
    if best.empty:
        return []
    figure = figures.learning_curves("CIFAR-10, a fifth of the training data", best, accuracy=False)
    return [Picture("figure4", figure, "Figure 4: the baselines at the rates that Table 2 chose by test error.")]


def _figure5(evidence: Evidence) -> list[Block]:
    best, size = chosen(evidence.of("table2"), methods=CONTROLLED), evidence.profile.sizes["cifar10-cnn"]
    if best.empty:
        return []
    epoch = (50_000 - size.validation) / size.batch_size
    figure = figures.rates("The learned rate on CIFAR-10", best, epoch=epoch)
    return [Picture("figure5", figure, "Figure 5: the learned rate; the paper's ran from 0.010 to 0.055.")]


def _figure6(evidence: Evidence) -> list[Block]:
    blocks: list[Block] = []
    for method in CONTROLLED:
        same, other = (chosen(evidence.of(figure), methods=[method]) for figure in ("figure6", "figure4"))
        if len(same):
            both = pd.concat([same.assign(label="x_j = x_i"), other.assign(label="x_j another batch")])
            title = f"{LABELS[method]}: which batch the actor learns from"
            curves, rates = figures.learning_curves(title, both, accuracy=False), figures.rates(title, both)
            blocks.append(Picture(f"figure6-{method}", curves, f"Figure 6, {title}."))
            blocks.append(Picture(f"figure6-{method}-rates", rates, "The rates of the same runs."))
    return blocks


def _appendix(evidence: Evidence) -> list[Block]:
    blocks: list[Block] = []
    for task, runs in evidence.by_task("appendix").items():
        table, paper = ("table1", "0.48% error") if task == "mnist-cnn" else ("table2", "80.23% accuracy")
        online = evidence.of(table)
        beside = pd.concat([runs, online[online.method.isin((*CONTROLLED, *UNTRAINED))]])
        title = f"{task}: the offline version (the paper: {paper}), beside the online one and untrained actors"
        blocks.append(studies.offline(title, beside, accuracy=task == "cifar10-cnn"))
        offline = chosen(runs[runs.method.str.startswith("offline")])
        figure = figures.rates(f"{task}: the rates of the run after the training runs", offline)
        blocks.append(Picture(f"appendix-{task}", figure, "What the actor does that learned in the runs before."))
    return blocks


def _start(evidence: Evidence) -> list[Block]:
    fixed = evidence.of("table3")
    blocks: list[Block] = []
    for task, runs in evidence.by_task("start").items():
        title = f"{TASKS[task]}: the starting rate"
        beside = pd.concat([runs, fixed[(fixed.task == task) & (fixed.method == "sgd")]])
        picture = Picture(f"start-{task}", figures.against_start({title: beside}), f"{title}; every run is a point.")
        blocks += [studies.sensitivity(title, beside, "lr"), picture]
    return blocks


def _discount(evidence: Evidence) -> list[Block]:
    tasks = evidence.by_task("discount")
    return [studies.sensitivity(f"{TASKS[task]}: the discount", runs, "discount") for task, runs in tasks.items()]


def _readings(evidence: Evidence) -> list[Block]:
    runs = evidence.of("readings")
    return [studies.readings_table(runs)] if len(runs) else []


def _wall_clock(evidence: Evidence) -> list[Block]:
    return [
        studies.wall_clock(f"{task}: time to {PAPERS[task].target:g}% test error", runs, PAPERS[task].target)
        for task, runs in evidence.by_task("table1", "table2", "table3").items()
    ]


def _early_stopping(evidence: Evidence) -> list[Block]:
    titles = {"table2": "CIFAR-10", "figure4": "A fifth of CIFAR-10"}
    tables = {title: evidence.of(name) for name, title in titles.items()}
    return [studies.early_stopping(title, runs) for title, runs in tables.items() if len(runs)]


WRITERS: Mapping[str, Writer] = {
    "table1": _table1,
    "table2": _table2,
    "table3": _table3,
    "figure2": _curves("table1", "figure2", "MNIST CNN"),
    "figure3": _curves("table2", "figure3", "CIFAR-10 CNN"),
    "figure4": _figure4,
    "figure5": _figure5,
    "figure6": _figure6,
    "appendix": _appendix,
    "start": _start,
    "discount": _discount,
    "readings": _readings,
    "wall-clock": _wall_clock,
    "early-stopping": _early_stopping,
}
