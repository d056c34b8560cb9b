"""The pilot in Keras 3 on torch: ``model.fit(..., callbacks=[PilotCallback()])``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import keras
import torch
from torch import Tensor

from lrpilot.core.state import StateDict
from lrpilot.errors import InvalidArgument
from lrpilot.pilot.controller import Pilot


class PilotCallback(keras.callbacks.Callback):
    """Drives the rate of the optimizer that the model was compiled with, and logs it by epoch as ``learning_rate``.

    The run has the ``epochs`` given to ``fit``. Afterwards the optimizer has its own rate again, so that a further
    ``fit`` begins as this one did. To go on with a run, hand :meth:`state_dict` to the next callback's
    :meth:`load_state_dict`, and ``initial_epoch`` and ``epochs`` to ``fit``; more epochs than before are planned anew.
    Without a pilot's state, also after Keras's ``BackupAndRestore`` (to be listed after this callback), what is left is
    planned as a run of its own.

    Args:
        options: keywords of `lrpilot.Pilot`, but for ``optimizer`` and ``total_steps``.

    Attributes:
        pilot: from the first epoch of ``fit`` on.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.pilot: Pilot | None = None
        self._options = options
        self._resumed: StateDict = {}

    def on_train_begin(self, logs: Any = None) -> None:
        """Keep the rate that the optimizer has.

        Raises:
            InvalidArgument: Keras does not run on torch, or the step is to be compiled, or the rate is a schedule's.
        """
        if keras.backend.backend() != "torch":
            raise InvalidArgument("KERAS_BACKEND", "torch", keras.backend.backend())
        model = cast(Any, self.model)
        if model.jit_compile:
            raise InvalidArgument("jit_compile", "False, where a pilot listens to the steps", True)
        self._outer = model.optimizer  # which scales the loss in float16
        self._inner = getattr(self._outer, "inner_optimizer", self._outer)
        interrupted = getattr(vars(self._outer).get("scale_loss"), "__self__", None)
        if isinstance(interrupted, PilotCallback):  # in a `fit` that never came to its end
            interrupted.on_train_end()
        self._view = _View(self._inner, model)
        self._given = self._view.rate.clone()
        self.pilot = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """At the first one, whichever it is, put the pilot between the model and its optimizer."""
        if self.pilot is not None:
            return
        state, self._resumed = self._resumed, {}  # of this training alone
        self._inner.learning_rate = self._given  # Keras's BackupAndRestore may have loaded that of a lost run
        params = cast(Any, self.params)
        epochs, batches = params["epochs"] - (0 if state else epoch), params["steps"]
        parts = self._inner.gradient_accumulation_steps or 1
        length = None if batches is None else epochs * batches // parts
        # No torch module is looked for: the view holds the statistics, and Keras trains on in torch's evaluation mode
        # after a validation.
        options: dict[str, Any] = {"network": (), **self._options}
        self.pilot = Pilot(self._view, length, **options)
        if state:
            self.pilot.load_state_dict(state)
        self._outer.scale_loss, self._inner._backend_update_step = self._scale_loss, self._update

    def _scale_loss(self, loss: Tensor) -> Tensor:
        cast(Pilot, self.pilot).step(loss)
        return type(self._outer).scale_loss(self._outer, loss)

    def _update(self, gradients: Sequence[Tensor], variables: Sequence[Any], learning_rate: Any) -> None:
        self._view.step(gradients, variables, learning_rate)
        cast(Pilot, self.pilot).step()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """As Keras's own schedulers log it: for the history and all callbacks that come later."""
        if logs is not None and self.pilot is not None:
            logs["learning_rate"] = self.pilot.get_used_lr()[0]

    def on_train_end(self, logs: Any = None) -> None:
        """Leave model and optimizer as they were."""
        vars(self._outer).pop("scale_loss", None)  # there is none where no epoch has begun
        vars(self._inner).pop("_backend_update_step", None)
        self._inner.learning_rate = self._given

    def state_dict(self) -> StateDict:
        """That of the pilot."""
        return {} if self.pilot is None else self.pilot.state_dict()

    def load_state_dict(self, state_dict: StateDict) -> None:
        """Keep it for the pilot of the next ``fit``."""
        self._resumed = state_dict


class _View(torch.optim.Optimizer):
    """A Keras optimizer as torch's: a step is one update of the weights, whatever was accumulated before.

    The rate is the very tensor that Keras reads. What the pilot's guard takes back beside the weights is written down
    as the first weight's state: the optimizer's variables, and the model's statistics.
    """

    def __init__(self, optimizer: Any, model: Any) -> None:
        rate = optimizer.learning_rate
        if not isinstance(rate, keras.Variable):
            raise InvalidArgument("learning_rate", "a number: leave the rate to the pilot alone", type(rate).__name__)
        self.rate: Tensor = rate.value
        self._update = optimizer._backend_update_step
        weights = [variable.value for variable in model.trainable_variables]
        super().__init__(weights, {"lr": self.rate})
        statistics = [v for v in model.non_trainable_variables if v.value.is_floating_point()]
        held = [v for v in optimizer.variables if v is not rate] + statistics
        self.state[weights[0]] = {str(number): variable.value for number, variable in enumerate(held)}

    def step(self, gradients: Sequence[Tensor], variables: Sequence[Any], learning_rate: Any) -> None:  # type: ignore[override]
        """Update the variables along gradients that are complete: unscaled, clipped and averaged."""
        for variable, gradient in zip(variables, gradients, strict=True):
            variable.value.grad = gradient
        self._update(gradients, variables, learning_rate)
