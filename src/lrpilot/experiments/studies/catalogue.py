"""Which runs each experiment of the paper consists of.

An experiment's plan is a function of the profile and of the results so far: the runs to be made with what is
known. It grows as results come in (the seeds of a setting once that is chosen, the control at a controller's
mean rate), and is complete when nothing in it is missing.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from lrpilot.errors import InvalidArgument
from lrpilot.experiments.runs.methods import (
    ACTOR_CRITICS,
    CONTROLS,
    EXTENSIONS,
    METHODS,
    PAPERS_BASELINES,
    RATE_FREE,
    SCHAUL,
    START_RATE,
    STARTS,
    Setting,
)
from lrpilot.experiments.runs.store import Store
from lrpilot.experiments.runs.trial import Result, Trial, setting_name
from lrpilot.experiments.tasks.catalogue import MNIST_NETWORKS, PAPERS

from .frame import choose, chosen, frame
from .profiles import PROFILES, Profile

EVERYWHERE = (*PAPERS_BASELINES, "sgd-cosine", *ACTOR_CRITICS, *RATE_FREE, "pilot")
ONLINE: Mapping[str, Setting] = {f"online-{setting}": start for setting, start in STARTS.items()}
UNTRAINED = tuple(f"untrained-offline-{setting}" for setting in STARTS)
DISCOUNTS = (0.0, 0.9, 0.95, 0.99, 1.0)
FIFTH = 0.2  # of the training data: Figures 4 and 6
READ, READ_ON = "online-paper", ("m0", "m1")  # every reading is this method with a setting of its own, on these tasks
VALUES = ("rate", "momentum", "dropout")  # columns of a curve that a controller decides on
ON = ("m1", "mnist-cnn")  # where the paper's future work is tried
FURTHER_OPTIMIZERS = ("momentum", "tf-adam", "tf-rmsprop")
SLIDING: Setting = {
    "unroll": "sliding",
    "initialisation": "tensorflow",
    "critic_activation": "relu",
    "discount": 0.99,
}
"""The readings of version 0.1, which the stable setting is built on."""
_stored = tomllib.loads(Path(__file__).with_name("readings.toml").read_text("utf-8"))
READINGS: Mapping[str, Setting] = {
    **_stored["paper"],
    **{name: {**SLIDING, **changes} for name, changes in _stored["sliding"].items()},
}

Plan = Callable[[Profile, Store], list[Trial]]


@dataclass(frozen=True)
class Experiment:
    """A table, a figure or a study."""

    title: str
    plan: Plan = lambda profile, store: []  # its own runs, as far as they are known
    needs: tuple[str, ...] = ()  # the experiments whose runs it uses as well, or chooses its settings by


def found(store: Store, trials: Iterable[Trial]) -> list[Result]:
    """The results of those trials that have one, in the trials' order."""
    return [result for trial in trials if (result := store.load(trial)) is not None]


def _trial(
    profile: Profile, experiment: str, task: str, method: str, setting: Setting, seed: int, **changes: Any
) -> Trial:
    sizes = {name: getattr(profile.sizes[task], name) for name in ("steps", "batch_size", "validation", "evaluations")}
    named: dict[str, Any] = {"experiment": experiment, "task": task, "method": method, "setting": setting, "seed": seed}
    return Trial(**named, **{**sizes, **changes})


def comparison(experiment: str, task: str, methods: Sequence[str], profile: Profile, store: Store) -> list[Trial]:
    """All methods at all their settings on one task; then what depends on the outcome.

    That is, where the profile screens, the further seeds of the settings chosen with the first seed; and the
    control at each controller's mean rate.

    Raises:
        InvalidArgument: the settings are another profile's to choose, which has not made all of its runs.
    """
    size, make = profile.sizes[task], partial(_trial, profile, experiment, task)
    settings = {method: METHODS[method].settings(profile.rates) for method in methods}
    if size.chosen_by:
        settings |= _chosen_before(profile, experiment, task, methods, store)
    screened = {method: tried for method, tried in settings.items() if size.screens and len(tried) > 1}
    trials = [
        make(method, setting, seed)
        for seed in size.seeds
        for method, tried in settings.items()
        for setting in tried
        if seed == size.seeds[0] or method not in screened
    ]
    if store.missing(trials):
        return trials
    runs, further = frame(found(store, trials)), list[Trial]()
    for method, tried in screened.items():
        # Chosen by the first seed alone, whatever later ones say: the plan must not change under way.
        own = runs[runs.method == method]
        best = {choose(own, measure).setting.iloc[0] for measure in ("test_error", "validation_error")}
        again = [setting for setting in tried if setting_name(setting) in best]
        further += [make(method, setting, seed) for setting in again for seed in size.seeds[1:]]
    return [*trials, *further, *_controls(make, trials, store, size.seeds)]


def _controls(
    make: Callable[..., Trial], trials: Sequence[Trial], store: Store, seeds: Iterable[int]
) -> Iterator[Trial]:
    """Plain SGD at the mean rate of each controller whose runs, among the trials, are all there."""
    for control, controller in CONTROLS.items():
        own = [trial for trial in trials if trial.method == controller]
        rate = None if store.missing(own) else mean_rate(found(store, own))
        if rate is not None:
            yield from (make(control, {"lr": rate}, seed) for seed in seeds)


def _chosen_before(
    profile: Profile, experiment: str, task: str, methods: Sequence[str], store: Store
) -> dict[str, list[Setting]]:
    """By method, the one setting with the least validation error in the runs of the profile that chooses."""
    chooses = PROFILES[str(profile.sizes[task].chosen_by)]
    earlier = Store(store.root.parent / chooses.name)
    planned = comparison(experiment, task, methods, chooses, earlier)
    if earlier.missing(planned):
        allowed = f"one whose settings are chosen: give lrpilot reproduce {experiment} --profile {chooses.name} first"
        raise InvalidArgument("profile", allowed, profile.name)
    best = chosen(frame(found(earlier, planned)), "validation_error")
    return {run.trial.method: [run.trial.setting] for run in best.run if run.trial.method in methods}


def mean_rate(results: Iterable[Result]) -> float | None:
    """The mean learning rate over the steps of a controller's finished runs, to three digits; None without any."""
    return mean_values(results).get("rate")


def mean_values(results: Iterable[Result]) -> dict[str, float]:
    """The same of all that the controller decides on, by its name in the curve."""
    finished = [result for result in results if result.status == "finished"]
    names = {name: None for result in finished for name in result.curve if name.split("/")[0] in VALUES}

    def mean(result: Result, name: str) -> float:
        return fmean(result.curve[name], weights=np.diff(result.curve["step"], prepend=0))

    return {name: float(f"{fmean(mean(result, name) for result in finished):.3g}") for name in names}


def _table(table: str, profile: Profile, store: Store) -> list[Trial]:
    """Every method on each task of the table; vSGD's curvature is not known of convolutions."""
    methods = (*SCHAUL, *EVERYWHERE) if table == "table3" else EVERYWHERE
    tasks = [name for name, task in PAPERS.items() if task.table == table]
    return [trial for task in tasks for trial in comparison(table, task, methods, profile, store)]


def _figure4(profile: Profile, store: Store) -> list[Trial]:
    """A fifth of CIFAR-10: the paper's baselines at the rates that Table 2 chose, and the controllers."""
    whole = frame(found(store, _table("table2", profile, store)))
    best = chosen(whole[whole.method.isin(PAPERS_BASELINES)])
    return _on_a_fifth("figure4", {**{run.trial.method: run.trial.setting for run in best.run}, **ONLINE}, profile)


def _figure6(profile: Profile, store: Store) -> list[Trial]:
    """The controllers with x_j = x_i; those with another batch are Figure 4's."""
    return _on_a_fifth("figure6", {name: {**start, "actor_batch": "same"} for name, start in ONLINE.items()}, profile)


def _on_a_fifth(experiment: str, settings: Mapping[str, Setting], profile: Profile) -> list[Trial]:
    make = partial(_trial, profile, experiment, "cifar10-cnn", fraction=FIFTH)
    seeds = profile.sizes["cifar10-cnn"].seeds
    return [make(method, setting, seed) for seed in seeds for method, setting in settings.items()]


def _appendix(profile: Profile, store: Store) -> list[Trial]:
    """Studies of several runs, their untrained actors, and then plain SGD at the mean rate of each study's last run."""
    trials: list[Trial] = []
    for task in ("mnist-cnn", "cifar10-cnn"):
        size, make = profile.sizes[task], partial(_trial, profile, "appendix", task)
        study = {"runs": size.offline_runs, "run_steps": round(profile.offline_share * size.steps)}
        settings = {f"offline-{setting}": {**start, **study} for setting, start in STARTS.items()}
        studies = [make(method, setting, seed) for seed in size.seeds for method, setting in settings.items()]
        untrained = [(method, setting) for method in UNTRAINED for setting in METHODS[method].settings(profile.rates)]
        trials += studies
        trials += [make(method, setting, seed) for seed in size.seeds for method, setting in untrained]
        trials += _controls(make, studies, store, size.seeds)
    return trials


def _start(profile: Profile, store: Store) -> list[Trial]:
    return [
        _trial(profile, "start", task, "online-stable", {"lr": rate}, seed)
        for task in MNIST_NETWORKS
        for seed in range(profile.start_repeats)
        for rate in profile.rates
    ]


def _discount(profile: Profile, store: Store) -> list[Trial]:
    settings = [(name, {**start, "discount": discount}) for name, start in ONLINE.items() for discount in DISCOUNTS]
    return _short("discount", settings, profile)


def _readings(profile: Profile, store: Store) -> list[Trial]:
    """All readings, and constant rates at the same length to hold them against."""
    settings = [*((READ, setting) for setting in READINGS.values()), *(("sgd", {"lr": rate}) for rate in profile.rates)]
    return _short("readings", settings, profile)


def _short(experiment: str, settings: Iterable[tuple[str, Setting]], profile: Profile) -> list[Trial]:
    make, seeds = partial(_trial, profile, experiment, steps=profile.reading_steps), range(profile.reading_repeats)
    return [make(task, name, setting, seed) for task in READ_ON for seed in seeds for name, setting in settings]


def _extensions(profile: Profile, store: Store) -> list[Trial]:
    """Each extension of the stable actor-critic, the same without it, its untrained actor; then its mean values."""
    trials: list[Trial] = []
    for task in ON:
        size, make = profile.sizes[task], partial(_trial, profile, "extensions", task)
        for name, (_, start) in EXTENSIONS.items():
            if (task, name) == ("m1", "dropout"):
                continue  # M1 has none
            methods = (f"online-{name}", "online-stable", f"frozen-{name}")
            own = [make(method, start, seed) for seed in size.seeds for method in methods]
            trials += own
            learned = [] if store.missing(own) else [trial for trial in own if trial.method == methods[0]]
            if values := mean_values(found(store, learned)):
                lr = values.pop("rate")
                trials += [make(f"mean-{name}", {"lr": lr, **values}, seed) for seed in size.seeds]
    return trials


def _optimizers(profile: Profile, store: Store) -> list[Trial]:
    """The stable actor-critic on other optimizers than SGD, and each at constant rates."""
    make = partial(_trial, profile, "optimizers")
    return [
        make(task, method, {"optimizer": optimizer, "lr": rate}, seed)
        for task in ON
        for seed in profile.sizes[task].seeds
        for optimizer in FURTHER_OPTIMIZERS
        for method, tried in (("online-stable", (START_RATE,)), ("constant", profile.rates))
        for rate in tried
    ]


EXPERIMENTS: Mapping[str, Experiment] = {
    "table1": Experiment("Table 1: MNIST, convolutional network", partial(_table, "table1")),
    "table2": Experiment("Table 2: CIFAR-10, convolutional network", partial(_table, "table2")),
    "table3": Experiment("Table 3: M0, M1, M2", partial(_table, "table3")),
    "figure2": Experiment("Figure 2: learning curves on MNIST", needs=("table1",)),
    "figure3": Experiment("Figure 3: learning curves on CIFAR-10", needs=("table2",)),
    "figure4": Experiment("Figure 4: a fifth of CIFAR-10", _figure4, ("table2",)),
    "figure5": Experiment("Figure 5: the learned rate on CIFAR-10", needs=("table2",)),
    "figure6": Experiment("Figure 6: x_j = x_i against another batch", _figure6, ("figure4",)),
    "appendix": Experiment("Appendix: an actor that improves from run to run", _appendix, ("table1", "table2")),
    "start": Experiment("Sensitivity to the starting rate", _start, ("table3",)),
    "discount": Experiment("Sensitivity to the discount", _discount),
    "readings": Experiment("Under which reading it works", _readings),
    "extensions": Experiment("Future work: a rate for each tensor, momentum, dropout", _extensions),
    "optimizers": Experiment("Future work: other optimizers", _optimizers),
    "wall-clock": Experiment("Wall-clock to a given error", needs=("table1", "table2", "table3")),
    "early-stopping": Experiment("Early stopping", needs=("table2", "figure4")),
}


def with_needs(names: Iterable[str]) -> list[str]:
    """The experiments named and those that they need, these first, each once."""
    ordered: dict[str, None] = {}
    for name in names:
        ordered |= dict.fromkeys([*with_needs(EXPERIMENTS[name].needs), name])
    return list(ordered)


def plans_of(names: Iterable[str], profile: Profile, store: Store) -> dict[str, Callable[[], list[Trial]]]:
    """What ``execute.complete`` takes: the plans of the experiments named and of those that they need."""
    return {name: partial(EXPERIMENTS[name].plan, profile, store) for name in with_needs(names)}
