"""The pilot: a policy learned beforehand drives the learning rate, in the shape of a scheduler.

`deciding` says what happens at a decision; this is the part that lives in a user's training loop.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from lrpilot.core.knobs import LearningRate
from lrpilot.core.schedule import recorded_schedule
from lrpilot.core.state import StateDict, load_all_or_nothing, on_device
from lrpilot.errors import InvalidArgument

from .buffers import Buffers
from .deciding import Deciding
from .defaults import own_defaults
from .loss_buffer import Loss
from .measurement import Measurement
from .memory import Memory
from .optimizers import counterparts, names, together, unwrapped
from .parts import Listener, Parts
from .policy import Drives
from .shape import Shape
from .timetable import Timetable

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


class Pilot(Deciding, Shape):
    """Drives an optimizer's learning rate with a pretrained policy: no rate to find, no closure, no extra forward pass.

    >>> import torch
    >>> from lrpilot import Policy
    >>> model = torch.nn.Linear(3, 1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> pilot = Pilot(optimizer, total_steps=100, policy=Policy())
    >>> for _ in range(100):
    ...     loss = (model(torch.ones(8, 3)) - 1).square().mean()
    ...     optimizer.zero_grad()
    ...     loss.backward()
    ...     optimizer.step()
    ...     pilot.step(loss)

    Begins at a tenth of the optimizer's rate, at once: a rate that is too high may harm a network for good, while a
    decision may raise one that is too low tenfold. It goes up to six decades above the given rate, and twelve below.

    Decisions are taken at about fifty moments of a run, dense at its beginning. In the last steps before each,
    the optimizer's step hooks read gradients and updates, and up to three copies of the trainable parameters exist;
    otherwise a step keeps its loss on its device and does nothing more. Ratios between parameter groups are kept.

    In the first twentieth of the run, if the loss rises to 1.5 times its first value, or nothing has been learned after
    a much higher rate, weights, optimizer state and buffers go back to the start and the rate is cut. One copy is kept
    for this until that twentieth has gone well and something has been learned. Afterwards, with up to 16 million
    parameters or ``rollback``, they go back to the last good copy if weights are not finite, if all that was learned is
    lost, or if the losses are ten times the first. A loss that is not finite right before a decision cuts the rate.

    Steps are the optimizer's. Under gradient accumulation :meth:`step` may be called for every micro-batch: the losses
    between two steps are averaged. Each kind of mistake in the loop is reported once, as a `PilotWarning`. Where
    `torch.distributed` is initialised, all ranks of ``process_group`` decide alike, on the mean of what they see.

    Args:
        optimizer: any torch optimizer, at any rate, which is changed at once; or several that train one network, whose
            ratios are kept. Of a wrapper such as Accelerate's, the one within is driven. A step compiled with
            ``fullgraph=True`` cannot be measured.
        total_steps: how many steps the optimizer will take. The last rate stays in force beyond. None if unknown:
            decisions then come ever more rarely without an end, until :meth:`finish` lets the rate decay to zero.
        policy: ``"shipped"``, the path of a policy file, or a `lrpilot.pilot.policy.Policy`.
        rollback: keep a copy of the last good network throughout whatever its size, and go back to it also when the
            losses of eight steps or more surely say that half of what the log loss had gained is lost.
        network: the module (or several) whose buffers go back with the weights; None looks for those that hold one of
            the optimizer's parameters.
        process_group: None for the default one. A group of this rank alone lets it decide alone.
        on_decision: called with every `Decision`.
        on_rollback: called after the network has been taken back, with the `Decision` that did so: the moment to reset
            an average of the weights.

    Attributes:
        total_steps: of the run; None if unknown.
        last_epoch: how many steps have been taken, under the name that schedulers have for it.
        base_lrs: the rate that each group was given.
        history: a `Logbook` of losses, rates and decisions.

    Raises:
        InvalidArgument: an argument outside its range.
    """

    def __init__(
        self,
        optimizer: Optimizer | Sequence[Optimizer],
        total_steps: int | None = None,
        *,
        policy: str | Path | Drives = "shipped",
        rollback: bool = False,
        network: nn.Module | Sequence[nn.Module] | None = None,
        process_group: ProcessGroup | None = None,
        on_decision: Listener | None = None,
        on_rollback: Listener | None = None,
    ) -> None:
        optimizers = unwrapped(optimizer)
        buffers = Buffers(together(optimizers), network)
        super().__init__(
            Parts.checked(optimizers, buffers, total_steps, policy, rollback, process_group, on_decision, on_rollback)
        )

    def step(self, loss: Loss | None = None) -> None:
        """Call once after each step of the optimizer. At a decision, changes the rates in ``param_groups``.

        Args:
            loss: of this step's batch: a scalar of any sign, on any device, with its graph or without. Multiplying all
                losses by a constant changes nothing. Left out where a call before the step has given it, or several
                have given those of its micro-batches: so do trainers that know no loss when they step their scheduler.

        Raises:
            InvalidArgument: the loss is not a scalar; or another pilot has been made for the optimizer since.
            NonFiniteWeights: the weights are not finite, and there is no copy to go back to. The pilot is closed then.
        """
        self._hooks.called = True
        if self._hooks.taken != self._expected:
            self._step_unevenly(loss)
            return
        self._losses.append(loss)
        self._step = self._expected
        self._expected += 1
        if self._step == self._next:
            self._end_interval()
        elif self._step == self._watch:
            self._hooks.measurement = Measurement()

    def _step_unevenly(self, loss: Loss | None) -> None:
        """A call that is not the first one after one step."""
        self._refuse_if_replaced()
        if self._over:
            if self._step == self.total_steps:
                self._calls.left_over(self._step)
            return
        if self._hooks.captured:
            self._hooks.taken = self._step + 1
        elif self._hooks.taken == self._step:
            self._calls.without_step(loss, step=self._step)
            self._expected = -1  # the next call has parts to join
            return
        missed = self._hooks.taken - self._step - 1
        self._losses.append(self._losses.take_parts() if loss is None else loss)
        self._losses.join(repeated=missed)
        known = self._hooks.resumed == self._step + 1 and missed > 0  # a state was taken before that step's call
        self._calls.with_step(missed=missed - known)
        self._step = self._hooks.taken
        self._expected = self._step + 1
        if self._step >= self._next:
            self._end_interval()
        elif self._step >= self._watch and self._hooks.measurement is None:
            self._hooks.measurement = Measurement()

    def export_schedule(self, optimizer: Optimizer, *, total_steps: int | None = None) -> LambdaLR:
        """The rates of this run as a plain scheduler for a fresh ``optimizer``: :meth:`Logbook.export_schedule`.

        Of several optimizers the rates are those of the one that the fresh one is like, in class or, if that does not
        tell, in its parameters' shapes.

        Raises:
            InvalidArgument: it is like none of them, or like some of different rates; or nothing was recorded.
        """
        given, like = LearningRate().given, counterparts(self._parts.optimizers, optimizer)
        shares = {given(each.param_groups[0]) / given(self.optimizer.param_groups[0]) for each in like}
        if len(shares) != 1:
            allowed = f"like one of {names(self._parts.optimizers)} in class and shapes"
            raise InvalidArgument("optimizer", allowed, type(optimizer).__name__)
        (share,) = shares
        rates = [rate * share for rate in self.history.replayable()]
        return recorded_schedule(optimizer, rates, total_steps=total_steps)

    def extend(self, total_steps: int) -> None:
        """Let the run be ``total_steps`` long in all, before its end or after it.

        The rate moves to where it would be if that had been announced: by what linear decays to zero over the two
        lengths differ at this step.

        Raises:
            InvalidArgument: so many steps have been taken already.
        """
        self._plan(Timetable(total_steps), keep_rate=False)

    def finish(self, steps: int) -> None:
        """End the run in ``steps`` steps, over which the rate decays to zero unless the policy holds it up.

        Args:
            steps: of the optimizer, from now on; at least 1.

        Raises:
            InvalidArgument: not a whole number of at least 1.
        """
        self._plan(self._timetable.cooling(self._step, steps), keep_rate=True)

    def _plan(self, timetable: Timetable, *, keep_rate: bool) -> None:
        self._refuse_if_replaced()
        if timetable.total_steps is not None and timetable.total_steps <= self._step:
            allowed = f"more than the {self._step} steps that have been taken"
            raise InvalidArgument("total_steps", allowed, timetable.total_steps)
        if self._over:
            self._listen()
        self._write_losses()
        decay = self._timetable.linear(self._decisions)
        self._timetable, self._decisions = timetable, timetable.decisions_by(self._step)
        if not keep_rate:
            self._move_to(self._log_rate + math.log(timetable.linear(self._decisions) / decay))
        self._mark()
        self._hooks.measurement = Measurement() if self._watch == self._step else None

    def state_dict(self) -> StateDict:
        """All that a bit-exact resume needs beside network, optimizer and policy; with it the guard's copy, if any."""
        measurement = self._hooks.measurement
        return {
            "total_steps": self._parts.total_steps,
            "optimizers": names(self._parts.optimizers),
            "timetable": self._timetable.state_dict(),
            "step": self._step,
            "taken": self._hooks.taken,
            "decisions": self._decisions,
            "over": self._over,
            "log_rate": self._log_rate,
            "last_step": self._last_step,
            "memory": self._memory._asdict(),
            "policy_memory": copy.deepcopy(self._policy_memory),
            "measurement": None if measurement is None else measurement.state_dict(self.optimizer),
            "history": self.history.state_dict(),
            "losses": self._losses.state_dict(),
            "knobs": self.knobs.state_dict(),
            "rates": self._rates.state_dict(),
            "guard": self._guard.state_dict(),
        }

    @own_defaults()
    def load_state_dict(self, state: StateDict) -> None:
        """Take up what :meth:`state_dict` gave. If this pilot was made for another length, the run gets that length.

        Raises:
            InvalidArgument: it does not fit this network, or has more steps than this run; nothing is changed then.
        """
        self._refuse_if_replaced()
        load_all_or_nothing(self, state, self._take_up)

    def _take_up(self, state: StateDict) -> None:
        if "last_epoch" in state:
            allowed = "that of a Pilot (delete the scheduler.pt that Hugging Face's Trainer wrote without one)"
            raise InvalidArgument("the saved state", allowed, "that of a scheduler")
        driven = names(self._parts.optimizers)
        if state.get("optimizers", driven) != driven:  # versions before 0.3 did not save it
            raise InvalidArgument("the saved state", f"that of a run with {driven}", state["optimizers"])
        self._timetable = Timetable.of(state["timetable"])
        self._step, self._decisions = state["step"], state["decisions"]
        self._log_rate, self._last_step = state["log_rate"], state["last_step"]
        self._memory = Memory.of_one_run(state["memory"])
        fresh = self.policy.initial_memory()
        remembered = on_device(state["policy_memory"], fresh.device)
        # What a policy of another size remembered is of no use to this one, which remembers from here on.
        self._policy_memory = remembered if remembered.shape == fresh.shape else fresh
        self._history.load_state_dict(state["history"])
        self._losses.load_state_dict(state["losses"])
        self.knobs.load_state_dict(state["knobs"])
        self._guard.load_state_dict(state["guard"])
        if self._over and not state["over"]:
            self._listen()
        self._rates.write(self._rate, step=self._step)  # the optimizer's state may have been loaded before this began
        self._rates.load_state_dict(state["rates"])
        self._written = len(self._losses.values)
        # One more than the steps that were counted, if the state was taken between a step and the call that follows.
        self._hooks.taken = self._hooks.resumed = state.get("taken", self._step)
        self._hooks.first = None if self._guard.started else self._before_the_first_step
        self._hooks.measurement = None
        if state["measurement"] is not None:
            self._hooks.measurement = Measurement()
            self._hooks.measurement.load_state_dict(state["measurement"], self.optimizer)
        self._mark()
        if self._parts.total_steps not in (state["total_steps"], self.total_steps):
            self._calls.compare_lengths(self._parts.total_steps, self.total_steps, step=self._step)
            self._plan(Timetable(self._parts.total_steps), keep_rate=False)
        elif state["over"]:
            self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {"parts": self._parts, "state": self.state_dict()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__init__(state["parts"])
        self.load_state_dict(state["state"])

    def __deepcopy__(self, memo: dict[int, Any]) -> Pilot:
        group = self._parts.process_group
        memo[id(group)] = group  # one cannot be copied
        twin = memo[id(self)] = type(self).__new__(type(self))
        twin.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        return twin
