"""Makes the runs of experiments that are missing: one after another, side by side, or on a Ray cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lrpilot.errors import InvalidArgument
from lrpilot.experiments.choices import at_least
from lrpilot.experiments.tasks.catalogue import task_named
from lrpilot.experiments.tasks.suite import SUITE

from .perform import perform
from .store import Store
from .trial import Result, Trial

if TYPE_CHECKING:
    from rich.console import Console

WAVE = 4  # runs for each of Ray's workers between two savings


@dataclass(frozen=True)
class Engine:
    """Where runs are made, and with which files: with one worker and without Ray, in this process."""

    workers: int = field(default=1, metadata={"help": "Runs side by side, each with one thread."})
    ray: str | None = field(
        default=None,
        metadata={"help": "Make the runs on the Ray cluster at this address (auto, local, HOST:PORT)."},
    )
    data: Path | None = None  # where data sets lie, on every machine
    policy: Path | None = None  # of the pilot, on every machine; None for the shipped one

    def __post_init__(self) -> None:
        """Check what is given."""
        at_least(1, workers=self.workers)
        if self.ray == "":
            raise InvalidArgument("--ray", "left out, or an address", self.ray)


class Tally(Counter[str]):
    """How many runs ended how."""

    def __str__(self) -> str:
        return f"{self['finished']} done, {self['diverged']} diverged, {self['failed']} failed"


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
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (BarColumn(), TextColumn("{task.fields[state]}"), TimeElapsedColumn(), TextColumn("left"))
    tally, attempted = Tally(), set[str]()
    with Progress(*columns, TimeRemainingColumn(), console=console, speed_estimate_period=1800) as progress:
        bar = progress.add_task("", total=0.0, state="")
        for name, plan in plans.items():
            while missing := [
                trial
                for trial in store.missing(plan(), retry_failed=retry_failed)
                if only(trial) and trial.name not in attempted
            ]:
                attempted.update(trial.name for trial in missing)
                progress.update(bar, total=(progress.tasks[0].total or 0.0) + sum(map(_cost, missing)))
                for made, result in enumerate(run(missing, engine or Engine()), start=1):
                    store.save(result)
                    tally[result.status] += 1
                    state = f"{name}: {tally}, {len(missing) - made} left"
                    progress.update(bar, advance=_cost(result.trial), state=state)
    return tally


def run(trials: Sequence[Trial], engine: Engine) -> Iterator[Result]:
    """The trials' results, each as soon as it is there."""
    make = perform if engine.policy is None else partial(perform, policy=engine.policy)
    if engine.ray:
        yield from _on_ray(trials, engine, make)
    elif engine.workers == 1:
        yield from (make(trial, engine.data) for trial in trials)
    else:
        yield from _side_by_side(trials, engine, make)


def _side_by_side(trials: Sequence[Trial], engine: Engine, make: Callable[..., Result]) -> Iterator[Result]:
    from joblib import Parallel, delayed, parallel_config

    with parallel_config(backend="loky", inner_max_num_threads=1):
        workers = min(engine.workers, len(trials))
        parallel = Parallel(n_jobs=workers, return_as="generator_unordered", pre_dispatch="1.5*n_jobs")
        yield from cast("Iterator[Result]", parallel(delayed(make)(trial, engine.data) for trial in trials))


def _on_ray(trials: Sequence[Trial], engine: Engine, make: Callable[..., Result]) -> Iterator[Result]:
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
            wave: Any = parallel(delayed(make)(trial, engine.data) for trial in trials[start : start + size])
            yield from wave


def _cost(trial: Trial) -> float:
    evaluated = trial.evaluations * (10_000 + trial.validation) / trial.batch_size / 4
    task = SUITE.get(trial.task) or task_named(trial.task)
    return task.cost * (trial.steps + evaluated)
