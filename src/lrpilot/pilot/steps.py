"""What counts as a step: what the optimizer does, not how often the pilot is called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from .interval import MEASURED_STEPS
from .measurement import Measurement
from .optimizers import together

if TYPE_CHECKING:
    from .rates import Rates

Listener = Callable[[Optimizer], None]


class StepHooks:
    """Hears of every step of some optimizers. Holds no reference to what listens but these.

    One step of each is a step; a call of the pilot ends it, whichever have taken it. Where a step is traced by
    ``torch.compile``, a listener that runs within it breaks the graph; the hooks stay registered between measurements,
    for each registration would compile it again.

    Args:
        optimizers: whose steps are heard of.
        rates: told of a step at a rate that somebody else has written.
        taken: how many steps have been taken before.

    Attributes:
        taken: how many steps have been taken.
        called: whether the pilot has been called since the last step.
        captured: whether a step has been captured in a CUDA graph, whose replays cannot be heard.
        replaced: whether another pilot has taken the optimizers over.
        unheard: called with the number of steps at step ``deadline``, if it still stands there.
        deadline: by which step the pilot should have been called.
        resumed: the step at which a state was taken up; None if none was.
        loaded: whether an optimizer's state was loaded without the pilot's.
    """

    def __init__(self, optimizers: Sequence[Optimizer], rates: Rates, *, taken: int = 0) -> None:
        self.taken = taken
        self.called = self.captured = self.replaced = self.loaded = False
        self.rates = rates
        self.unheard: Callable[[int], None] | None = None
        self.deadline: int | None = None
        self.resumed: int | None = None
        self._first: Listener | None = None
        self.measurement = None
        self._within: Optimizer | None = None  # whose step has begun
        self._all = together(optimizers)
        self._members, self._leader = tuple(optimizers), optimizers[0]
        self._alone = len(optimizers) == 1
        self._round: list[Optimizer] = []  # those that have taken the present step
        self._on_cuda = any(p.is_cuda for group in self._all.param_groups for p in group["params"])
        self._call: Callable[..., Any] = torch.compiler.disable(_call)
        self._handles = [
            handle
            for optimizer in optimizers
            for handle in (
                optimizer.register_step_pre_hook(self._before_step),
                optimizer.register_step_post_hook(self._after_step),
                optimizer.register_load_state_dict_post_hook(self._after_load),
            )
        ]

    @property
    def idle(self) -> set[int]:
        """The places of those that have not taken the present step."""
        return {i for i, member in enumerate(self._members) if member not in self._round} if self._round else set()

    @classmethod
    def replace(cls, optimizers: Sequence[Optimizer]) -> None:
        """Take the hooks of other pilots off some optimizers."""
        for optimizer in optimizers:
            for hook in list(vars(optimizer)["_optimizer_step_post_hooks"].values()):
                other = getattr(hook, "__self__", None)
                if isinstance(other, cls):
                    other.replaced = True
                    other.close()

    @property
    def first(self) -> Listener | None:
        """Called with the optimizer once, before its next step."""
        return self._first

    @first.setter
    def first(self, listener: Listener | None) -> None:
        self._first = listener
        self._busy = listener is not None or self._measurement is not None

    @property
    def measurement(self) -> Measurement | None:
        """Watches the steps while it stands here."""
        return self._measurement

    @measurement.setter
    def measurement(self, measurement: Measurement | None) -> None:
        self._measurement = measurement
        self._busy = measurement is not None or self._first is not None  # whether either is there

    def _before_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._within = None if self._skips(optimizer) else optimizer
        if not self._busy or self._within is None:
            return
        if self._first is not None:
            first, self.first = self._first, None
            self._call(first, self._all)
        measurement = self._measurement
        if measurement is not None and self._opens(optimizer) and len(measurement.steps) < MEASURED_STEPS:
            self._call(measurement.before_step, self._all)

    def _after_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._within is not optimizer:
            return  # the step of a class whose base class has told of it already, or one that does nothing
        self._within = None
        complete = True
        if self._alone:
            self.taken += 1
        else:
            complete = self._completes(optimizer)
        if optimizer.param_groups[0]["lr"] is not self.rates.written:
            self._notice(optimizer)
        if not torch.compiler.is_compiling() and self.taken == self.deadline and self.unheard is not None:
            self.unheard(self.taken)
        if self._on_cuda and torch.cuda.is_current_stream_capturing():
            self.captured = True
        if self._busy and complete and self._measurement is not None:
            self._call(self._measurement.after_step, self._all)

    def _skips(self, optimizer: Optimizer) -> bool:
        """Whether its step will do nothing: it has no groups, or a ``GradScaler`` lets it look for itself (if fused).

        Where the gradients are on a device, this waits for it, as the scaler itself does for all other optimizers.
        """
        if not optimizer.param_groups:
            return True
        found = getattr(optimizer, "found_inf", None)
        if not isinstance(found, Tensor) or (self._on_cuda and torch.cuda.is_current_stream_capturing()):
            return False
        return bool(found)

    def _after_load(self, optimizer: Optimizer) -> None:
        """The optimizer's state holds a rate, which may be that of another length: the pilot's, if loaded, counts."""
        if self.taken == self.resumed:
            self.rates.write_again()
        else:
            self.loaded = True

    def _notice(self, optimizer: Optimizer) -> None:
        if optimizer is self._leader and not torch.compiler.is_compiling():
            self.rates.notice(self.taken)

    def _completes(self, optimizer: Optimizer) -> bool:
        """Whether all have now taken the step; it is counted once the first has."""
        if self._opens(optimizer):
            self._round, self.called = [], False
            self.taken += 1
        self._round.append(optimizer)
        if len(self._round) < len(self._members):
            return False
        self._round = []
        return True

    def _opens(self, optimizer: Optimizer) -> bool:
        """Whether its step is the first of a new one."""
        return self.called or not self._round or optimizer in self._round

    def let_go(self, tell: Callable[[], None]) -> None:
        """Nobody holds the pilot any more. Of one that was never called the next step tells, if its rate still stands.

        The hooks stay for that step, in which they may find themselves.
        """
        if self.called or self.unheard is None:
            self.close()
            return

        def unheard(steps: int) -> None:
            if not self.rates.disturbed():
                tell()

        self.measurement, self.unheard, self.deadline = None, unheard, self.taken + 1

    def close(self) -> None:
        """Take the hooks off."""
        self.first = self.measurement = None
        for handle in self._handles:
            handle.remove()


def _call(listener: Listener, optimizer: Optimizer) -> None:
    listener(optimizer)
