"""The appendix' training runs before the one that counts: each teaches a controller from run to run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import torch

from lrpilot.errors import Diverged
from .controllers import Piloted
from .trial import CHANCE, Trial
from lrpilot.learning.refinement import Refinement
from lrpilot.pilot.controller import Pilot
from lrpilot.learning.population.score import Performance, score

if TYPE_CHECKING:
    from .training import Record, Training
    from lrpilot.online.offline import OfflineActorCritic
    from lrpilot.online.controller import OnlineActorCritic

RUNS_APART = 1000  # between the seeds of two studies' training runs


def rehearse(study: OfflineActorCritic | Refinement, trial: Trial, make_training: Callable[..., Training]) -> dict[str, list[float]]:
    """The training runs before the trial's own, each of a network of its own. Returns how each of them ended.

    A run that diverges teaches nothing, and counts with the error of guessing. Runs of pilots are scored on the
    validation set.

    Args:
        study: what they teach.
        trial: its setting says how many ``runs``, and of how many ``run_steps`` (default: as many as its own).
        make_training: ``make_training(trial, make_controller=...)`` prepares a run.
    """
    ends: dict[str, list[float]] = {"test_error": [], "validation_error": [], "mean_rate": [], "seconds": []}
    for number in range(int(trial.setting["runs"])):
        steps, seed = int(trial.setting.get("run_steps", trial.steps)), RUNS_APART * (trial.seed + 1) + number
        one = replace(trial, steps=steps, seed=seed, evaluations=1)
        with suppress(Diverged), ExitStack() as stack:
            training = make_training(one, make_controller=in_study(study, stack, steps))
            *_, last = training.run()
            for name in ("test_error", "validation_error"):
                value = getattr(last, name)
                ends[name].append(100 * CHANCE if training.failure else torch.nan if value is None else value)
            controller = cast("Piloted | OnlineActorCritic", training.controller)
            history = controller.pilot.history if isinstance(controller, Piloted) else controller.history
            ends["mean_rate"].append(history["rate"].double().mean().item())
            ends["seconds"].append(last.seconds)
            if training.failure:
                raise training.failure
            if isinstance(study, Refinement):
                study.score(held_out_score(last, history["loss"][0].item()))
    return ends


def in_study(study: OfflineActorCritic | Refinement, stack: ExitStack, steps: int | None = None) -> Callable[..., Any]:
    """Makes the controller of the study's next run, which lasts until ``stack`` is left."""

    def make(optimizer: torch.optim.Optimizer, generator: torch.Generator) -> Any:
        if isinstance(study, Refinement):
            return Piloted(stack.enter_context(study.run(optimizer, steps)))
        return stack.enter_context(study.run(optimizer))

    return make


def taught(study: Refinement, trial: Trial) -> Callable[..., Any]:
    """Makes a controller that decides as the study has taught its policy, without exploring."""
    return lambda optimizer, generator: Piloted(Pilot(optimizer, trial.steps, policy=study.policy))


def held_out_score(last: Record, first_loss: float) -> float:
    """How a run ended, as those of the policy's pretraining are scored: never on the test set."""
    if last.validation_loss is None or last.validation_error is None:
        raise ValueError("a run without a validation set has no score")
    end = (last.loss, last.validation_loss, last.validation_error / 100)
    final, first = (Performance(*map(torch.tensor, each)) for each in (end, (first_loss, first_loss, CHANCE)))
    return score(final, first).item()
