"""What the pilot does at a decision, and between two.

    losses, gradients, updates -> Interval -> observe -> features -> policy -> a step in log rate -> optimizer

`features` says what is seen, `timetable` when, `policy` what is decided.
"""

from __future__ import annotations

import math
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lrpilot.core.knobs import Knobs, LearningRate
from lrpilot.core.notices import Notices
from lrpilot.errors import InvalidArgument, NonFiniteWeights

from .calls import Calls, first_call_by
from .defaults import own_defaults
from .features import observe
from .guard import ANOTHER_LOSS, NOT_FINITE, UNDONE, Guard
from .interval import MEASURED_STEPS, Interval
from .logbook import Decision, Logbook
from .loss_buffer import LossBuffer
from .measurement import Measurement
from .memory import Memory
from .optimizers import names, together
from .parts import Parts
from .ranks import Ranks
from .rates import BELOW, STEEP, Rates, bounded
from .soundness import FORCED_CUT, step_ceiling
from .steps import StepHooks
from .timetable import Timetable

if TYPE_CHECKING:
    from jaxtyping import Float

STUBBORN = 8
"""Weights that are not finite at so many decisions in a row, with the rate cut at each, are not the rate's doing."""


class Deciding:
    """The intervals of a run, and the decisions that end them.

    Args:
        parts: what it is made of.
    """

    @own_defaults()
    def __init__(self, parts: Parts) -> None:
        self._timetable = Timetable(parts.total_steps)
        self._parts = parts._replace(total_steps=self._timetable.total_steps)
        self.optimizer, self.policy = together(parts.optimizers), parts.policy
        self.knobs = Knobs(self.optimizer, (LearningRate(),))
        self._rates = Rates(self.knobs)
        self._ranks = Ranks(parts.process_group)
        self._notices = Notices()
        self._history = Logbook()
        self._losses = LossBuffer()
        self._calls = Calls(parts.optimizers, parts.buffers, self._losses, self._notices)
        self._memory = Memory.of_one_run()
        self._policy_memory = self.policy.initial_memory()
        self._log_rate = self._last_step = 0.0
        self._step = self._decisions = 0
        self._measured: Measurement | None = None  # of the interval that has just ended
        self._guard = Guard(self.optimizer, rollback=parts.rollback, buffers=parts.buffers)
        self._listen()
        self._hooks.first, self._hooks.unheard = self._before_the_first_step, self._calls.unheard
        self._hooks.deadline = first_call_by(self.total_steps)
        self._rates.write(self._rate, step=-1)
        if any(isinstance(optimizer, torch.optim.Rprop) for optimizer in parts.optimizers):
            self._notices.tell("rprop", "Rprop reads the learning rate at its first step alone: no pilot can drive it")
        self._begin_interval()

    def _before_the_first_step(self, optimizer: torch.optim.Optimizer) -> None:
        self._guard.remember_start(optimizer)
        if self._hooks.loaded:
            self._calls.begins_anew(optimizer)

    def _listen(self) -> None:
        self._over = False
        StepHooks.replace(self._parts.optimizers)
        self._hooks = StepHooks(self._parts.optimizers, self._rates, taken=self._step)
        weakref.finalize(self, self._hooks.let_go, self._calls.forgotten).atexit = False

    def _refuse_if_replaced(self) -> None:
        if self._hooks.replaced:
            raise InvalidArgument("pilot", "the one that was made last for its optimizer", "an earlier one")

    def _begin_interval(self) -> None:
        self._decisions = self._timetable.decisions_by(self._step)  # some are missed where the pilot was not called
        self._losses.begin(0)
        self._written = 0  # how many of the buffer's losses stand in the history
        self._mark()
        measured, self._measured = self._measured, None
        self._hooks.measurement = None
        if self._watch == self._step:
            self._hooks.measurement = Measurement() if measured is None else measured.next()

    def _mark(self) -> None:
        """When the present interval, which may have begun, ends, and from when on it is measured."""
        self._next = self._timetable.end(self._decisions)
        self._watch = max(self._step, self._next - MEASURED_STEPS)
        self._losses.reserve(len(self._losses.values) + self._next - self._step)
        # What the hooks have counted at the next call, if all goes as it should and there are no parts to join.
        self._expected = -1 if self._losses.has_parts else self._step + 1

    def _end_interval(self) -> None:
        self._hooks.unheard = None
        before = len(self._history.decisions)
        with own_defaults():
            self._decide()
        if len(self._history.decisions) > before:
            self._tell()  # under the user's own defaults

    def _decide(self) -> None:
        self._attend()
        interval = self._read()
        verdict = self._judge(interval)
        rate_before, before = self._rate, self._log_rate
        back_to = None if verdict is None else self._guard.step
        if self.total_steps is not None and self._step >= self.total_steps:
            if verdict is not None:
                self._guard.take_back()
                self._record(interval, rate_before=rate_before, reason=verdict, back_to=back_to)
            if self._step > self.total_steps:
                self._calls.after_the_end(self.total_steps)
            self.close()
            return
        features = self._observe(interval, verdict)
        proposed, self._policy_memory = self.policy.act(features, self._policy_memory)
        cut = NOT_FINITE if verdict is None and not interval.losses[-1].isfinite() else verdict
        step = min(float(proposed), float(step_ceiling(interval, self._memory)))
        if cut not in (None, UNDONE):
            again = 1 if self._opens else max(self._guard.returns, 1)
            step = min(step, FORCED_CUT * again)
        if verdict == UNDONE:
            step = -self._last_step  # as if it had not been left
        if verdict == ANOTHER_LOSS:
            step = -before  # as if the run began here
        if not self._trains:
            step = min(step, 0.0)
            self._notices.tell(
                "frozen",
                f"no parameter of {names(self._parts.optimizers)} requires a gradient, so nothing is measured and the "
                "learning rate is not raised: call requires_grad_() on those that are trained",
            )
        if verdict is None:
            self._calls.look_at_interval(interval, self._memory, step=self._step, total_steps=self.total_steps)
        self._move_to(before + step)
        self._last_step = self._log_rate - before
        seen = tuple(features.tolist())
        self._record(interval, rate_before=rate_before, reason=cut or "policy", back_to=back_to, features=seen)
        if verdict is None and not self._opens:
            self._guard.look_after(self._step, interval, self._memory)
        self._begin_interval()

    def _attend(self) -> None:
        """Write the interval down, and take up a rate that somebody else has written."""
        self._write_losses()
        self._calls.look_back(step=self._step, total_steps=self.total_steps, idle=self._hooks.idle)
        if self._rates.disturbed():
            self._calls.rates_differ(loaded=self._hooks.loaded)
            used = self._rates.at(self._step) / self.knobs.given["learning_rate"] * BELOW
            self._log_rate = bounded(math.log(used) if used > 0 else -math.inf)

    def _move_to(self, log_rate: float) -> None:
        self._log_rate = bounded(log_rate)
        if log_rate != self._log_rate:
            far = "above" if log_rate > self._log_rate else "below"
            self._notices.tell(
                "bound",
                f"the learning rate stands at {self._rate:.3g}, the farthest that the pilot goes {far} the given "
                "one: if the network has not learned by now, give a rate nearer to what it needs",
            )
        self._rates.write(self._rate, step=self._step)
        if self._rates.highest_joined > STEEP:
            self._notices.tell(
                "joined",
                f"a parameter group has joined that is driven at {self._rates.highest_joined:.3g} times the first "
                "group's rate: the rate of a new group is taken relative to the one that the optimizer was first given "
                f"({self.knobs.given['learning_rate']:.3g}), not to the present one",
            )

    def _read(self) -> Interval:
        """What happened since the last decision, on the CPU: the one moment that waits for the device."""
        measurement = self._hooks.measurement or Measurement()
        totals = measurement.totals(self.optimizer)
        self._measured, self._trains = measurement, measurement.trains
        losses = self._losses.values
        numbers = torch.cat([losses.to(totals.device), totals])
        numbers = self._ranks.mean(numbers).cpu()
        measured = measurement.conclude(numbers[len(losses) :].tolist())
        self._calls.look_at(numbers[: len(losses)], step=self._step, moved=measured.tensor_update)
        return Interval(
            losses=numbers[: len(losses)].double(),
            log_rate=self._log_rate,
            last_step=self._last_step,
            boundaries=self._timetable.boundaries(self._decisions),
            **vars(measured),
        )

    def _judge(self, interval: Interval) -> str | None:
        """Why the network is to be taken back now; None if it is not."""
        opens, closes = self._opens, self._timetable.closes(self._decisions)
        finite = math.isfinite(interval.weight_norm)
        verdict = self._guard.verdict(interval, self._memory, opens=opens, closes=closes)
        if verdict is not None and finite and not opens and self._guard.in_vain(interval, self._memory):
            blind = not interval.losses[-1].isfinite()
            what = "is not finite" if blind else "stays far above what it was"
            verdict = UNDONE if self._guard.undo(interval) else None
            how = "as it is" if verdict is None else f"with the network of step {self._guard.step}"
            self._notices.tell(
                "loss" if blind else "given up",
                f"the loss {what}, and putting the network back to an earlier copy does not help: the run goes on from "
                f"step {self._step} {how}; check the data and the loss function",
            )
            self._guard.begin_again(blind=blind)
            self._memory = self._memory.from_here(interval)
        before = [decision.reason for decision in self._history.decisions[1 - STUBBORN :]]
        if not finite and before == [verdict] * (STUBBORN - 1):
            self._notices.tell(
                "not finite",
                f"the weights were not finite at {STUBBORN} decisions in a row, though the network was put back and "
                f"the rate cut at each (step {self._step}): check the data, the loss function and the precision",
            )
        if verdict is None and not finite:
            self.close()
            raise NonFiniteWeights(self._step, self._rate)
        return verdict

    @property
    def _opens(self) -> bool:
        """Whether the decision lies in the guard's window; `extend` opens none for a run that has left its own."""
        return self._guard.holds_start and self._timetable.opens(self._decisions)

    def _observe(self, interval: Interval, verdict: str | None) -> Float[Tensor, " feature"]:
        """The features; the network is taken back, and what is remembered of it with it."""
        features, after = observe(replace(interval, taken_back=verdict not in (None, UNDONE)), self._memory)
        if verdict is not None:
            counts = verdict != UNDONE and not self._opens
            if counts:
                self._guard.leave(self._step, interval, self._memory)
            self._guard.take_back(counts=counts)
            self._measured = None
            if verdict == ANOTHER_LOSS:
                after, self._policy_memory = Memory.of_one_run(), self.policy.initial_memory()
            elif self._guard.memory is not None:
                after = Memory.of_one_run(self._guard.memory)._replace(highest=after.highest)
        self._memory = after
        return features

    @property
    def _rate(self) -> float:
        return self.knobs.given["learning_rate"] / BELOW * math.exp(self._log_rate)

    def _record(self, interval: Interval, **rest: Any) -> None:
        decision = Decision(step=self._step, loss=float(interval.losses.mean()), rate=self._rate, **rest)
        self._history.decisions.append(decision)

    def _tell(self) -> None:
        """Call the user's functions with the last decision, when all is done."""
        decision = self._history.decisions[-1]
        if decision.back_to is not None and self._parts.on_rollback is not None:
            self._parts.on_rollback(decision)
        if self._parts.on_decision is not None:
            self._parts.on_decision(decision)

    def _write_losses(self) -> None:
        new = self._losses.values[self._written :]
        first = self._step - len(self._losses.values) + self._written + 1
        self._history.extend(loss=new, rate=self._rates.column(first, len(new)))
        self._written += len(new)

    @property
    def total_steps(self) -> int | None:
        """How many steps the run has; None if unknown."""
        return self._timetable.total_steps

    @property
    def history(self) -> Logbook:
        """Loss and rate of each step so far, and every decision and intervention (``history.decisions``)."""
        self._write_losses()
        return self._history

    def close(self) -> None:
        """End the run: the last rate stays, the hooks and all copies go. Happens by itself after ``total_steps``."""
        self._write_losses()
        self._over = True
        self._hooks.close()
        self._guard.close()
