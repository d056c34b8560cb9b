"""The pilot: a policy learned beforehand drives the learning rate, in the shape of a scheduler.

    loss, gradients, updates -> Interval -> observe -> features -> policy -> a step in log rate -> optimizer

`lrpilot.features` says what is seen and when decisions are taken, `lrpilot.policy` what is decided; this is the part that
lives in a user's training loop.
"""

from __future__ import annotations

import math
import operator
import weakref
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from .errors import InvalidArgument, NonFiniteLoss
from .features import (
    FORCED_CUT,
    GUARD_WINDOW,
    MEASURED_STEPS,
    Interval,
    Memory,
    anytime_decision_step,
    decision_steps,
    observe,
    takes_back,
)
from .guard import WIDEST, Guard
from .logbook import Decision, Logbook
from .measurement import LossBuffer, Measured, Measurement, StepHooks
from .policy import Policy
from .rates import LearningRates

if TYPE_CHECKING:
    from jaxtyping import Float
    from matplotlib.figure import Figure

    class Flies(Protocol):
        """What the pilot asks of a policy."""

        def initial_memory(self) -> Tensor: ...  # noqa: D102

        def act(self, features: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]: ...  # noqa: D102


ANYTIME_WINDOW = 8
"""The guard's window in decisions where the run's length is unknown: as many as `GUARD_WINDOW` holds otherwise."""


class Pilot:
    """Drives an optimizer's learning rate with a pretrained policy: no rate to find, no closure, no extra forward pass.

    >>> model = torch.nn.Linear(3, 1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> pilot = Pilot(optimizer, total_steps=100, policy=Policy())
    >>> for _ in range(100):
    ...     loss = (model(torch.ones(8, 3)) - 1).square().mean()
    ...     optimizer.zero_grad()
    ...     loss.backward()
    ...     optimizer.step()
    ...     pilot.step(loss)

    Decisions are taken at about fifty moments of a run, dense at its beginning. In the last four steps before each, the
    optimizer's step hooks read gradients and updates, and up to three copies of the trainable parameters exist; otherwise
    a step keeps its loss on its device and does nothing more. Ratios between parameter groups are kept.

    If the loss rises above the untrained network's within the first twentieth of the run, or has not moved after a
    far higher rate, the network is taken back to its start (weights, optimizer state, BatchNorm's statistics) and the
    rate is cut; one copy is kept for this, and freed then. Weights that are not finite are noticed at the next decision.

    Where `torch.distributed` is initialised, all ranks of ``process_group`` decide alike, on the mean of what they saw.

    Args:
        optimizer: any torch optimizer, at any rate; a step compiled with ``fullgraph=True`` cannot be measured.
        total_steps: how often :meth:`step` will be called. The last rate stays in force beyond. None if unknown:
            decisions then come ever more rarely without an end, and nothing makes the rate decay to zero in time.
        policy: ``"shipped"``, the path of a policy file, or a `lrpilot.policy.Policy`.
        rollback: keep a copy of the last good network throughout, taken at decisions, and go back to it whenever the
            network is destroyed: its weights are not finite, or more than half is lost of what the log loss had gained.
        process_group: None for the default one. A group of this rank alone lets it fly alone.

    Raises:
        InvalidArgument: an argument outside its range.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        total_steps: int | None = None,
        *,
        policy: str | Path | Flies = "shipped",
        rollback: bool = False,
        process_group: dist.ProcessGroup | None = None,
    ) -> None:
        self.rates = LearningRates(optimizer)
        self.optimizer = optimizer
        self.total_steps = _checked(total_steps)
        self.policy: Flies = Policy.load(policy) if isinstance(policy, str | Path) else policy
        self._process_group = process_group
        self._ends = None if self.total_steps is None else decision_steps(self.total_steps)
        self._history = Logbook()
        self._written = 0  # how many of the buffer's losses stand in the history
        self._losses = LossBuffer()
        self._memory = Memory.fresh()
        self._policy_memory = self.policy.initial_memory()
        self._log_rate = self._last_step = 0.0
        self._step = self._decisions = 0
        self._over = False
        self._guard = Guard(optimizer, rollback=rollback)
        self._hooks = StepHooks(optimizer)
        self._hooks.first = self._guard.remember_start
        self._finalizer = weakref.finalize(self, self._hooks.close)
        self._finalizer.atexit = False
        self._begin_interval()

    def step(self, loss: Tensor | float) -> None:
        """To be called once after each step of the optimizer; at a decision, changes the rates in ``param_groups``.

        Args:
            loss: of this step's batch: a scalar, on any device, with its graph or without; it should be positive.
                Multiplying all losses by a constant changes nothing.

        Raises:
            InvalidArgument: the loss is not a scalar.
            NonFiniteLoss: the weights are not finite, and there is no copy to go back to. The pilot is closed then.
        """
        if self._over:
            return
        self._losses.append(loss)
        self._step += 1
        if self._step == self._next:
            self._end_interval()
        elif self._step == self._watch:
            self._hooks.measurement = Measurement()

    def _begin_interval(self) -> None:
        self._next = self._end(self._decisions)
        self._watch = max(self._step, self._next - MEASURED_STEPS)
        self._losses.begin(self._next - self._step)
        self._written = 0
        self._hooks.measurement = Measurement() if self._watch == self._step else None

    def _end_interval(self) -> None:
        interval = self._read()
        self._write_losses()
        verdict = self._verdict(interval)
        if self._step == self.total_steps:
            if verdict is not None:
                self._guard.take_back()
                self._record(interval, self._rate, verdict)
            self.close()
            return
        features = self._observe(interval, taken_back=verdict is not None)
        proposed, self._policy_memory = self.policy.act(features, self._policy_memory)
        step = float(proposed) if verdict is None else min(float(proposed), FORCED_CUT)
        rate_before, before = self._rate, self._log_rate
        self._log_rate = min(max(before + step, -WIDEST), WIDEST)
        self._last_step = self._log_rate - before
        self.rates.write(self._rate)
        self._record(interval, rate_before, verdict, tuple(features.tolist()))
        self._look_after_copy(interval, taken_back=verdict is not None)
        self._decisions += 1
        self._begin_interval()

    def _read(self) -> Interval:
        """What happened since the last decision, on the CPU: the one moment that waits for the device."""
        measurement = self._hooks.measurement or Measurement()
        measured = measurement.finish(self.optimizer)
        self._hooks.measurement = None
        numbers = torch.cat([self._losses.values.to(measured.device), measured])
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(numbers, group=self._process_group)
            numbers /= dist.get_world_size(self._process_group)
        numbers = numbers.cpu()
        known = Measured(*numbers[-len(Measured._fields) :])
        return Interval(
            losses=numbers[: -len(known)],
            log_rate=torch.tensor(self._log_rate),
            last_step=torch.tensor(self._last_step),
            boundaries=self._boundaries(),
            **known._asdict(),
        )

    def _boundaries(self) -> tuple[float, float, float] | None:
        if self._ends is None or self._step == self.total_steps:
            return None
        ends = (0, *self._ends)[self._decisions : self._decisions + 3]
        return ends[0] / self._ends[-1], ends[1] / self._ends[-1], ends[2] / self._ends[-1]

    def _verdict(self, interval: Interval) -> str | None:
        """Why the network is to be taken back now; None if it is not."""
        guard, opens = self._guard, self._in_window(self._decisions)
        if not interval.weight_norm.isfinite():
            if guard.ready:
                return "the weights were not finite"
            rate, loss = self._rate, float(interval.losses[-1])
            self.close()
            error = NonFiniteLoss(self._step, rate, loss)
            error.add_note("The weights are not finite. Pilot(..., rollback=True) goes back to the last good network.")
            raise error
        if not guard.ready or not (opens or guard.rollback):
            return None
        if takes_back(interval, self._memory, closing=False):
            return "the loss was higher than the untrained network's"
        if opens and takes_back(interval, self._memory, closing=not self._in_window(self._decisions + 1)):
            return "no progress after a far higher rate"
        if not opens and _lost(interval, self._memory):
            return "more than half of what the log loss had gained was lost"
        return None

    def _observe(self, interval: Interval, *, taken_back: bool) -> Float[Tensor, " feature"]:
        """The features; the network is taken back, and what is remembered of it with it."""
        features, after = observe(replace(interval, taken_back=torch.tensor(taken_back)), self._memory)
        if taken_back:
            self._guard.take_back()
            if self._guard.memory is not None:
                after = Memory(**self._guard.memory)._replace(highest=after.highest)
        self._memory = after
        return features

    def _look_after_copy(self, interval: Interval, *, taken_back: bool) -> None:
        """Free the copy of the start when the window closes; with rollback, keep the last good network from then on."""
        if self._in_window(self._decisions + 1):
            return
        self._guard.close_window()
        if self._guard.rollback and not taken_back and _good(interval.losses):
            self._guard.keep(self._step, self._memory._asdict())

    def _in_window(self, decision: int) -> bool:
        if self._ends is None:
            return decision < ANYTIME_WINDOW
        return self._ends[decision] / self._ends[-1] <= GUARD_WINDOW

    def _end(self, decision: int) -> int:
        return anytime_decision_step(decision + 1) if self._ends is None else self._ends[decision]

    @property
    def _rate(self) -> float:
        return self.rates.start * math.exp(self._log_rate)

    def _record(
        self, interval: Interval, rate_before: float, verdict: str | None, features: tuple[float, ...] = ()
    ) -> None:
        self._history.decisions.append(
            Decision(
                step=self._step,
                loss=float(interval.losses.mean()),
                rate_before=rate_before,
                rate=self._rate,
                reason=verdict or "policy",
                features=features,
                back_to=None if verdict is None else self._guard.step,
            )
        )

    def _write_losses(self) -> None:
        new = self._losses.values[self._written :]
        self._history.extend(loss=new, rate=torch.full_like(new, self._rate, dtype=torch.float64, device="cpu"))
        self._written += len(new)

    @property
    def history(self) -> Logbook:
        """Loss and rate of each step so far, and every decision and intervention (``history.decisions``)."""
        self._write_losses()
        return self._history

    def explain(self) -> str:
        """The run in words: a line for each decision."""
        return self._history.explain()

    def plot(self) -> Figure:
        """Loss and rate by step, as a matplotlib figure."""
        return self.history.plot()

    def export_schedule(self, optimizer: torch.optim.Optimizer) -> LambdaLR:
        """The flown rates as a plain scheduler for a fresh ``optimizer``: :meth:`Logbook.export_schedule`."""
        return self.history.export_schedule(optimizer)

    def get_last_lr(self) -> list[float]:
        """The learning rate of each parameter group as it stands."""
        return self.rates.last()

    def close(self) -> None:
        """End the flight: the last rate stays, the hooks and all copies go. Happens by itself after ``total_steps``."""
        self._write_losses()
        self._over = True
        self._finalizer()
        self._guard.close()

    def state_dict(self) -> dict[str, Any]:
        """All that a bit-exact resume needs at any step, beside the network's and the optimizer's own state and the policy.

        Tensors, numbers and plain containers. Contains a copy of the network while the guard holds one.
        """
        measurement = self._hooks.measurement
        return {
            "total_steps": self.total_steps,
            "step": self._step,
            "decisions": self._decisions,
            "over": self._over,
            "log_rate": self._log_rate,
            "last_step": self._last_step,
            "memory": self._memory._asdict(),
            "policy_memory": self._policy_memory,
            "measurement": None if measurement is None else measurement.state_dict(),
            "history": self.history.state_dict(),
            "losses": self._losses.state_dict(),
            "rates": self.rates.state_dict(),
            "guard": self._guard.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`state_dict` gave.

        Raises:
            InvalidArgument: it comes from a run of another length; nothing is changed then.
        """
        if state["total_steps"] != self.total_steps:
            raise InvalidArgument("the saved total_steps", f"{self.total_steps!r} as here", state["total_steps"])
        self._step, self._decisions = state["step"], state["decisions"]
        self._log_rate, self._last_step = state["log_rate"], state["last_step"]
        self._memory, self._policy_memory = Memory(**state["memory"]), state["policy_memory"]
        self._history.load_state_dict(state["history"])
        self.rates.load_state_dict(state["rates"])
        if state["over"]:
            self._losses.begin(0)
            self._written = 0
            self.close()
            return
        flown = state["losses"]["values"]
        self._step -= len(flown)  # the interval began there
        self._begin_interval()
        self._step += len(flown)
        self._losses.load_state_dict(state["losses"])
        self._written = len(flown)
        self._hooks.measurement = None
        if state["measurement"] is not None:
            self._hooks.measurement = Measurement()
            self._hooks.measurement.load_state_dict(state["measurement"])
        self._guard.load_state_dict(state["guard"])
        if self._guard.started:
            self._hooks.first = None


def _checked(total_steps: int | None) -> int | None:
    if total_steps is None:
        return None
    try:
        number = operator.index(total_steps)
    except TypeError:
        number = 0
    if number < 1:
        raise InvalidArgument("total_steps", "a whole number, at least 1, or None", total_steps)
    return number


def _lost(interval: Interval, memory: Memory) -> bool:
    """Whether more than half is lost of what the log loss had gained, and that was more than a factor of two."""
    _, after = observe(interval, memory)
    return bool((memory.best < -math.log(2.0)) & (after.last > memory.best / 2))


def _good(losses: Float[Tensor, " step"]) -> bool:
    """Whether an interval ended well: all losses finite, and the last few not twice as high as the rest."""
    return bool(losses.isfinite().all() & (losses[-MEASURED_STEPS:].mean() <= 2 * losses.abs().mean()))
