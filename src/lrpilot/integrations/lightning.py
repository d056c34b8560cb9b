"""The pilot in Lightning: ``Trainer(callbacks=[PilotCallback()])``."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import BackboneFinetuning, GradientAccumulationScheduler

from lrpilot.core.state import StateDict
from lrpilot.errors import InvalidArgument, PilotWarning
from lrpilot.pilot.controller import Pilot

CALLBACKS = {
    BackboneFinetuning: "BackboneFinetuning writes the learning rate at each epoch too: unfreeze with a BaseFinetuning "
    "of your own, which adds the group and leaves its rate alone",
    GradientAccumulationScheduler: "GradientAccumulationScheduler changes how many steps an epoch has, which "
    "Lightning's estimate of the run's length does not know: as the training starts, call "
    "callback.pilot.extend(total_steps) with the true length",
}
"""What is to be said of callbacks that a pilot cannot go by."""


class PilotCallback(Callback):
    """Drives the rate of the module's optimizer, logs it as ``lr``, and resumes with Lightning's checkpoints.

    ``configure_optimizers`` returns the optimizer alone, at any rate. A run that is resumed with more epochs is
    planned anew; one that goes on without a pilot's state is planned for the steps that are left.

    Args:
        options: keywords of `lrpilot.Pilot`, but for ``optimizer`` and ``total_steps``.

    Attributes:
        pilot: from the beginning of the training on.
    """

    def __init__(self, **options: Any) -> None:
        self.pilot: Pilot | None = None
        self._options = options
        self._resumed: StateDict = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lightning has made the optimizers, and loaded their state, by now.

        Raises:
            InvalidArgument: the module has a loop of its own.
        """
        if not pl_module.automatic_optimization:
            raise InvalidArgument(
                "automatic_optimization", "True (where it is not, make a Pilot and call its step)", False
            )
        for kind, message in CALLBACKS.items():
            if any(isinstance(callback, kind) for callback in trainer.callbacks):  # type: ignore[attr-defined]
                warnings.warn(message, PilotWarning, stacklevel=2)
        steps, state = trainer.estimated_stepping_batches, self._resumed
        self._resumed = {}  # of this training alone
        done = 0 if state else trainer.global_step  # without a pilot
        self.pilot = Pilot(trainer.optimizers, None if steps == math.inf else int(steps) - done, **self._options)
        if state:
            self.pilot.load_state_dict(state)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """The optimizer has taken its step, unless gradients are accumulated."""
        skipped = not (isinstance(outputs, Mapping) and "loss" in outputs)  # `training_step` may skip a batch
        if self.pilot is None or skipped:
            return
        self.pilot.step(outputs["loss"] * trainer.accumulate_grad_batches)  # which Lightning has divided it by
        pl_module.log("lr", self.pilot.get_used_lr()[0], prog_bar=True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A run of unknown length should have been finished."""
        if self.pilot is not None and self.pilot.total_steps is None:
            warnings.warn(
                f"the training ends at a rate of {self.pilot.get_last_lr()[0]:.3g} that has not decayed: give "
                "max_epochs or max_steps, or call callback.pilot.finish(steps) before its last steps",
                PilotWarning,
                stacklevel=2,
            )

    def state_dict(self) -> StateDict:
        """That of the pilot."""
        return {} if self.pilot is None else self.pilot.state_dict()

    def load_state_dict(self, state_dict: StateDict) -> None:
        """Keep it for the pilot, which cannot be made yet."""
        self._resumed = state_dict
