"""Which runs each experiment of the paper consists of.

An experiment's plan is a function of the profile and of the results so far: the runs to be made with what is
known. It grows as results come in (the seeds of a setting once that is chosen, the control at a controller's
mean rate), and is complete when nothing in it is missing.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from lrpilot.experiments.runs.store import Store
from lrpilot.experiments.runs.trial import Result, Scalar, Trial
from lrpilot.experiments.studies import readings

from .frame import choose, frame
from .methods import CONTROLLERS, GRID, MEAN_RATE, MEAN_RATE_OFFLINE, METHODS, RATE_FREE, SCHAUL, START_RATE
from .profiles import MNIST_NETWORKS, Profile

EVERYWHERE = (*GRID, *CONTROLLERS, *RATE_FREE, "pilot")
PAPERS_BASELINES = ("sgd", "adam", "adagrad", "rmsprop")
DISCOUNTS = (0.0, 0.9, 0.95, 0.99, 1.0)
FIFTH = 0.2  # of the training data: Figures 4 and 6

Plan = Callable[[Profile, Store], list[Trial]]


@dataclass(frozen=True)
class Experiment:
    """A table, a figure or a study.

    Attributes:
        title: what it shows.
        plan: its own runs, as far as they are known.
        needs: the experiments whose runs it uses as well, or chooses its settings by.
    """

    title: str
    plan: Plan
    needs: tuple[str, ...] = ()


def found(store: Store, trials: Iterable[Trial]) -> list[Result]:
    """The results of those trials that have one, in the trials' order."""
    return [result for trial in trials if (result := store.load(trial)) is not None]


def _trial(
    experiment: str,
    task: str,
    method: str,
    setting: Mapping[str, Scalar],
    seed: int,
    profile: Profile,
    fraction: float = 1.0,
    steps: int | None = None,
) -> Trial:
    return Trial(
        experiment=experiment,
        task=task,
        method=method,
        setting=setting,
        seed=seed,
        steps=steps or profile.steps(task),
        batch_size=profile.batch_size(task),
        fraction=fraction,
        validation=profile.validation(task),
        evaluations=profile.evaluations(task),
    )


def comparison(experiment: str, task: str, methods: Sequence[str], profile: Profile, store: Store) -> list[Trial]:
    """All methods at all their settings on one task; then what depends on the outcome.

    That is, where the profile screens, the further seeds of the settings chosen with the first seed; and the
    control at each controller's mean rate.
    """
    first, *others = profile.seeds(task)
    screens = profile.screens(task)

    def at(method: str, setting: Mapping[str, Scalar], seeds: Iterable[int]) -> Iterator[Trial]:
        return (_trial(experiment, task, method, setting, seed, profile) for seed in seeds)

    trials: list[Trial] = []
    for seed in profile.seeds(task):
        for method in methods:
            settings = METHODS[method].settings(profile.rates)
            if seed == first or not screens or len(settings) == 1:
                trials += [trial for setting in settings for trial in at(method, setting, [seed])]
    if store.missing(trials):
        return trials
    by_method: dict[str, list[Result]] = {}
    for result in found(store, trials):
        by_method.setdefault(result.trial.method, []).append(result)
    further: list[Trial] = []
    for method, results in by_method.items():
        settings = METHODS[method].settings(profile.rates)
        if screens and len(settings) > 1:
            # Chosen by the first seed alone, whatever later ones say: the plan must not change under way.
            runs = frame(results)
            chosen = {choose(runs, measure).setting.iloc[0] for measure in ("test_error", "validation_error")}
            for setting in settings:
                trial = next(at(method, setting, [first]))
                if trial.setting_name in chosen:
                    further += at(method, setting, others)
    for control, controller in MEAN_RATE.items():
        rate = mean_rate(by_method.get(controller, []))
        if rate is not None:
            further += at(control, {"lr": rate}, profile.seeds(task))
    return trials + further


def mean_rate(results: Iterable[Result]) -> float | None:
    """The mean learning rate over the steps of a controller's finished runs, to three digits; None without
    any.
    """
    means = [_mean_over_steps(result) for result in results if result.status == "finished"]
    return float(f"{statistics.fmean(means):.3g}") if means else None


def _mean_over_steps(result: Result) -> float:
    ends = result.curve["step"]
    lengths = [end - start for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    return sum(n * rate for n, rate in zip(lengths, result.curve["rate"], strict=True)) / ends[-1]


def _table1(profile: Profile, store: Store) -> list[Trial]:
    return comparison("table1", "mnist-cnn", EVERYWHERE, profile, store)


def _table2(profile: Profile, store: Store) -> list[Trial]:
    return comparison("table2", "cifar10-cnn", EVERYWHERE, profile, store)


def _table3(profile: Profile, store: Store) -> list[Trial]:
    methods = [*SCHAUL, *EVERYWHERE]
    return [trial for task in MNIST_NETWORKS for trial in comparison("table3", task, methods, profile, store)]


def _figure4(profile: Profile, store: Store) -> list[Trial]:
    """A fifth of CIFAR-10: the paper's baselines at the rates that Table 2 chose by test error, and the
    controllers.
    """
    whole = found(store, _table2(profile, store))
    settings: dict[str, Mapping[str, Scalar]] = {}
    for method in PAPERS_BASELINES:
        results = [result for result in whole if result.trial.method == method]
        if results:
            settings[method] = choose(frame(results), "test_error").run.iloc[0].trial.setting
    settings |= {"online-paper": {}, "online-stable": {"lr": START_RATE}}
    return [
        _trial("figure4", "cifar10-cnn", method, setting, seed, profile, FIFTH)
        for seed in profile.seeds("cifar10-cnn")
        for method, setting in settings.items()
    ]


def _figure6(profile: Profile, store: Store) -> list[Trial]:
    """The controllers with x_j = x_i; those with another batch are Figure 4's."""
    settings: dict[str, Mapping[str, Scalar]] = {"online-paper": {}, "online-stable": {"lr": START_RATE}}
    return [
        _trial("figure6", "cifar10-cnn", method, {**setting, "actor_batch": "same"}, seed, profile, FIFTH)
        for seed in profile.seeds("cifar10-cnn")
        for method, setting in settings.items()
    ]


def _appendix(profile: Profile, store: Store) -> list[Trial]:
    """Studies of several runs, and then plain SGD at the mean rate of each study's last."""
    trials: list[Trial] = []
    for task, runs in profile.offline_runs.items():
        study: dict[str, Scalar] = {"runs": runs, "run_steps": round(profile.offline_share * profile.steps(task))}
        settings: dict[str, Mapping[str, Scalar]] = {
            "offline-paper": study,
            "offline-stable": {"lr": START_RATE, **study},
        }
        studies = [
            _trial("appendix", task, method, setting, seed, profile)
            for seed in profile.seeds(task)
            for method, setting in settings.items()
        ]
        trials += studies
        for control, method in MEAN_RATE_OFFLINE.items():
            mine = [trial for trial in studies if trial.method == method]
            rate = None if store.missing(mine) else mean_rate(found(store, mine))
            if rate is not None:
                trials += [
                    _trial("appendix", task, control, {"lr": rate}, seed, profile) for seed in profile.seeds(task)
                ]
    return trials


def _start(profile: Profile, store: Store) -> list[Trial]:
    return [
        _trial("start", task, "online-stable", {"lr": rate}, seed, profile)
        for task in MNIST_NETWORKS
        for seed in range(profile.start_repeats)
        for rate in profile.rates
    ]


def _discount(profile: Profile, store: Store) -> list[Trial]:
    settings: dict[str, Mapping[str, Scalar]] = {"online-paper": {}, "online-stable": {"lr": START_RATE}}
    return [
        _trial("discount", task, method, {**setting, "discount": discount}, seed, profile, steps=profile.reading_steps)
        for task in ("m0", "m1")
        for seed in range(profile.reading_repeats)
        for method, setting in settings.items()
        for discount in DISCOUNTS
    ]


def _readings(profile: Profile, store: Store) -> list[Trial]:
    """All readings, and constant rates at the same length to hold them against."""
    methods = [(readings.METHOD, setting) for setting in readings.READINGS.values()]
    methods += [("sgd", {"lr": rate}) for rate in profile.rates]
    return [
        _trial("readings", task, method, setting, seed, profile, steps=profile.reading_steps)
        for seed in range(profile.reading_repeats)
        for task in readings.TASKS
        for method, setting in methods
    ]


def _nothing(profile: Profile, store: Store) -> list[Trial]:
    return []


TABLES = ("table1", "table2", "table3")

EXPERIMENTS: Mapping[str, Experiment] = {
    "table1": Experiment("Table 1: MNIST, convolutional network", _table1),
    "table2": Experiment("Table 2: CIFAR-10, convolutional network", _table2),
    "table3": Experiment("Table 3: M0, M1, M2", _table3),
    "figure2": Experiment("Figure 2: learning curves on MNIST", _nothing, ("table1",)),
    "figure3": Experiment("Figure 3: learning curves on CIFAR-10", _nothing, ("table2",)),
    "figure4": Experiment("Figure 4: a fifth of CIFAR-10", _figure4, ("table2",)),
    "figure5": Experiment("Figure 5: the learned rate on CIFAR-10", _nothing, ("table2",)),
    "figure6": Experiment("Figure 6: x_j = x_i against another batch", _figure6, ("figure4",)),
    "appendix": Experiment("Appendix: an actor that improves from run to run", _appendix, ("table1", "table2")),
    "start": Experiment("Sensitivity to the starting rate", _start, ("table3",)),
    "discount": Experiment("Sensitivity to the discount", _discount),
    "readings": Experiment("Under which reading it works", _readings),
    "wall-clock": Experiment("Wall-clock to a given error", _nothing, TABLES),
    "early-stopping": Experiment("Early stopping", _nothing, ("table2", "figure4")),
}


def with_needs(names: Iterable[str]) -> list[str]:
    """The experiments named and those that they need, these first, each once."""
    ordered: list[str] = []
    for name in names:
        for each in [*with_needs(EXPERIMENTS[name].needs), name]:
            if each not in ordered:
                ordered.append(each)
    return ordered


def plans_of(names: Iterable[str], profile: Profile, store: Store) -> dict[str, Callable[[], list[Trial]]]:
    """What ``execute.complete`` takes: the plans of the experiments named and of those that they need."""
    return {name: partial(EXPERIMENTS[name].plan, profile, store) for name in with_needs(names)}


def results_of(name: str, profile: Profile, store: Store) -> list[Result]:
    """All results so far of an experiment's own runs."""
    return found(store, EXPERIMENTS[name].plan(profile, store))
