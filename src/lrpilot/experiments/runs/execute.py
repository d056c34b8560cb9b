"""Makes the runs of experiments that are missing: one after another, side by side, or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from lrpilot.errors import InvalidArgument
from .perform import perform
from .store import Store
from .trial import Result, Trial

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

WAVE = 4  # runs for each of Ray's workers between two savings
# What a step costs beside one of M0's, roughly: the time left is estimated from it.
STEP_COSTS = {
    "m0": 1.0,
    "m1": 2.0,
    "m2": 8.0,
    "mnist-batchnorm": 6.0,
    "mnist-lstm": 15.0,
    "mnist-attention": 20.0,
    "mnist-cnn": 130.0,
    "fashion-cnn": 130.0,
    "cifar10-cnn": 350.0,
}


@dataclass(frozen=True)
class Engine:
    """Where runs are made.

    Attributes:
        workers: processes side by side, each with one thread; 1 makes the runs in this process.
        ray: address of a Ray cluster (``auto`` for the one at hand, ``local`` to start one here); None
            without Ray. ``workers`` is then the number of runs at a time.
        data: where data sets lie, on every machine.
        policy: the file of the pilot's policy, on every machine; None for the shipped one.
    """

    workers: int = 1
    ray: str | None = None
    data: Path | None = None
    policy: Path | None = None

    def __post_init__(self) -> None:
        """Check the number of workers."""
        if self.workers < 1:
            raise InvalidArgument("workers", "an integer >= 1", self.workers)


@dataclass
class Tally:
    """How runs ended."""

    finished: int = 0
    diverged: int = 0
    failed: int = 0

    def count(self, result: Result) -> None:
        """Add one."""
        setattr(self, result.status, getattr(self, result.status) + 1)

    def text(self) -> str:
        """``12 done, 1 diverged, 0 failed``."""
        return f"{self.finished} done, {self.diverged} diverged, {self.failed} failed"


def complete(
    plans: Mapping[str, Callable[[], list[Trial]]],
    store: Store,
    *,
    engine: Engine | None = None,
    retry_failed: bool = False,
    only: Callable[[Trial], bool] = lambda trial: True,
    console: Console | None = None,
) -> Tally:
    """Make whatever runs of the plans the store does not hold, plan by plan.

    Every result is saved as it comes. A run that diverges or crashes is such a result, and the rest goes on.

    Args:
        plans: by name, what gives the runs that are known so far; asked again after these are made.
        store: where results are, and go.
        engine: where to run; one run at a time in this process by default.
        retry_failed: whether to make runs again that crashed.
        only: leaves out runs for which it is false; what depends on them is then not made either.
        console: where to show progress; the standard output by default.
    """
    engine = engine or Engine()
    tally = Tally()
    attempted: set[str] = set()
    with _progress(console) as progress:
        bar = progress.add_task("", total=0.0, state="")
        for name, plan in plans.items():
            while True:
                missing = [
                    trial
                    for trial in store.missing(plan(), retry_failed=retry_failed)
                    if only(trial) and trial.name not in attempted
                ]
                if not missing:
                    break
                attempted.update(trial.name for trial in missing)
                progress.update(bar, total=(progress.tasks[0].total or 0.0) + sum(map(_cost, missing)))
                for left, result in _countdown(run(missing, engine), len(missing)):
                    store.save(result)
                    tally.count(result)
                    state = f"{name}: {tally.text()}, {left} left"
                    progress.update(bar, advance=_cost(result.trial), state=state)
    return tally


def run(trials: Sequence[Trial], engine: Engine) -> Iterator[Result]:
    """The trials' results, each as soon as it is there."""
    if engine.workers == 1 and engine.ray is None:
        for trial in trials:
            yield _maker(engine)(trial, engine.data)
        return
    yield from _on_ray(trials, engine) if engine.ray else _side_by_side(trials, engine)


def _maker(engine: Engine) -> Callable[[Trial, Path | None], Result]:
    return perform if engine.policy is None else partial(perform, policy=engine.policy)


def _side_by_side(trials: Sequence[Trial], engine: Engine) -> Iterator[Result]:
    from joblib import Parallel, delayed, parallel_config

    with parallel_config(backend="loky", inner_max_num_threads=1):
        parallel = Parallel(n_jobs=engine.workers, return_as="generator_unordered", pre_dispatch="1.5*n_jobs")
        results = parallel(delayed(_maker(engine))(trial, engine.data) for trial in trials)
        yield from cast("Iterator[Result]", results)


def _on_ray(trials: Sequence[Trial], engine: Engine) -> Iterator[Result]:
    """Ray's joblib backend gives results in lists alone: in waves, then, so that what was made is soon saved."""
    from joblib import Parallel, delayed, parallel_config

    try:
        import ray  # type: ignore[import-not-found] - an extra of its own
        from ray.util.joblib import register_ray  # type: ignore[import-not-found]
    except ImportError as error:
        raise InvalidArgument("--ray", "left out, or Ray installed: pip install 'lrpilot[ray]'", engine.ray) from error
    if not ray.is_initialized():
        ray.init(address=engine.ray, log_to_driver=False)
    register_ray()
    size = WAVE * engine.workers
    with parallel_config(backend="ray"), Parallel(n_jobs=engine.workers) as parallel:
        for start in range(0, len(trials), size):
            wave = trials[start : start + size]
            yield from cast("list[Result]", parallel(delayed(_maker(engine))(trial, engine.data) for trial in wave))


def _countdown(results: Iterator[Result], count: int) -> Iterator[tuple[int, Result]]:
    for done, result in enumerate(results, start=1):
        yield count - done, result


def _cost(trial: Trial) -> float:
    evaluated = trial.evaluations * (10_000 + trial.validation) / trial.batch_size / 4
    return STEP_COSTS.get(trial.task, 1.0) * (trial.steps + evaluated)


def _progress(console: Console | None) -> Progress:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    return Progress(
        BarColumn(),
        TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        speed_estimate_period=1800,
    )
