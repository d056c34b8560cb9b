"""The paper's tables, figures and studies, and which runs each consists of."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

from lrpilot.experiments.runs.methods import (
    ACTOR_CRITICS,
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
from lrpilot.experiments.runs.trial import Trial
from lrpilot.experiments.tasks.catalogue import MNIST_NETWORKS, PAPERS

from .frame import chosen, frame
from .plans import controls, every_method, found, grid, mean_values
from .profiles import Profile

EVERYWHERE = (*PAPERS_BASELINES, "sgd-cosine", *ACTOR_CRITICS, *RATE_FREE, "pilot")
ONLINE: Mapping[str, Setting] = {f"online-{setting}": start for setting, start in STARTS.items()}
UNTRAINED = tuple(f"untrained-offline-{setting}" for setting in STARTS)
DISCOUNTS = (0.0, 0.9, 0.95, 0.99, 1.0)
FIFTH = 0.2  # of the training data: Figures 4 and 6
READ, READ_ON = "online-paper", ("m0", "m1")  # every reading is this method with a setting of its own, on these tasks
ON = ("m1", "mnist-cnn")  # where the paper's future work is tried
FURTHER_OPTIMIZERS = ("momentum", "tf-adam", "tf-rmsprop")
SLIDING: Setting = {
    "unroll": "sliding",
    "initialisation": "tensorflow",
    "critic_activation": "relu",
    "discount": 0.99,
}
"""The readings of version 0.1, which the stable setting was built on until 0.2."""
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


def _table(table: str, profile: Profile, store: Store) -> list[Trial]:
    """Every method on each task of the table; vSGD's curvature is not known of convolutions."""
    methods = (*SCHAUL, *EVERYWHERE) if table == "table3" else EVERYWHERE
    tasks = [name for name, task in PAPERS.items() if task.table == table]
    return [trial for task in tasks for trial in every_method(profile, table, task, methods, store)]


def _figure4(profile: Profile, store: Store) -> list[Trial]:
    """A fifth of CIFAR-10: the paper's baselines at the rates that Table 2 chose, and the controllers."""
    whole = frame(found(store, _table("table2", profile, store)))
    best = chosen(whole[whole.method.isin(PAPERS_BASELINES)])
    settings = {**{run.trial.method: run.trial.setting for run in best.run}, **ONLINE}
    return grid(profile, "figure4", ["cifar10-cnn"], settings.items(), fraction=FIFTH)


def _figure6(profile: Profile, store: Store) -> list[Trial]:
    """The controllers with x_j = x_i; those with another batch are Figure 4's."""
    settings = [(name, {**start, "actor_batch": "same"}) for name, start in ONLINE.items()]
    return grid(profile, "figure6", ["cifar10-cnn"], settings, fraction=FIFTH)


def _appendix(profile: Profile, store: Store) -> list[Trial]:
    """Studies of several runs, their untrained actors, and then plain SGD at the mean rate of each study's last run."""
    trials: list[Trial] = []
    for task in ("mnist-cnn", "cifar10-cnn"):
        size, make = profile.sizes[task], partial(grid, profile, "appendix", [task])
        study = {"runs": size.offline_runs, "run_steps": round(profile.offline_share * size.steps)}
        studies = make([(f"offline-{setting}", {**start, **study}) for setting, start in STARTS.items()])
        untrained = make([(name, setting) for name in UNTRAINED for setting in METHODS[name].settings(profile.rates)])
        trials += [*studies, *untrained, *controls(make, studies, store)]
    return trials


def _start(profile: Profile, store: Store) -> list[Trial]:
    settings = [("online-stable", {"lr": rate}) for rate in profile.rates]
    return grid(profile, "start", MNIST_NETWORKS, settings, seeds=range(profile.start_repeats))


def _discount(profile: Profile, store: Store) -> list[Trial]:
    settings = [(name, {**start, "discount": discount}) for name, start in ONLINE.items() for discount in DISCOUNTS]
    return _short("discount", settings, profile)


def _readings(profile: Profile, store: Store) -> list[Trial]:
    """All readings, and constant rates at the same length to hold them against."""
    settings = [*((READ, setting) for setting in READINGS.values()), *(("sgd", {"lr": rate}) for rate in profile.rates)]
    return _short("readings", settings, profile)


def _short(experiment: str, settings: Collection[tuple[str, Setting]], profile: Profile) -> list[Trial]:
    seeds = range(profile.reading_repeats)
    return grid(profile, experiment, READ_ON, settings, seeds=seeds, steps=profile.reading_steps)


def _extensions(profile: Profile, store: Store) -> list[Trial]:
    """Each extension of the stable actor-critic, the same without it, its untrained actor; then its mean values."""
    trials: list[Trial] = []
    for task, (name, (_, start)) in product(ON, EXTENSIONS.items()):
        if (task, name) == ("m1", "dropout"):
            continue  # M1 has none
        make, extended = partial(grid, profile, "extensions", [task]), f"online-{name}"
        own = make([(method, start) for method in (extended, "online-stable", f"frozen-{name}")])
        trials += own
        learned = [] if store.missing(own) else [trial for trial in own if trial.method == extended]
        if values := mean_values(found(store, learned)):
            lr = values.pop("rate")
            trials += make([(f"mean-{name}", {"lr": lr, **values})])
    return trials


def _optimizers(profile: Profile, store: Store) -> list[Trial]:
    """The stable actor-critic on other optimizers than SGD, and each at constant rates."""
    settings = [
        (method, {"optimizer": optimizer, "lr": rate})
        for optimizer in FURTHER_OPTIMIZERS
        for method, tried in (("online-stable", (START_RATE,)), ("constant", profile.rates))
        for rate in tried
    ]
    return grid(profile, "optimizers", ON, settings)


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
