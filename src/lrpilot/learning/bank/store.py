"""The bank on disk: JSON lines, one a task, with the scores of every schedule tried on it.

A line holds the task itself, so that it can be trained again whatever later versions draw.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from joblib import Parallel, delayed

from lrpilot.core import files
from lrpilot.errors import Damaged

from .schedules import Schedule, search
from .score import FinalMeasures, Yardstick
from .task import BankTask
from .tasks import draw_task
from .training import BankTraining

UNDECIDED = 0.02
"""Scores no farther apart than this may be so by chance."""


@dataclass(frozen=True)
class Entry:
    """A task, the schedules tried on it, and their scores (lower is better)."""

    task: BankTask
    schedules: tuple[Schedule, ...]
    scores: tuple[float, ...]

    @property
    def best(self) -> float:
        """The lowest score."""
        return min(self.scores)

    @property
    def linear(self) -> list[tuple[float, Schedule]]:
        """The linear decays to zero with the usual warm-up, and their scores before them."""
        pairs = zip(self.scores, self.schedules, strict=True)
        return [(score, schedule) for score, schedule in pairs if schedule == Schedule(schedule.peak)]

    @property
    def best_schedule(self) -> Schedule:
        """The best linear decay, unless another schedule is better by more than `UNDECIDED`."""
        score, linear = min(self.linear, key=lambda pair: pair[0])
        best = min(zip(self.scores, self.schedules, strict=True), key=lambda pair: pair[0])
        return best[1] if best[0] < score - UNDECIDED else linear


BEGINNING = b'{"task": '
"""Of each line, by which one cut short is told from the contents of another file, which are left alone."""


def read(path: str | Path) -> list[Entry]:
    """The bank's entries, in the order of their indices; a last line cut short by a kill is none.

    Raises:
        Damaged: a line is no entry, or the last one the beginning of none.
    """
    path, entries = Path(path), list[Entry]()
    for number, line in enumerate(_whole_lines(path).splitlines(), start=1):
        try:
            entries.append(_entry(line))
        except Exception as error:  # whatever a line of other contents leads to
            raise Damaged(f"{path}, line {number} is no task of a bank: remove it") from error
    return sorted(entries, key=lambda entry: entry.task.index)


def fingerprint(entries: Iterable[Entry]) -> str:
    """Twelve digits that change with any task, schedule or score."""
    return files.fingerprint({"entries": [asdict(entry) for entry in entries]})


def _whole_lines(path: Path) -> bytes:
    content = files.read_file(path) if path.exists() else b""
    whole = content[: content.rfind(b"\n") + 1]
    begun = content[len(whole) :]
    if begun[: len(BEGINNING)] != BEGINNING[: len(begun)]:
        raise Damaged(f"{path} is no bank: name another file")
    return whole


def extend(
    path: str | Path,
    tasks: int,
    *,
    workers: int = 1,
    seed: int = 0,
    report: Callable[[dict[str, Any]], None] = lambda line: None,
) -> None:
    """Compute what is missing of the first ``tasks`` tasks; each line is appended as soon as its task is done.

    Args:
        path: of the bank; made if need be.
        tasks: how many the bank is to hold.
        workers: processes, of one thread each.
        seed: of the tasks drawn.
        report: called with each new line.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    known = {entry.task.index for entry in read(path)}
    if path.exists():
        os.truncate(path, len(_whole_lines(path)))
    missing = [index for index in range(tasks) if index not in known]
    processes = max(1, min(workers, len(missing)))
    parallel = Parallel(n_jobs=processes, return_as="generator_unordered", pre_dispatch="n_jobs", batch_size="auto")
    lines = cast("Iterable[dict[str, Any]]", parallel(delayed(score_task)(index, seed) for index in missing))
    for line in lines:
        with path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        report(line)


def score_task(index: int, seed: int = 0) -> dict[str, Any]:
    """Search the schedules of one task; its line."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    training = BankTraining(draw_task(index, seed))
    tried: list[dict[str, Any]] = []

    def score(schedule: Schedule) -> float:
        measured = training.follow(schedule)
        numbers = {name: _rounded(value) for name, value in asdict(measured).items()}
        tried.append({**asdict(schedule), **numbers})
        return training.score(measured)

    search(score, training.task.usual)
    yardstick = asdict(training.yardstick)
    untrained = {name: _rounded(value) for name, value in yardstick.pop("untrained").items()}
    return {"task": training.task.as_dict(), "yardstick": {"untrained": untrained, **yardstick}, "tried": tried}


def _rounded(number: float) -> float | None:
    """Six digits; JSON has neither NaN nor infinity."""
    return float(f"{number:.6g}") if math.isfinite(number) else None


def _entry(line: bytes) -> Entry:
    values = json.loads(line)
    yardstick = values["yardstick"]
    yardstick = Yardstick(
        _measured(yardstick["untrained"]), yardstick["guess"], yardstick["classes"], yardstick["held_out"]
    )
    names = ("peak", "warm_up", "power", "floor")
    schedules = tuple(Schedule(**{name: tried[name] for name in names}) for tried in values["tried"])
    scores = tuple(yardstick.score(_measured(tried)) for tried in values["tried"])
    return Entry(BankTask(**values["task"]), schedules, scores)


def _measured(values: dict[str, Any]) -> FinalMeasures:
    """What `_rounded` wrote: a missing loss was not finite, a missing error is that of a regression."""

    def known(name: str, otherwise: float) -> float:
        return otherwise if values[name] is None else values[name]

    return FinalMeasures(known("training_loss", math.inf), known("held_out_loss", math.inf), known("error", math.nan))
