"""A comparison: the pilot from several starting rates against grids of rates and rate-free peers, on one task.

Its runs are trials like those of the paper's experiments, and lie in the store below ``compare/N-steps``. The whole
training set is used: what a grid's best rate is, the test error itself decides, to the grid's advantage.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lrpilot.errors import InvalidArgument
from lrpilot.experiments.runs.choices import choose
from lrpilot.experiments.runs.optimizers import default_learning_rate
from lrpilot.experiments.runs.store import Store
from lrpilot.experiments.runs.trial import Result, Scalar, Trial, plain_name
from lrpilot.experiments.tasks.catalogue import IMAGE_FOLDER, TASKS, check_task
from lrpilot.pilot.policy_file import fingerprint

from .methods import BY_START, METHODS, RATE_FREE

ROOT = "compare"
KNOWN = (*BY_START, *RATE_FREE)
CONTENDERS = tuple(method for method in KNOWN if not METHODS[method].refines)
"""Those that are compared unless others are asked for: a refined pilot takes as many runs as REFINING_RUNS more."""
REFINING_RUNS = 8
STEPS = {
    "digits": 2_000,
    "m0": 6_000,
    "m1": 12_000,
    "m2": 12_000,
    "mnist-batchnorm": 2_000,
    "mnist-lstm": 2_000,
    "mnist-attention": 2_000,
    "mnist-cnn": 3_000,
    "fashion-cnn": 3_000,
    "cifar10-cnn": 4_000,
    IMAGE_FOLDER: 4_000,
}
EVALUATIONS = 4  # in a run: enough to see how it went; only the last one counts

HIGH_STARTS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
LOW_STARTS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
HIGH = {"sgd", "asgd", "adagrad", "tf-adagrad", "adadelta"}  # without momentum or a second moment that forgets


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What is compared.

    Attributes:
        task: a name that ``tasks.load_task`` takes.
        optimizer: that the pilot, the constant grid and the cosine grid drive; a name of ``optimizers.OPTIMIZERS``.
        steps: of each run.
        seeds: how many runs of each method at each start: seeds 0, 1, ...
        methods: which of :data:`KNOWN`.
        policy: the pilot's, by its fingerprint: results of another policy are other runs.
    """

    task: str
    optimizer: str
    steps: int
    seeds: int
    methods: Sequence[str]
    policy: str

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
        check_task(task)
        kind, _, path = task.partition(":")
        task = f"{IMAGE_FOLDER}:{Path(path).expanduser().resolve()}" if kind == IMAGE_FOLDER else task.lower()
        default_learning_rate(optimizer)  # refuses what is none, and what a plain loop cannot drive
        for method in methods:
            choose("methods", method, dict.fromkeys(KNOWN))
        for name, number in (("steps", steps), ("seeds", seeds)):
            if number is not None and number < 1:
                raise InvalidArgument(name, "a whole number of at least 1", number)
        return cls(
            task=task,
            optimizer=optimizer.lower(),
            steps=STEPS[kind.lower()] if steps is None else steps,
            seeds=seeds,
            methods=tuple(method for method in KNOWN if method in {name.lower() for name in methods}),
            policy=fingerprint(policy),
        )

    @property
    def name(self) -> str:
        """``m1-sgd``: of its picture."""
        return f"{plain_name(self.task)}-{self.optimizer}"

    @property
    def starts(self) -> tuple[float, ...]:
        """The five rates that the pilot starts from, which are also the grid."""
        return HIGH_STARTS if self.optimizer in HIGH else LOW_STARTS

    @property
    def experiment(self) -> str:
        """Where its results lie below the store's root."""
        return f"{ROOT}/{self.steps}-steps"

    def trials(self) -> list[Trial]:
        """All runs, seed by seed, so that whatever part is made compares like with like."""
        return [trial for seed in range(self.seeds) for method in self.methods for trial in self._of(method, seed)]

    def _of(self, method: str, seed: int) -> Iterator[Trial]:
        for setting in self._settings(method):
            yield Trial(
                experiment=self.experiment,
                task=self.task,
                method=method,
                setting=setting,
                seed=seed,
                steps=self.steps,
                batch_size=TASKS[self.task].batch_size if self.task in TASKS else 50,
                validation=0,
                evaluations=min(EVALUATIONS, self.steps),
            )

    def _settings(self, method: str) -> list[dict[str, Scalar]]:
        if method not in BY_START:
            return [{}]
        more: dict[str, Scalar] = {"policy": self.policy} if method.startswith("pilot") else {}
        if METHODS[method].refines:
            more["runs"] = REFINING_RUNS
        return [{"optimizer": self.optimizer, "lr": start, **more} for start in self.starts]


@dataclass(frozen=True)
class Outcome:
    """What came of a comparison.

    Attributes:
        task: as in :class:`Comparison`.
        optimizer: likewise.
        steps: likewise.
        results: of any seeds; the peers' among them, whatever the optimizer.
    """

    task: str
    optimizer: str
    steps: int
    results: Sequence[Result]

    @property
    def title(self) -> str:
        """``m1, sgd, 12,000 steps``, a user's own pictures by the name of their folder alone."""
        kind, _, path = self.task.partition(":")
        return f"{Path(path).stem if path else kind}, {self.optimizer}, {self.steps:,} steps"

    def by_start(self) -> dict[tuple[str, str], dict[float, list[Result]]]:
        """By method and policy (empty but for the pilot), the runs from each starting rate, rates ascending."""
        grouped: dict[tuple[str, str], dict[float, list[Result]]] = {}
        order = {method: place for place, method in enumerate(BY_START)}
        results = [result for result in self.results if result.trial.method in order]
        for result in sorted(results, key=lambda one: (order[one.trial.method], float(one.trial.setting["lr"]))):
            key = (result.trial.method, str(result.trial.setting.get("policy", "")))
            grouped.setdefault(key, {}).setdefault(float(result.trial.setting["lr"]), []).append(result)
        return grouped

    def peers(self) -> dict[str, list[Result]]:
        """The runs of each rate-free peer."""
        grouped = {peer: [result for result in self.results if result.trial.method == peer] for peer in RATE_FREE}
        return {peer: results for peer, results in grouped.items() if results}


def outcomes(store: Store) -> list[Outcome]:
    """All comparisons that a store has results of: tasks in the order of :data:`STEPS`, then optimizers, lengths."""
    groups: dict[tuple[str, int], list[Result]] = {}
    for result in store.saved(ROOT):
        groups.setdefault((result.trial.task, result.trial.steps), []).append(result)
    found = []
    for (task, steps), results in groups.items():
        peers = [result for result in results if result.trial.method in RATE_FREE]
        for optimizer in sorted({str(result.trial.setting.get("optimizer", "")) for result in results} - {""}):
            own = [result for result in results if result.trial.setting.get("optimizer") == optimizer]
            found.append(Outcome(task, optimizer, steps, [*own, *peers]))
    tasks, optimizers = list(STEPS), ["sgd", "momentum"]
    return sorted(found, key=lambda one: (_place(tasks, one.task), _place(optimizers, one.optimizer), one.steps))


def _place(order: Sequence[str], name: str) -> tuple[int, str]:
    return (order.index(name) if name in order else len(order), name)
