"""What the report says of each experiment: its tables and pictures, from whatever results there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from lrpilot.experiments.report import figures, studies
from lrpilot.experiments.runs.store import Store
from lrpilot.experiments.runs.trial import Result
from lrpilot.experiments.studies import readings
from lrpilot.experiments.studies.catalogue import EXPERIMENTS, PAPERS_BASELINES, results_of
from lrpilot.experiments.studies.methods import LABELS
from lrpilot.experiments.studies.profiles import MNIST_NETWORKS, Profile

from .claims import verdicts
from .page import Block, Picture, Section
from .published import PAPER_FORM, TABLE1, TABLE2, TABLE3
from .tables import Choice, Table, by_method, choose_setting, comparison, overview, paper_form

CONTROLLED = ("online-paper", "online-stable")
TARGETS = {"mnist-cnn": 1.5, "cifar10-cnn": 40.0, "m0": 8.5, "m1": 4.0, "m2": 4.0}  # test error, percent
HEADINGS = {"m0": "M0", "m1": "M1", "m2": "M2", "mnist-cnn": "MNIST CNN", "cifar10-cnn": "CIFAR-10 CNN"}
FROZEN = ("frozen-paper", "frozen-stable")

Writer = Callable[[Profile, Store], list[Block]]


def sections(profile: Profile, store: Store) -> list[Section]:
    """One section for each experiment that has results, and before them how many there are and of what."""
    everything = {name: results_of(name, profile, store) for name in EXPERIMENTS}
    written = [Section("Runs", _runs(profile, store, everything))]
    judged = verdicts(profile, store)
    if judged.rows:
        written.append(Section(judged.title, [judged]))
    for name, experiment in EXPERIMENTS.items():
        blocks = WRITERS[name](profile, store)
        if blocks:
            written.append(Section(experiment.title, blocks))
    return written


def summary(profile: Profile, store: Store) -> Table:
    """All methods on all tasks in one table: what the README shows."""
    results = [result for name in ("table1", "table2", "table3") for result in results_of(name, profile, store)]
    paper = {
        **TABLE3,
        "mnist-cnn": TABLE1,
        "cifar10-cnn": {name: 100 - accuracy for name, accuracy in TABLE2.items()},
    }
    return overview("Test error, %; the paper's in brackets", _by_task(results), LABELS, paper, HEADINGS)


def _runs(profile: Profile, store: Store, everything: Mapping[str, Sequence[Result]]) -> list[Block]:
    rows = []
    for name, results in everything.items():
        planned = EXPERIMENTS[name].plan(profile, store)
        if planned:
            ends = [sum(r.status == status for r in results) for status in ("finished", "diverged", "failed")]
            hours = sum(r.seconds + r.evaluation_seconds for r in results) / 3600
            rows.append([name, str(len(planned)), *map(str, ends), f"{hours:.2f}"])
    header = ["experiment", "runs known so far", "finished", "diverged", "failed", "core hours"]
    results = [result for each in everything.values() for result in each]
    blocks: list[Block] = [
        f"Profile {profile.name}: {profile.mnist_steps:,} steps of the MNIST CNN, {profile.cifar10_steps:,} "
        f"of the CIFAR-10 CNN, {profile.vector_steps:,} of M0, M1 and M2 at batch {profile.vector_batch}; "
        f"{profile.repeats} seeds, or {profile.screened_repeats} of a task that is screened. A validation set of "
        f"{profile.vector_validation:,} examples is held out of the training set of M0, M1 and M2, one of "
        f"{profile.image_validation:,} for the convolutional networks. A run that diverged or "
        "failed counts with the error of guessing, 90%.",
        Table("Runs", header, rows),
    ]
    if profile.screened:
        blocks.append(
            f"With {', '.join(HEADINGS[task] for task in profile.screened)} the first seed tried the whole grid, and "
            "the others ran at the settings that it chose by test error and by validation error."
        )
    for key in ("commit", "processor", "torch", "prodigyopt", "dadaptation", "schedulefree"):
        values = sorted({result.about.get(key, "unknown") for result in results})
        if values:
            blocks.append(f"{key}: {', '.join(values)}")
    return blocks


def _table1(profile: Profile, store: Store) -> list[Block]:
    results = results_of("table1", profile, store)
    return _details("table1", "MNIST CNN", results, paper=TABLE1) if results else []


def _table2(profile: Profile, store: Store) -> list[Block]:
    results = results_of("table2", profile, store)
    return _details("table2", "CIFAR-10 CNN", results, paper=TABLE2, accuracy=True) if results else []


def _table3(profile: Profile, store: Store) -> list[Block]:
    tasks = _by_task(results_of("table3", profile, store))
    if not tasks:
        return []
    labels = {name: LABELS[name] for name in PAPER_FORM}
    blocks: list[Block] = [paper_form("Table 3 as the paper prints it", tasks, labels, TABLE3)]
    for task, results in tasks.items():
        blocks += _details(f"table3-{task}", task.upper(), results, paper=TABLE3[task])
    return blocks


def _details(
    name: str, title: str, results: Sequence[Result], *, paper: Mapping[str, float], accuracy: bool = False
) -> list[Block]:
    blocks: list[Block] = [comparison(title, results, LABELS, paper=paper, accuracy=accuracy)]
    blocks.append(
        Picture(
            f"{name}-rates",
            figures.rates(f"{title}: the rates in use, by run", _choices(results, _all_but(PAPERS_BASELINES))),
            "The rate of every method that changes it: learned, estimated or scheduled.",
        )
    )
    slopes = studies.critic_slope(f"{title}: the critic's slope", results, LABELS)
    return [*blocks, slopes] if slopes.rows else blocks


def _curves(experiment: str, name: str, title: str) -> Writer:
    def write(profile: Profile, store: Store) -> list[Block]:
        results = results_of(experiment, profile, store)
        blocks: list[Block] = []
        for suffix, methods in (
            ("", (*PAPERS_BASELINES, *CONTROLLED)),
            ("-peers", _all_but(PAPERS_BASELINES)),
        ):
            choices = _choices(results, methods)
            if choices:
                figure = figures.learning_curves(title, choices)
                caption = f"{title}: " + ("the paper's methods." if not suffix else "the others.")
                blocks.append(Picture(f"{name}{suffix}", figure, caption))
        return blocks

    return write


def _figure4(profile: Profile, store: Store) -> list[Block]:
    results = results_of("figure4", profile, store)
    if not results:
        return []
    figure = figures.learning_curves("CIFAR-10, a fifth of the training data", _choices(results), accuracy=False)
    return [Picture("figure4", figure, "Figure 4: the baselines at the rates that Table 2 chose by test error.")]


def _figure5(profile: Profile, store: Store) -> list[Block]:
    choices = _choices(results_of("table2", profile, store), CONTROLLED)
    if not choices:
        return []
    epoch = (50_000 - profile.image_validation) / profile.batch_size("cifar10-cnn")
    figure = figures.rates("The learned rate on CIFAR-10", choices, epoch=epoch)
    return [Picture("figure5", figure, "Figure 5: the learned rate; the paper's ran from 0.010 to 0.055.")]


def _figure6(profile: Profile, store: Store) -> list[Block]:
    same = by_method(results_of("figure6", profile, store))
    other = by_method(results_of("figure4", profile, store))
    blocks: list[Block] = []
    for method in CONTROLLED:
        if method not in same:
            continue
        choices = {"x_j = x_i": _choice(same[method])}
        if method in other:
            choices["x_j another batch"] = _choice(other[method])
        title = f"{LABELS[method]}: which batch the actor learns from"
        figure = figures.learning_curves(title, choices, accuracy=False)
        blocks.append(Picture(f"figure6-{method}", figure, f"Figure 6, {title}."))
        blocks.append(Picture(f"figure6-{method}-rates", figures.rates(title, choices), "The rates of the same runs."))
    return blocks


def _appendix(profile: Profile, store: Store) -> list[Block]:
    blocks: list[Block] = []
    for task, results in _by_task(results_of("appendix", profile, store)).items():
        table, paper = ("table1", "0.48% error") if task == "mnist-cnn" else ("table2", "80.23% accuracy")
        online = [r for r in results_of(table, profile, store) if r.trial.method in (*CONTROLLED, *FROZEN)]
        title = f"{task}: the offline version (the paper: {paper}), beside the online one and untrained actors"
        blocks.append(studies.offline(title, [*results, *online], LABELS, accuracy=task == "cifar10-cnn"))
        offline = [r for r in results if r.trial.method.startswith("offline")]
        figure = figures.rates(f"{task}: the rates of the run after the training runs", _choices(offline))
        blocks.append(Picture(f"appendix-{task}", figure, "What the actor does that learned in the runs before."))
    return blocks


def _start(profile: Profile, store: Store) -> list[Block]:
    started = _by_task(results_of("start", profile, store))
    fixed = _by_task(results_of("table3", profile, store))
    blocks: list[Block] = []
    for task, results in started.items():
        plain = [result for result in fixed.get(task, []) if result.trial.method == "sgd"]
        blocks += _sensitivity(f"{task.upper()}: the starting rate", f"start-{task}", [*results, *plain], "lr")
    return blocks


def _discount(profile: Profile, store: Store) -> list[Block]:
    blocks: list[Block] = []
    for task, results in _by_task(results_of("discount", profile, store)).items():
        title = f"{task.upper()}: the discount"
        blocks.append(studies.sensitivity(title, results, LABELS, "discount"))
    return blocks


def _readings(profile: Profile, store: Store) -> list[Block]:
    results = results_of("readings", profile, store)
    return [readings.table(results)] if results else []


def _sensitivity(title: str, name: str, results: Sequence[Result], setting: str) -> list[Block]:
    lines: dict[str, dict[float, list[float]]] = {}
    for method, runs in by_method(results).items():
        for result in runs:
            by_value = lines.setdefault(LABELS[method], {})
            by_value.setdefault(float(result.trial.setting[setting]), []).append(result.final("test_error"))
    picture = Picture(name, figures.sensitivity(title, lines, setting), f"{title}; every run is a point.")
    return [studies.sensitivity(title, results, LABELS, setting), picture]


def _wall_clock(profile: Profile, store: Store) -> list[Block]:
    tables = ("table1", "table2", "table3")
    tasks = _by_task(result for name in tables for result in results_of(name, profile, store))
    return [
        studies.wall_clock(f"{task}: time to {TARGETS[task]:g}% test error", results, LABELS, TARGETS[task])
        for task, results in tasks.items()
    ]


def _early_stopping(profile: Profile, store: Store) -> list[Block]:
    blocks: list[Block] = []
    for name, title in (("table2", "CIFAR-10"), ("figure4", "A fifth of CIFAR-10")):
        results = results_of(name, profile, store)
        if results:
            blocks.append(studies.early_stopping(title, results, LABELS))
    return blocks


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


def _by_task(results: Iterable[Result]) -> dict[str, list[Result]]:
    grouped: dict[str, list[Result]] = {}
    for result in results:
        grouped.setdefault(result.trial.task, []).append(result)
    return {task: grouped[task] for task in (*MNIST_NETWORKS, "mnist-cnn", "cifar10-cnn") if task in grouped}


def _all_but(methods: Sequence[str]) -> list[str]:
    return [name for name in LABELS if name not in methods and not name.startswith("mean-rate")]


def _choices(results: Iterable[Result], methods: Iterable[str] = tuple(LABELS)) -> dict[str, Choice]:
    """By label, each method's runs at the setting chosen by test error, as the paper chose."""
    grouped = by_method(results)
    return {LABELS[name]: _choice(grouped[name]) for name in methods if name in grouped}


def _choice(results: Sequence[Result]) -> Choice:
    return choose_setting(results, "test_error")
