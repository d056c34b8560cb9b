"""What the report says of each experiment: its tables and pictures, from whatever results there are."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import pandas as pd

from lrpilot.experiments.runs.methods import ACTOR_CRITICS, CONTROLS, LABELS, PACKAGES, PAPERS_BASELINES
from lrpilot.experiments.studies.catalogue import EXPERIMENTS
from lrpilot.experiments.studies.frame import chosen, has_validation
from lrpilot.experiments.tasks.catalogue import PAPERS

from . import extensions, figures, studies
from .claims import verdicts
from .evidence import Evidence
from .page import Block, Picture, Section
from .paper_tables import comparison, overview, paper_form
from .tables import Table, steps_text

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
    tasks = evidence.by_task("table1", "table2", "table3")
    return overview("Test error, %; the paper's in brackets", tasks, PUBLISHED, HEADINGS)


def _runs(evidence: Evidence) -> Iterator[Block]:
    profile, sizes = evidence.profile, evidence.profile.sizes
    vectors, mnist, cifar10 = sizes["m0"], sizes["mnist-cnn"], sizes["cifar10-cnn"]
    held_out = f"A validation set of {vectors.validation:,} examples is held out of the training set of M0, M1 and M2"
    held_out += (
        f"; the convolutional networks learn from all of theirs, at the settings with the least validation error of "
        f"profile {mnist.chosen_by}."
        if mnist.chosen_by
        else f", one of {mnist.validation:,} for the convolutional networks."
    )
    seeds = sorted({size.repeats for size in sizes.values()})
    yield (
        f"Profile {profile.name}: {mnist.steps:,} steps of the MNIST CNN, {cifar10.steps:,} "
        f"of the CIFAR-10 CNN, {vectors.steps:,} of M0, M1 and M2 at batch {vectors.batch_size}; "
        f"{' or '.join(map(str, seeds))} seeds. {held_out} A run that diverged or failed counts with the error of "
        "guessing, 90%."
    )
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


def _table(name: str) -> Writer:
    def write(evidence: Evidence) -> Iterator[Block]:
        for task, runs in evidence.by_task(name).items():
            yield comparison(HEADINGS[task], runs, PUBLISHED[task])
            others = chosen(runs[runs.method.isin(OTHERS)])
            if len(others):
                drawn = figures.rates(f"{HEADINGS[task]}: the learning rate of each run", others)
                caption = "Every method that changes its rate: learned, estimated or scheduled."
                yield Picture(f"{name}-{task}-rates", drawn, caption)
            slopes = studies.critic_slope(f"{HEADINGS[task]}: the critic's slope", runs)
            if slopes.rows:
                yield slopes

    return write


def _table3(evidence: Evidence) -> Iterator[Block]:
    if tasks := evidence.by_task("table3"):
        yield paper_form("Table 3 as the paper prints it", tasks, ["sgd", *PUBLISHED["m0"]], PUBLISHED)
    yield from _table("table3")(evidence)


def _curves(experiment: str, name: str) -> Writer:
    def write(evidence: Evidence) -> Iterator[Block]:
        for task, runs in evidence.by_task(experiment).items():
            for whose, those, suffix, draw in (
                ("the paper's methods", (*PAPERS_BASELINES, *CONTROLLED), "", figures.learning_curves),
                ("the others", OTHERS, "-peers", figures.errors),
            ):
                best = chosen(runs[runs.method.isin(those)])
                if len(best):
                    caption = f"Figure {name[-1]}: {HEADINGS[task]}, {whose}, {steps_text(best)}."
                    yield Picture(f"{name}{suffix}", draw(f"{HEADINGS[task]}: {whose}", best), caption)

    return write


def _figure4(evidence: Evidence) -> Iterator[Block]:
    for runs in evidence.by_task("figure4").values():
        figure = figures.learning_curves("CIFAR-10, a fifth of the training data", chosen(runs), accuracy=False)
        caption = "a fifth of CIFAR-10, the baselines at the rates that Table 2 chose by test error"
        yield Picture("figure4", figure, f"Figure 4: {caption}, {steps_text(runs)}.")


def _figure5(evidence: Evidence) -> Iterator[Block]:
    for runs in evidence.by_task("table2").values():
        learned = chosen(runs[runs.method.isin(CONTROLLED)])
        if len(learned):
            figure = figures.learned_rate("The learned rate on CIFAR-10", learned)
            gap = "The paper's text gives neither range nor axes of its figure"
            caption = f"Figure 5: the learned rate on CIFAR-10, {steps_text(learned)}. {gap}."
            yield Picture("figure5", figure, caption)


def _figure6(evidence: Evidence) -> Iterator[Block]:
    same, other = evidence.of("figure6"), evidence.of("figure4")
    if len(same):
        other = other[other.method.isin(CONTROLLED)]
        runs = pd.concat(
            [other.assign(label=other.label + ", x_j another batch"), same.assign(label=same.label + ", x_j = x_i")]
        )
        title = "A fifth of CIFAR-10: which batch the actor learns from"
        figure = figures.learning_curves(title, runs, accuracy=False)
        yield Picture(
            "figure6", figure, f"Figure 6: the actor learns from another batch, or from the same, {steps_text(runs)}."
        )
        yield Picture("figure6-rates", figures.rates(title, runs), "The rates of the same runs.")


def _appendix(evidence: Evidence) -> Iterator[Block]:
    for task, runs in evidence.by_task("appendix").items():
        table, paper = ("table1", 0.48) if task == "mnist-cnn" else ("table2", 19.77)
        online = evidence.of(table)
        beside = pd.concat([runs, online[online.method.isin(ACTOR_CRITICS)]])
        title = (
            f"{HEADINGS[task]}: the offline version (the paper's: {paper}%), beside the online one and untrained actors"
        )
        yield studies.offline(title, beside)
        offline = runs[runs.method.str.startswith("offline")]
        figure = figures.rates(f"{task}: the rates of the run after the training runs", offline)
        yield Picture(f"appendix-{task}", figure, "What the actor does that learned in the runs before.")


def _start(evidence: Evidence) -> Iterator[Block]:
    fixed = evidence.of("table3")
    for task, runs in evidence.by_task("start").items():
        title = f"{HEADINGS[task]}: the starting rate"
        beside = pd.concat([fixed[(fixed.task == task) & (fixed.method == "sgd")], runs])
        yield studies.sensitivity(title, beside, "lr")
        yield Picture(f"start-{task}", figures.against_start({title: beside}), f"{title}; every run is a point.")


def _discount(evidence: Evidence) -> Iterator[Block]:
    for task, runs in evidence.by_task("discount").items():
        yield studies.sensitivity(f"{HEADINGS[task]}: the discount", runs, "discount")


def _readings(evidence: Evidence) -> Iterator[Block]:
    runs = evidence.of("readings")
    if len(runs):
        yield studies.readings(runs)


def _extensions(evidence: Evidence) -> Iterator[Block]:
    for task, runs in evidence.by_task("extensions").items():
        yield from (extensions.beside_the_rate(HEADINGS[task], name, runs) for name in extensions.tried(runs))


def _optimizers(evidence: Evidence) -> Iterator[Block]:
    for task, runs in evidence.by_task("optimizers").items():
        yield extensions.on_optimizers(HEADINGS[task], runs)


def _wall_clock(evidence: Evidence) -> Iterator[Block]:
    for task, runs in evidence.by_task("table1", "table2", "table3").items():
        yield studies.wall_clock(f"{task}: time to {PAPERS[task].target:g}% test error", runs, PAPERS[task].target)


def _early_stopping(evidence: Evidence) -> Iterator[Block]:
    for name, title in {"table2": "CIFAR-10", "figure4": "A fifth of CIFAR-10"}.items():
        for runs in evidence.by_task(name).values():
            if has_validation(runs):
                yield studies.early_stopping(title, runs)


FIGURES: Mapping[str, Writer] = {
    "figure2": _curves("table1", "figure2"),
    "figure3": _curves("table2", "figure3"),
    "figure4": _figure4,
    "figure5": _figure5,
    "figure6": _figure6,
}
"""The paper's, by number."""
WRITERS: Mapping[str, Writer] = {
    "table1": _table("table1"),
    "table2": _table("table2"),
    "table3": _table3,
    **FIGURES,
    "appendix": _appendix,
    "start": _start,
    "discount": _discount,
    "readings": _readings,
    "extensions": _extensions,
    "optimizers": _optimizers,
    "wall-clock": _wall_clock,
    "early-stopping": _early_stopping,
}
