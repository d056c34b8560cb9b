"""The pilot in Hugging Face's Trainer: ``PilotTrainer`` in place of ``Trainer``."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import torch
from transformers import Trainer

from lrpilot.errors import InvalidArgument, PilotWarning
from lrpilot.pilot.controller import Pilot

UNUSED = ("lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps", "warmup_ratio")
"""Training arguments of a scheduler."""


class PilotTrainer(Trainer):
    """A Trainer whose scheduler is a `lrpilot.Pilot`, at ``trainer.lr_scheduler``.

    The rate is logged as ``learning_rate`` and checkpoints hold the pilot, as they do with any scheduler; a run that is
    resumed with more epochs is planned anew, one that goes on without a pilot's state is planned for the steps that are
    left. ``lr_scheduler_type`` and warm-up among the arguments are not used; a `lrpilot.PilotWarning` says so.
    For another trainer of the family, such as TRL's: ``class Mine(PilotTrainer, SFTTrainer): pass``.

    Args:
        pilot_options: keywords of `lrpilot.Pilot`.

    Raises:
        InvalidArgument: ``optimizers`` has a scheduler.
    """

    def __init__(self, *args: Any, pilot_options: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        self._pilot_options = dict(pilot_options or {})
        super().__init__(*args, **kwargs)
        if self.lr_scheduler is not None:
            scheduler = type(self.lr_scheduler).__name__
            raise InvalidArgument("optimizers", "(optimizer, None), for the pilot is the scheduler", scheduler)
        for field in fields(self.args):
            value = getattr(self.args, field.name)
            if field.name in UNUSED and value not in (field.default, None, {}):
                argument = f"{field.name}={getattr(value, 'value', value)}"
                message = f"{argument} is not used: the pilot sets the learning rate, from the first step to the last"
                warnings.warn(message, PilotWarning, stacklevel=2)

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None) -> Any:
        """Make the pilot, for ``num_training_steps`` steps of the optimizer."""
        if self.lr_scheduler is None:
            driven: Any = optimizer or self.optimizer
            self.lr_scheduler = Pilot(driven, num_training_steps, **self._pilot_options)
            self._created_lr_scheduler = True  # or a second `train` would go on with it
        return self.lr_scheduler

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Forward and backward; the pilot gets the loss now, and is stepped without one after the optimizer."""
        pilot, done, total = self.lr_scheduler, self.state.global_step, self.state.max_steps
        if pilot.last_epoch == 0 and done and pilot.total_steps == total:  # its state was not kept
            pilot.extend(total - done)
        loss = super().training_step(*args, **kwargs)
        self.lr_scheduler.step(loss * self.current_gradient_accumulation_steps)  # which the loss is divided by
        return loss
