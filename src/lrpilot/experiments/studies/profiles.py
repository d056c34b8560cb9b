"""How much of each experiment is run: in CI, in an afternoon, or all that the paper did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MNIST_NETWORKS = ("m0", "m1", "m2")


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The sizes of all experiments.

    Attributes:
        name: its folder below ``results/``.
        rates: the grid of learning rates (section 4.1: 1e-4 to 1e0).
        mnist_steps: of the MNIST CNN, at batch 50.
        cifar10_steps: of the CIFAR-10 CNN, at batch 50.
        vector_steps: of M0, M1 and M2.
        vector_batch: their batch size; the paper's is 1 (after Schaul et al.), any other is a deviation.
        repeats: seeds of a task that tries the whole grid with each of them.
        screened_repeats: seeds of a task that is screened.
        start_repeats: seeds from each starting rate.
        reading_repeats: seeds of each reading and of each discount; reading_steps: the length of their runs.
        screened: the tasks that try the grid with the first seed alone, and give the other seeds to the settings
            chosen by test and by validation error.
        mnist_evaluations: looks at test and validation set in a run of the MNIST CNN; cifar10_evaluations: of the
            CIFAR-10 CNN; vector_evaluations: of M0, M1 and M2.
        image_validation: examples held out of the training set, for the convolutional networks.
        vector_validation: the same for M0, M1 and M2.
        offline_runs: training runs of the offline version, by task (the paper's 5 on MNIST, 10 on CIFAR-10).
        offline_share: their length, as a share of a run of the task; the run that is reported is whole.
    """

    name: str
    rates: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    mnist_steps: int
    cifar10_steps: int
    vector_steps: int
    vector_batch: int
    repeats: int
    screened_repeats: int
    start_repeats: int
    reading_repeats: int
    reading_steps: int
    screened: tuple[str, ...]
    mnist_evaluations: int
    cifar10_evaluations: int
    vector_evaluations: int
    image_validation: int = 5000
    vector_validation: int = 5000
    offline_runs: Mapping[str, int] = field(default_factory=lambda: {"mnist-cnn": 5, "cifar10-cnn": 10})
    offline_share: float = 1.0

    def steps(self, task: str) -> int:
        """The length of a run of a task."""
        return {"mnist-cnn": self.mnist_steps, "cifar10-cnn": self.cifar10_steps}.get(task, self.vector_steps)

    def batch_size(self, task: str) -> int:
        """The batch size of a task."""
        return self.vector_batch if task in MNIST_NETWORKS else 50

    def seeds(self, task: str) -> range:
        """The seeds of a task, the first of which screens."""
        return range(self.screened_repeats if self.screens(task) else self.repeats)

    def evaluations(self, task: str) -> int:
        """How often a run of a task is evaluated."""
        numbers = {"mnist-cnn": self.mnist_evaluations, "cifar10-cnn": self.cifar10_evaluations}
        return numbers.get(task, self.vector_evaluations)

    def validation(self, task: str) -> int:
        """How many training examples of a task are held out."""
        return self.vector_validation if task in MNIST_NETWORKS else self.image_validation

    def screens(self, task: str) -> bool:
        """Whether the first seed alone tries all settings."""
        return task in self.screened


SMOKE = Profile(
    name="smoke",
    rates=(1e-2, 1e-1),
    mnist_steps=12,
    cifar10_steps=8,
    vector_steps=120,
    vector_batch=50,
    repeats=2,
    screened_repeats=1,
    start_repeats=1,
    reading_repeats=1,
    reading_steps=60,
    screened=("mnist-cnn", "cifar10-cnn"),
    mnist_evaluations=1,
    cifar10_evaluations=1,
    vector_evaluations=4,
    image_validation=500,
    vector_validation=500,
    offline_runs={"mnist-cnn": 2, "cifar10-cnn": 2},
)
QUICK = Profile(
    name="quick",
    mnist_steps=2_000,
    cifar10_steps=1_200,
    vector_steps=7_200,
    vector_batch=50,
    repeats=5,
    screened_repeats=3,
    start_repeats=10,
    reading_repeats=3,
    reading_steps=2_400,
    screened=("m2", "mnist-cnn", "cifar10-cnn"),
    mnist_evaluations=8,
    cifar10_evaluations=5,
    vector_evaluations=24,
    image_validation=2000,
    offline_share=0.25,
)
PAPER = Profile(
    name="paper",
    mnist_steps=20_000,
    cifar10_steps=10_000,
    vector_steps=360_000,
    vector_batch=1,
    repeats=5,
    screened_repeats=5,
    start_repeats=10,
    reading_repeats=5,
    reading_steps=360_000,
    screened=(),
    mnist_evaluations=40,
    cifar10_evaluations=40,
    vector_evaluations=36,
)
PROFILES = {profile.name: profile for profile in (SMOKE, QUICK, PAPER)}
