"""The pilot in skorch: ``NeuralNetClassifier(..., callbacks=[PilotCallback()])``."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

from skorch import NeuralNet
from skorch.callbacks import Callback

from lrpilot.core.state import StateDict
from lrpilot.errors import PilotWarning
from lrpilot.pilot.controller import Pilot
from lrpilot.pilot.optimizers import unwrapped

OPTIONS = {name: given.default for name, given in inspect.signature(Pilot).parameters.items() if name != "optimizer"}
"""Which parameters the callback has, and their defaults."""


class PilotCallback(Callback):
    """Drives the rate of the net's optimizer, and records it in the net's history as ``lr``, by batch and epoch.

    The run has ``max_epochs``. ``partial_fit`` extends it by as many; where it is called epoch by epoch, or gradients
    are accumulated, give ``total_steps``. A pickled net goes on where it was; skorch's own ``Checkpoint`` does not save
    callbacks.

    Args:
        options: ``total_steps`` and the keywords of `lrpilot.Pilot`: parameters of the callback, as a search sets them.

    Attributes:
        pilot_: from the first epoch of a training on.
    """

    def __init__(self, **options: Any) -> None:
        vars(self).update(OPTIONS | options)

    def initialize(self) -> PilotCallback:
        """Forget the last run."""
        self.pilot_: Pilot | None = None
        self.state_: StateDict = {}
        self.planned_ = False
        return self

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:  # noqa: N803
        """How many batches an epoch has shows at its beginning."""
        self.planned_ = False

    def on_epoch_begin(
        self, net: NeuralNet, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Make the pilot, or let its run be longer."""
        if not self.planned_:
            self._plan(net, dataset_train)
            self.planned_ = True
        self.begin_ = 0 if self.pilot_ is None else self.pilot_.last_epoch

    def _plan(self, net: NeuralNet, dataset_train: Any) -> None:
        options = self.get_params(deep=False)
        total_steps = options.pop("total_steps")
        optimizer = unwrapped(net.optimizer_)[0]  # of Accelerate's wrapper, which skorch's nets may use
        pilot = self.pilot_ if self.pilot_ is not None and self.pilot_.optimizer is optimizer else None
        if total_steps is None:
            taken = self.state_.get("step", 0) if pilot is None else pilot.last_epoch
            total_steps = taken + net.max_epochs * len(net.get_iterator(dataset_train, training=True))
        if pilot is None:
            self.pilot_ = Pilot(net.optimizer_, total_steps, **options)
            if self.state_:
                self.pilot_.load_state_dict(self.state_)
                self.state_ = {}
        elif total_steps != pilot.total_steps:
            pilot.extend(total_steps)

    def on_batch_end(self, net: NeuralNet, batch: Any = None, training: bool | None = None, **kwargs: Any) -> None:
        """The optimizer has taken its step."""
        if training and self.pilot_ is not None:
            self.pilot_.step(kwargs["loss"])
            net.history.record_batch("lr", self.pilot_.get_used_lr()[0])

    def on_epoch_end(self, net: NeuralNet, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any) -> None:
        """For the table that skorch prints; and how many batches a step has shows now."""
        if self.pilot_ is None:
            return
        net.history.record("lr", self.pilot_.get_used_lr()[0])
        batches: Any = net.history[-1, "train_batch_count"]
        steps = self.pilot_.last_epoch - self.begin_
        if self.get_params(deep=False)["total_steps"] is None and 2 * steps <= batches:
            message = f"{batches} batches of an epoch were {steps} steps: the run will end before its time; where"
            message += " gradients are accumulated, give PilotCallback total_steps, in steps of the optimizer"
            warnings.warn(message, PilotWarning, stacklevel=2)

    def __getstate__(self) -> dict[str, Any]:
        """The pilot's state in its place: skorch pickles the optimizer apart from its callbacks."""
        state = dict(vars(self))
        if state.get("pilot_") is not None:
            state.update(pilot_=None, state_=state["pilot_"].state_dict())
        return state
