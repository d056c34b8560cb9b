"""The pilot: a policy learned beforehand drives the learning rate, in the shape of a scheduler.

    loss, gradients, updates -> Interval -> observe -> features -> policy -> a step in log rate -> optimizer

`features` says what is seen, `timetable` when, `policy` what is decided; this is the part that lives in a user's
training loop.
"""

from __future__ import annotations

import math
import weakref
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from lrpilot.core.knobs import Knobs, LearningRate
from lrpilot.errors import InvalidArgument, NonFiniteLoss

from .features import FORCED_CUT, MEASURED_STEPS, Interval, Memory, observe, step_ceiling
from .guard import WIDEST, Guard
from .logbook import Decision, Logbook
from .loss_buffer import LossBuffer
from .measurement import Measurement, StepHooks, mean_over_ranks
from .policy import Drives, Policy
from .timetable import Timetable

if TYPE_CHECKING:
    from jaxtyping import Float
    from matplotlib.figure import Figure
    from torch.distributed import ProcessGroup


BELOW = 10.0
"""A run begins at the given rate divided by this: one that is too high can harm a network for good and not show in the
loss, one that is too low costs a few steps."""


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

    Begins at a tenth of the optimizer's rate, at once: what a rate that is too high does to a network may not be mended
    by a lower one, while a decision may raise the rate tenfold. Up to six decades to either side of the given rate are
    open.

    Decisions are taken at about fifty moments of a run, dense at its beginning. In the last four steps before each,
    the optimizer's step hooks read gradients and updates, and up to three copies of the trainable parameters exist;
    otherwise a step keeps its loss on its device and does nothing more. Ratios between parameter groups are kept.

    If the loss rises above the untrained network's within the first twentieth of the run, or has not moved after a
    far higher rate, the network is taken back to its start (weights, optimizer state, BatchNorm's statistics) and the
    rate is cut. One copy is kept for this, and freed when all is well after that twentieth and something has been
    learned. A loss that is not finite shows at the next decision, and cuts the rate at any time.

    Where `torch.distributed` is initialised, all ranks of ``process_group`` decide alike, on the mean of what they see.

    Args:
        optimizer: any torch optimizer, at any rate, which is changed at once. A step compiled with
            ``fullgraph=True`` cannot be measured.
        total_steps: how often :meth:`step` will be called. The last rate stays in force beyond. None if unknown:
            decisions then come ever more rarely without an end, and nothing makes the rate decay to zero in time.
        policy: ``"shipped"``, the path of a policy file, or a `lrpilot.pilot.policy.Policy`.
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
        policy: str | Path | Drives = "shipped",
        rollback: bool = False,
        process_group: ProcessGroup | None = None,
    ) -> None:
        self.knobs = Knobs(optimizer, (LearningRate(),))
        self.optimizer = optimizer
        self.policy: Drives = Policy.load(policy) if isinstance(policy, str | Path) else policy
        self._process_group = process_group
        self._timetable = Timetable(total_steps)
        self.total_steps = self._timetable.total_steps
        self._history = Logbook()
        self._written = 0  # how many of the buffer's losses stand in the history
        self._losses = LossBuffer()
        self._memory = Memory.fresh()
        self._policy_memory = self.policy.initial_memory()
        self._log_rate = self._last_step = 0.0
        self._step = self._decisions = 0
        self._over = False
        self._guard = Guard(optimizer, rollback=rollback)
        self._measured: Measurement | None = None  # of the interval that has just ended
        self._hooks = StepHooks(optimizer)
        self._hooks.first = self._guard.remember_start
        self.knobs.write({"learning_rate": self._rate})
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
        self._next = self._timetable.end(self._decisions)
        self._watch = max(self._step, self._next - MEASURED_STEPS)
        self._losses.begin(self._next - self._step)
        self._written = 0
        measured, self._measured = self._measured, None
        self._hooks.measurement = None
        if self._watch == self._step:
            self._hooks.measurement = Measurement() if measured is None else measured.next()

    def _end_interval(self) -> None:
        interval = self._read()
        self._write_losses()
        verdict = self._judge(interval)
        if self._step == self.total_steps:
            if verdict is not None:
                self._guard.take_back()
                self._record(interval, rate_before=self._rate, reason=verdict, back_to=self._guard.step)
            self.close()
            return
        features = self._observe(interval, taken_back=verdict is not None)
        proposed, self._policy_memory = self.policy.act(features, self._policy_memory)
        cut = "the loss was not finite" if verdict is None and not interval.losses[-1].isfinite() else verdict
        step = min(float(proposed), float(step_ceiling(interval, self._memory)))
        if cut is not None:
            step = min(step, FORCED_CUT)
        rate_before, before = self._rate, self._log_rate
        self._log_rate = min(max(before + step, math.log(BELOW) - WIDEST), math.log(BELOW) + WIDEST)
        self._last_step = self._log_rate - before
        self.knobs.write({"learning_rate": self._rate})
        back_to = None if verdict is None else self._guard.step
        seen = tuple(features.tolist())
        self._record(interval, rate_before=rate_before, reason=cut or "policy", back_to=back_to, features=seen)
        if verdict is None and not self._timetable.opens(self._decisions):
            self._guard.look_after(self._step, interval, self._memory)
        self._decisions += 1
        self._begin_interval()

    def _read(self) -> Interval:
        """What happened since the last decision, on the CPU: the one moment that waits for the device."""
        measurement = self._hooks.measurement or Measurement()
        totals = measurement.totals(self.optimizer)
        self._measured = measurement
        losses = self._losses.values
        numbers = torch.cat([losses.to(totals.device), totals])
        numbers = mean_over_ranks(numbers, self._process_group).cpu()
        measured = measurement.conclude(numbers[len(losses) :].tolist())
        return Interval(
            losses=numbers[: len(losses)],
            log_rate=torch.tensor(self._log_rate),
            last_step=torch.tensor(self._last_step),
            boundaries=self._timetable.boundaries(self._decisions),
            **{name: torch.tensor(value) for name, value in measured._asdict().items()},
        )

    def _judge(self, interval: Interval) -> str | None:
        """Why the network is to be taken back now; None if it is not."""
        opens, closes = self._timetable.opens(self._decisions), self._timetable.closes(self._decisions)
        verdict = self._guard.verdict(interval, self._memory, opens=opens, closes=closes)
        if verdict is None and not interval.weight_norm.isfinite():
            self.close()
            error = NonFiniteLoss(self._step, self._rate, float(interval.losses[-1]))
            error.add_note("The weights are not finite; Pilot(..., rollback=True) goes back to the last good ones.")
            raise error
        return verdict

    def _observe(self, interval: Interval, *, taken_back: bool) -> Float[Tensor, " feature"]:
        """The features; the network is taken back, and what is remembered of it with it."""
        features, after = observe(replace(interval, taken_back=torch.tensor(taken_back)), self._memory)
        if taken_back:
            self._guard.take_back()
            self._measured = None
            if self._guard.memory is not None:
                after = Memory(**self._guard.memory)._replace(highest=after.highest)
        self._memory = after
        return features

    @property
    def _rate(self) -> float:
        return self.knobs.given["learning_rate"] / BELOW * math.exp(self._log_rate)

    def _record(self, interval: Interval, **rest: Any) -> None:
        loss = float(interval.losses.mean())
        self._history.decisions.append(Decision(step=self._step, loss=loss, rate=self._rate, **rest))

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
        return self.knobs.read("learning_rate")

    def close(self) -> None:
        """End the flight: the last rate stays, the hooks and all copies go. Happens by itself after ``total_steps``."""
        self._write_losses()
        self._over = True
        self._finalizer()
        self._guard.close()

    def state_dict(self) -> dict[str, Any]:
        """All that a bit-exact resume needs at any step, beside network, optimizer and policy.

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
            "knobs": self.knobs.state_dict(),
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
        self.knobs.load_state_dict(state["knobs"])
        self.knobs.write(
            {"learning_rate": self._rate}
        )  # this pilot's own beginning may have come after the optimizer's state was loaded
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
            self._hooks.measurement.load_state_dict(state["measurement"], self.optimizer)
        self._guard.load_state_dict(state["guard"])
        if self._guard.started:
            self._hooks.first = None
