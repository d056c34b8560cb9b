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

    Args:
        options: keywords of `lrpilot.Pilot`.

    Attributes:
        pilot: from the beginning of ``fit`` on.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.pilot: Pilot | None = None
        self._options = options
        self._resumed: StateDict = {}

    def on_train_begin(self, logs: Any = None) -> None:
        """Put the pilot between the model and its optimizer.

        Raises:
            InvalidArgument: Keras does not run on torch, or the step is to be compiled.
        """
        if keras.backend.backend() != "torch":
            raise InvalidArgument("KERAS_BACKEND", "torch", keras.backend.backend())
        model, params = cast(Any, self.model), cast(Any, self.params)
        if model.jit_compile:
            raise InvalidArgument("jit_compile", "False, where a pilot listens to the steps", True)
        outer = model.optimizer  # which scales the loss in float16
        self._outer, self._inner = outer, getattr(outer, "inner_optimizer", outer)
        view = _View(self._inner, model)
        self._given, batches = view.rate.clone(), params["steps"]
        parts = self._inner.gradient_accumulation_steps or 1
        steps = None if batches is None else params["epochs"] * batches // parts
        self.pilot = pilot = Pilot(view, steps, **self._options)
        if self._resumed:
            pilot.load_state_dict(self._resumed)

        def scale_loss(loss: Tensor) -> Tensor:
            pilot.step(loss)
            return type(outer).scale_loss(outer, loss)

        def update(gradients: Sequence[Tensor], variables: Sequence[Any], learning_rate: Any) -> None:
            view.step(gradients, variables, learning_rate)
            pilot.step()

        outer.scale_loss, self._inner._backend_update_step = scale_loss, update

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """As Keras's own schedulers log it: for the history and all callbacks that come later."""
        if logs is not None and self.pilot is not None:
            logs["learning_rate"] = self.pilot.get_used_lr()[0]

    def on_train_end(self, logs: Any = None) -> None:
        """Leave model and optimizer as they were."""
        del self._outer.scale_loss, self._inner._backend_update_step
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
