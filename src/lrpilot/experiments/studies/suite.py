"""Which runs the suite consists of: the pilot from five starts, grids of five rates, every opponent, on each task."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

from lrpilot.experiments.choices import choose
from lrpilot.experiments.runs.methods import GIVEN_NO_RATE, SEARCHES
from lrpilot.experiments.runs.trial import Trial
from lrpilot.experiments.tasks.suite import SUITE
from lrpilot.pilot.policy_file import fingerprint

from .comparison import UNTRAINED, judged, settings_of

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
    chosen, policy = [choose("tasks", name, SUITE) for name in tasks], fingerprint(policy)
    for method in methods:
        choose("methods", method, dict.fromkeys(METHODS))
    runs: list[Trial] = []
    for seed, task in product(range(seeds), chosen):
        where = {"experiment": ROOT, "task": task.name, "batch_size": task.batch_size}
        runs += [
            judged(method, setting=setting, seed=seed, steps=task.steps, evaluations=EVALUATIONS, **where)
            for method in methods
            for setting in settings_of(method, task.optimizer, policy)
        ]
    return runs
