"""Training runs before the one that counts, which teach its controller: the paper's appendix, the refinement of a
policy, a range test.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim import Optimizer

from lrpilot.baselines.range_test import RangeTest
from lrpilot.baselines.schedules import one_cycle
from lrpilot.core.history import History
from lrpilot.errors import Diverged
from lrpilot.learning.population.score import Performance, score
from lrpilot.learning.refinement import Refinement
from lrpilot.online.offline import OfflineActorCritic
from lrpilot.pilot.controller import Pilot

from .controllers import Controller, PlainTraining, Terms, check_policy, scheduled
from .training import Record, Training
from .trial import CHANCE, Trial

RUNS_APART = 1000  # between the seeds of two studies' training runs


class Lessons(Protocol):
    """What the runs before the one that counts teach, and what drives both."""

    held_out: bool = False  # whether it needs examples held out of the training set to score a run

    def controller(self, stack: ExitStack, optimizer: Optimizer, terms: Terms) -> Controller:
        """Of the next run that teaches, which lasts until ``stack`` is left."""
        ...

    def taught(self, stack: ExitStack, optimizer: Optimizer, terms: Terms) -> Controller:
        """Of the run that counts."""
        ...

    def score(self, end: Record, first_loss: float) -> None:
        """How a run ended, said before the stack is left: nothing, where rewards or losses have said it all."""


class OfflineLessons(Lessons):
    """The actor improves from one run to the next; the run that counts is one more of them."""

    def __init__(self, setting: str, terms: Terms) -> None:
        self._study = OfflineActorCritic(setting, generator=terms.generator)

    def controller(self, stack: ExitStack, optimizer: Optimizer, terms: Terms) -> Controller:
        """An actor that is frozen within its run."""
        return stack.enter_context(self._study.run(optimizer))

    taught = controller


class RefiningLessons(Lessons):
    """The pilot's policy is refined from one run to the next."""

    held_out = True

    def __init__(self, terms: Terms) -> None:
        check_policy(terms)
        self._study = Refinement(terms.policy, generator=terms.generator)

    def controller(self, stack: ExitStack, optimizer: Optimizer, terms: Terms) -> Controller:
        """A pilot that explores a little."""
        return PlainTraining(optimizer, stack.enter_context(self._study.run(optimizer, terms.steps)))

    def taught(self, stack: ExitStack, optimizer: Optimizer, terms: Terms) -> Controller:
        """A pilot with the policy as it was refined, without exploration."""
        return PlainTraining(optimizer, Pilot(optimizer, terms.steps, policy=self._study.policy))

    def score(self, end: Record, first_loss: float) -> None:
        """As runs of the policy's pretraining are scored: never on the test set."""
        if end.validation_loss is None or end.validation_error is None:
            raise ValueError("a run without a validation set has no score")
        losses = ((end.loss, end.validation_loss, end.validation_error / 100), (first_loss, first_loss, CHANCE))
        self._study.score(score(*(Performance(*map(torch.tensor, each)) for each in losses)).item())


class Testing(PlainTraining):
    """The range test's run. Once the loss has blown up, steps do nothing."""

    def __init__(self, optimizer: Optimizer, steps: int) -> None:
        super().__init__(optimizer)
        self.test = RangeTest(optimizer, steps)
        self.history = History("loss", "rate")  # of every step that was made

    def step(self, loss_fn: Callable[[Any], Tensor], batch: Any) -> Tensor:
        """One training step; returns the loss before it, detached, and the last one made when the test is over."""
        if not self.test.over:
            rate = self.test.rate
            loss = super().step(loss_fn, batch)
            self.test.step(loss.item())
            if loss.isfinite():
                self.history.append(loss=loss.item(), rate=rate)
        return self.history["loss"][-1]


class RangeTestLessons(Lessons):
    """A range test, from whose suggestion the run that counts makes one cycle."""

    def __init__(self, terms: Terms) -> None:
        self._testing: Testing | None = None

    def controller(self, stack: ExitStack, optimizer: Optimizer, terms: Terms) -> Controller:
        """The test's."""
        self._testing = Testing(optimizer, terms.steps)
        return self._testing

    def taught(self, stack: ExitStack, optimizer: Optimizer, terms: Terms) -> Controller:
        """One-cycle up to the rate that the test suggested."""
        if self._testing is None:
            raise ValueError("no range test was run")
        for group in optimizer.param_groups:
            group["lr"] = self._testing.test.suggestion()
        return scheduled(one_cycle, optimizer, terms)


def teach(lessons: Lessons, trial: Trial, make_training: Callable[..., Training]) -> dict[str, list[float]]:
    """The runs before the trial's own, each of a network of its own. Returns how each of them ended.

    A run that diverges teaches nothing, and counts with the error of guessing.

    Args:
        lessons: what they teach.
        trial: its setting says how many ``runs``, and of how many ``run_steps`` (default: as many as its own).
        make_training: ``make_training(trial, controller=...)`` prepares a run.
    """
    ends: dict[str, list[float]] = {"test_error": [], "validation_error": [], "mean_rate": [], "seconds": []}
    steps = int(trial.setting.get("run_steps", trial.steps))
    for number in range(int(trial.setting["runs"])):
        one = replace(trial, steps=steps, seed=RUNS_APART * (trial.seed + 1) + number, evaluations=1)
        with suppress(Diverged), ExitStack() as stack:
            training = make_training(one, controller=partial(lessons.controller, stack))
            *_, last = training.run()
            for name in ("test_error", "validation_error"):
                value = getattr(last, name)
                ends[name].append(100 * CHANCE if training.failure else math.nan if value is None else value)
            history = training.controller.history
            ends["mean_rate"].append(history["rate"].double().mean().item())
            ends["seconds"].append(last.seconds)
            if training.failure:
                raise training.failure
            lessons.score(last, history["loss"][0].item())
    return ends
