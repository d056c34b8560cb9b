"""A comparison: the pilot from several starting rates against grids of rates and rate-free peers, on one task.

Its runs are trials like those of the paper's experiments, and lie in the store below ``compare/N-steps``. The whole
training set is used: what a grid's best rate is, the test error itself decides, to the grid's advantage.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lrpilot.baselines import range_test
from lrpilot.core.files import expanded
from lrpilot.experiments.choices import at_least, choose
from lrpilot.experiments.runs.methods import (
    BY_START,
    GIVEN_AN_OPTIMIZER,
    GIVEN_NO_RATE,
    METHODS,
    RATE_FREE,
    SEARCHES,
    Setting,
)
from lrpilot.experiments.runs.optimizers import default_learning_rate
from lrpilot.experiments.runs.trial import Scalar, Trial, plain_name
from lrpilot.experiments.tasks.catalogue import IMAGE_FOLDER, task_named
from lrpilot.pilot.policy_file import fingerprint

ROOT = "compare"
UNTRAINED = "untrained"
KNOWN = (*GIVEN_AN_OPTIMIZER, *GIVEN_NO_RATE, UNTRAINED)
CONTENDERS = tuple(method for method in (*BY_START, *RATE_FREE) if not METHODS[method].lessons)
"""Compared unless others are asked for; a refined pilot takes REFINING_RUNS training runs more for each run."""
REFINING_RUNS = 8
SEARCH: Setting = {"runs": 1, "run_steps": range_test.STEPS}
"""What a range test takes before the run that counts."""
EVALUATIONS = 4  # in a run: enough to see how it went; only the last one counts

HIGH_STARTS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
LOW_STARTS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
HIGH = {"sgd", "asgd", "adagrad", "tf-adagrad", "adadelta"}  # without momentum or a second moment that forgets


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What is compared."""

    task: str  # a name that load_task takes
    optimizer: str  # that the pilot, the constant grid and the cosine grid drive; a name of OPTIMIZERS
    steps: int  # of each run
    seeds: int  # runs of each method at each start
    methods: Sequence[str]  # of KNOWN
    policy: str  # the pilot's, by its fingerprint: results of another policy are other runs

    @classmethod
    def of(
        cls,
        task: str,
        optimizer: str = "sgd",
        *,
        steps: int | None = None,
        seeds: int = 3,
        methods: Sequence[str] = CONTENDERS,
        policy: str | Path = "shipped",
    ) -> Comparison:
        """Names in lower case, the task's own number of steps where none is given, ``policy`` as a file.

        Raises:
            InvalidArgument: an unknown name, or a number out of range.
        """
        usual = task_named(task).compared
        kind, _, path = task.partition(":")
        default_learning_rate(optimizer)  # refuses what is none, and what a plain loop cannot drive
        for method in methods:
            choose("methods", method, dict.fromkeys(KNOWN))
        at_least(1, steps=steps, seeds=seeds)
        return cls(
            task=f"{IMAGE_FOLDER}:{os.path.realpath(expanded(path))}" if kind == IMAGE_FOLDER else task.lower(),
            optimizer=optimizer.lower(),
            steps=steps or usual,
            seeds=seeds,
            methods=tuple(method for method in KNOWN if method in {name.lower() for name in methods}),
            policy=fingerprint(policy),
        )

    @property
    def name(self) -> str:
        """``m1-sgd``: of its picture."""
        return f"{plain_name(self.task)}-{self.optimizer}"

    @property
    def experiment(self) -> str:
        """Where its results lie below the store's root."""
        return f"{ROOT}/{self.steps}-steps"

    def trials(self) -> list[Trial]:
        """All runs, seed by seed, so that whatever part is made compares like with like."""
        where = {"experiment": self.experiment, "task": self.task, "batch_size": task_named(self.task).batch_size}
        return [
            judged(method, setting=setting, seed=seed, steps=self.steps, evaluations=EVALUATIONS, **where)
            for seed in range(self.seeds)
            for method in self.methods
            for setting in settings_of(method, {"optimizer": self.optimizer}, self.policy)
        ]


def judged(method: str, *, steps: int, evaluations: int, **others: Any) -> Trial:
    """A run on the whole training set, where the last evaluation counts; one step is enough for the untrained."""
    made = 1 if method == UNTRAINED else steps
    return Trial(method=method, steps=made, validation=0, evaluations=min(evaluations, made), **others)


def starts_of(optimizer: str) -> tuple[float, ...]:
    """The five rates, over four decades, that the pilot starts from, which are also the grid."""
    return HIGH_STARTS if optimizer in HIGH else LOW_STARTS


def settings_of(method: str, optimizer: Setting, policy: str) -> list[Setting]:
    """What a method is tried with: an optimizer from each start, or after a search, or nothing where it has its own.

    Args:
        method: of :data:`KNOWN`.
        optimizer: its name under "optimizer", and what else is said of it.
        policy: the pilot's, by its fingerprint.
    """
    if method not in GIVEN_AN_OPTIMIZER:
        return [{}]
    if method in SEARCHES:
        return [{**optimizer, **SEARCH}]
    more: dict[str, Scalar] = {"policy": policy} if method.startswith("pilot") else {}
    if method == "pilot-refined":
        more["runs"] = REFINING_RUNS
    return [{**optimizer, "lr": start, **more} for start in starts_of(str(optimizer["optimizer"]))]


def title(task: str, optimizer: str, steps: int) -> str:
    """``m1, sgd, 12,000 steps``, a user's own pictures by the name of their folder alone."""
    kind, _, path = task.partition(":")
    return f"{Path(path).stem if path else kind}, {optimizer}, {steps:,} steps"
