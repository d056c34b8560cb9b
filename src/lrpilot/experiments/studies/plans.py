"""How the runs of an experiment are planned.

A plan is a function of the profile and of the results so far: the runs to be made with what is known. It grows as
results come in (the seeds of a setting once that is chosen, the control at a controller's mean rate), and is complete
when nothing in it is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from statistics import fmean
from typing import Any

import numpy as np

from lrpilot.errors import InvalidArgument
from lrpilot.experiments.runs.methods import CONTROLS, METHODS, Setting
from lrpilot.experiments.runs.store import Store
from lrpilot.experiments.runs.trial import Result, Trial, setting_name

from .frame import choose, chosen, frame
from .profiles import PROFILES, Profile

VALUES = ("rate", "momentum", "dropout")  # columns of a curve that a controller decides on


def found(store: Store, trials: Iterable[Trial]) -> list[Result]:
    """The results of those trials that have one, in the trials' order."""
    return [result for trial in trials if (result := store.load(trial)) is not None]


def grid(
    profile: Profile,
    experiment: str,
    tasks: Iterable[str],
    settings: Collection[tuple[str, Setting]],
    *,
    seeds: Iterable[int] | None = None,
    **changes: Any,
) -> list[Trial]:
    """Each method at its setting on each task, seed by seed; ``changes`` of what the profile says of the task."""
    trials: list[Trial] = []
    for task in tasks:
        size = profile.sizes[task]
        sizes = {name: getattr(size, name) for name in ("steps", "batch_size", "validation", "evaluations")}
        named: dict[str, Any] = {"experiment": experiment, "task": task, **sizes, **changes}
        trials += [
            Trial(method=method, setting=setting, seed=seed, **named)
            for seed in (size.seeds if seeds is None else seeds)
            for method, setting in settings
        ]
    return trials


def every_method(profile: Profile, experiment: str, task: str, methods: Sequence[str], store: Store) -> list[Trial]:
    """All methods at all their settings on one task; then what depends on the outcome.

    That is, where the profile screens, the further seeds of the settings chosen with the first seed; and the
    control at each controller's mean rate.

    Raises:
        InvalidArgument: the settings are another profile's to choose, which has not made all of its runs.
    """
    size, make = profile.sizes[task], partial(grid, profile, experiment, [task])
    settings = {method: METHODS[method].settings(profile.rates) for method in methods}
    if size.chosen_by:
        settings |= _chosen_before(profile, experiment, task, methods, store)
    screened = {method: tried for method, tried in settings.items() if size.screens and len(tried) > 1}
    everything = [(method, setting) for method, tried in settings.items() for setting in tried]
    unscreened = [(method, setting) for method, setting in everything if method not in screened]
    trials = make(everything, seeds=size.seeds[:1]) + make(unscreened, seeds=size.seeds[1:])
    if store.missing(trials):
        return trials
    runs, further = frame(found(store, trials)), list[Trial]()
    for method, tried in screened.items():
        # Chosen by the first seed alone, whatever later ones say: the plan must not change under way.
        own = runs[runs.method == method]
        best = {choose(own, measure).setting.iloc[0] for measure in ("test_error", "validation_error")}
        for setting in tried:
            if setting_name(setting) in best:
                further += make([(method, setting)], seeds=size.seeds[1:])
    return [*trials, *further, *controls(make, trials, store)]


def controls(make: Callable[..., list[Trial]], trials: Sequence[Trial], store: Store) -> Iterator[Trial]:
    """Plain SGD at the mean rate of each controller whose runs, among the trials, are all there."""
    for control, controller in CONTROLS.items():
        own = [trial for trial in trials if trial.method == controller]
        means = {} if store.missing(own) else mean_values(found(store, own))
        if means:
            yield from make([(control, {"lr": means["rate"]})])


def _chosen_before(
    profile: Profile, experiment: str, task: str, methods: Sequence[str], store: Store
) -> dict[str, list[Setting]]:
    """By method, the one setting with the least validation error in the runs of the profile that chooses."""
    chooses = PROFILES[str(profile.sizes[task].chosen_by)]
    earlier = Store(store.root.parent / chooses.name)
    planned = every_method(chooses, experiment, task, methods, earlier)
    if earlier.missing(planned):
        allowed = f"one whose settings are chosen: give lrpilot reproduce {experiment} --profile {chooses.name} first"
        raise InvalidArgument("profile", allowed, profile.name)
    best = chosen(frame(found(earlier, planned)), "validation_error")
    return {run.trial.method: [run.trial.setting] for run in best.run if run.trial.method in methods}


def mean_values(results: Iterable[Result]) -> dict[str, float]:
    """The mean of each thing that a controller decides on, to three digits, by its name in the curve.

    Over the steps of its finished runs; empty without any.
    """
    finished = [result for result in results if result.status == "finished"]
    names = {name: None for result in finished for name in result.curve if name.split("/")[0] in VALUES}

    def mean(result: Result, name: str) -> float:
        return fmean(result.curve[name], weights=np.diff(result.curve["step"], prepend=0))

    return {name: float(f"{fmean(mean(result, name) for result in finished):.3g}") for name in names}
