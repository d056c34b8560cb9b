"""Which runs the suite consists of: the pilot from five starts, grids of five rates, every opponent, on each task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lrpilot.experiments.choices import choose
from lrpilot.experiments.runs.methods import GIVEN_NO_RATE, SEARCHES
from lrpilot.experiments.runs.trial import Trial
from lrpilot.experiments.tasks.suite import SUITE
from lrpilot.pilot.policy_file import fingerprint

from .comparison import UNTRAINED, settings_of

ROOT = "suite"
GRIDS = ("constant", "cosine", "warmup-linear", "greedy")
METHODS = ("pilot", *GRIDS, *SEARCHES, *GIVEN_NO_RATE, UNTRAINED)
SEEDS = 5
EVALUATIONS = 2  # in a run; only the last one counts


def trials(
    *,
    tasks: Sequence[str] = tuple(SUITE),
    methods: Sequence[str] = METHODS,
    seeds: int = SEEDS,
    policy: str | Path = "shipped",
) -> list[Trial]:
    """Seed by seed, so that whatever part is made compares like with like.

    Raises:
        InvalidArgument: an unknown name.
    """
    chosen = [choose("tasks", name, SUITE) for name in tasks]
    for method in methods:
        choose("methods", method, dict.fromkeys(METHODS))
    return [
        Trial(
            experiment=ROOT,
            task=task.name,
            method=method,
            setting=setting,
            seed=seed,
            steps=1 if method == UNTRAINED else task.steps,
            batch_size=task.batch_size,
            validation=0,
            evaluations=1 if method == UNTRAINED else EVALUATIONS,
        )
        for seed in range(seeds)
        for task in chosen
        for method in methods
        for setting in settings_of(method, task.optimizer, {"policy": fingerprint(policy)} if method == "pilot" else {})
    ]
