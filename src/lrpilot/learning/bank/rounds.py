"""The policy's and the teacher's runs on the bank's tasks, round by round, and what they teach (DAgger).

The runs of each round are files in a folder, one a task, so that hours of them can be stopped and gone on with.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from joblib import Parallel, delayed

from . import rollouts
from .lessons import BankLessons, lessons

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn

    from lrpilot.pilot.policy import Policy

    from .store import Entry


class Rounds:
    """The rounds of one pretraining.

    Args:
        entries: of the bank; those held out are left alone.
        folder: of the runs.
        noise: standard deviation of the exploration, as in `rollouts.explore_task`.
        seed: of all random numbers in the runs.
    """

    def __init__(self, entries: Sequence[Entry], folder: Path, *, noise: float, seed: int) -> None:
        self.entries = [entry for entry in entries if not entry.task.held_out]
        self._folder, self._noise, self._seed = folder, noise, seed
        self._lessons: tuple[int, BankLessons] | None = None

    def done(self, number: int) -> int:
        """How many tasks' runs of a round are there."""
        return len(self.entries) - len(self._missing(number))

    def explore(self, policy: Policy, number: int, *, tasks: int, workers: int = 1) -> int:
        """Make the runs of so many tasks that a round still lacks; how many the round then has.

        Args:
            policy: drives them, but in round 0, in which the teacher does.
            number: of the round.
            tasks: how many at the most.
            workers: processes, of one thread each.
        """
        (self._folder / str(number)).mkdir(parents=True, exist_ok=True)
        seed, driver = 1000 * self._seed + number, policy if number else None
        Parallel(n_jobs=workers)(
            delayed(_explore)(self._file(number, entry), entry, driver, noise=self._noise, seed=seed)
            for entry in self._missing(number)[:tasks]
        )
        return self.done(number)

    def lessons(self, number: int) -> BankLessons:
        """Of a round and all before it."""
        if self._lessons is None or self._lessons[0] != number:
            pairs = [
                (entry, rollout)
                for earlier in range(number + 1)
                for entry in self.entries
                for rollout in rollouts.load(self._file(earlier, entry))
                if rollout.intervals
            ]
            self._lessons = number, lessons(pairs)
        return self._lessons[1]

    def _file(self, number: int, entry: Entry) -> Path:
        return self._folder / str(number) / f"{entry.task.index}.pt"

    def _missing(self, number: int) -> list[Entry]:
        return [entry for entry in self.entries if not self._file(number, entry).exists()]


def bank_loss(
    lessons: BankLessons, actor: nn.Module, *, runs: int, blur: float, generator: torch.Generator
) -> Float[Tensor, ""]:
    """The loss on runs drawn at random: first a task, then one of its runs, so that each task counts alike.

    Every feature of a run is shifted by one normal number, of ``blur`` times the feature's standard deviation.
    """
    tasks = lessons.tasks.unique()
    drawn = tasks[torch.randint(len(tasks), (runs,), generator=generator)]
    chosen = torch.multinomial((lessons.tasks == drawn.unsqueeze(1)).float(), 1, generator=generator).squeeze(1)
    part = lessons.of(chosen)
    seen = part.observations
    shift = torch.randn(seen.shape[1:], generator=generator) * seen.std((0, 1))
    raw, _ = actor(seen + blur * shift)
    return part.loss(raw)


def _explore(file: Path, entry: Entry, policy: Policy | None, *, noise: float, seed: int) -> None:
    rollouts.save(file, rollouts.explore_task(entry, policy, noise=noise, seed=seed))
