"""What counts as a step: what the optimizer does, not how often the pilot is called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer

from .features import MEASURED_STEPS
from .measurement import Measurement
from .optimizers import together

if TYPE_CHECKING:
    from .rates import Rates

Listener = Callable[[Optimizer], None]


class StepHooks:
    """Hears of every step of some optimizers. Holds no reference to what listens but these.

    One step of each is a step. Where a step is traced by ``torch.compile``, a listener that runs within it breaks the
    graph; the hooks stay registered between measurements, for each registration would compile it again.

    Attributes:
        taken: how many steps have been taken.
        captured: whether a step has been captured in a CUDA graph, whose replays cannot be heard.
        first: called with the optimizer once, before its next step.
        measurement: watches the steps while it stands here.
        rates: told of a rate that somebody else has written, before it is used.
        replaced: whether another pilot has taken the optimizers over.
    """

    def __init__(self, optimizers: Sequence[Optimizer], rates: Rates | None = None, *, taken: int = 0) -> None:
        self.taken = taken
        self.captured = self.replaced = False
        self.first: Listener | None = None
        self.measurement: Measurement | None = None
        self.rates = rates
        self._all = together(optimizers)
        self._leader, self._count = optimizers[0], len(optimizers)
        self._round: list[Optimizer] = []  # those that have taken the present step
        self._on_cuda = any(p.is_cuda for group in self._all.param_groups for p in group["params"])
        self._call: Callable[..., Any] = torch.compiler.disable(_call)
        self._handles = [
            handle
            for optimizer in optimizers
            for handle in (
                optimizer.register_step_pre_hook(self._before_step),
                optimizer.register_step_post_hook(self._after_step),
            )
        ]

    @classmethod
    def replace(cls, optimizers: Sequence[Optimizer]) -> None:
        """Take the hooks of other pilots off some optimizers."""
        for optimizer in optimizers:
            for hook in list(optimizer._optimizer_step_post_hooks.values()):
                other = getattr(hook, "__self__", None)
                if isinstance(other, cls):
                    other.replaced = True
                    other.close()

    def _before_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        rates = self.rates
        if (
            rates is not None
            and optimizer.param_groups[0]["lr"] is not rates.written
            and optimizer is self._leader
            and not torch.compiler.is_compiling()
        ):
            rates.notice(self.taken + 1)
        if self.first is not None:
            first, self.first = self.first, None
            self._call(first, self._all)
        measurement = self.measurement
        if (
            measurement is not None
            and (not self._round or optimizer in self._round)
            and len(measurement.steps) < MEASURED_STEPS
        ):
            self._call(measurement.before_step, self._all)

    def _after_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._count == 1:
            self.taken += 1
        elif not self._completes(optimizer):
            return
        if self._on_cuda and torch.cuda.is_current_stream_capturing():
            self.captured = True
        if self.measurement is not None:
            self._call(self.measurement.after_step, self._all)

    def _completes(self, optimizer: Optimizer) -> bool:
        """Whether all have now taken the step; it is counted once the first has."""
        if not self._round or optimizer in self._round:
            self._round = []
            self.taken += 1
        self._round.append(optimizer)
        if len(self._round) < self._count:
            return False
        self._round = []
        return True

    def close(self) -> None:
        """Take the hooks off."""
        self.first = self.measurement = self.rates = None
        for handle in self._handles:
            handle.remove()


def _call(listener: Listener, optimizer: Optimizer) -> None:
    listener(optimizer)
