"""Which calls of the pilot count: those since whose predecessor the optimizer has taken a step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from .living import schedulers_of
from .loaders import batches_for
from .optimizers import inner_optimizers, names
from .soundness import fitted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence, Set

    from torch import Tensor
    from torch.optim import Optimizer

    from lrpilot.core.notices import Notices

    from .buffers import Buffers
    from .interval import Interval
    from .loss_buffer import Loss, LossBuffer
    from .memory import Memory

IN_VAIN = 100
"""So many calls in a row without a step of the optimizer are told of: no one accumulates over more micro-batches."""


UNHEARD = 100
"""After so many steps, or half of the run, the pilot should have been called."""

SAME = 50
"""After so many steps with one and the same loss, that loss is told of."""
MOVES = 1e-4
"""Not where a step moves the weights by no more than this share of their size: their loss may well stay the same."""

FIRST_LOOK = 8
"""From so many steps on it shows how many batches each takes."""

RISEN = math.log(1.5)
"""A log loss that stands this far above the first one after a quarter of the run is hardly that of a network that
learns."""


class Calls:
    """Takes the calls that are not one to a step, and tells of what is amiss in them.

    Args:
        optimizers: whose steps count.
        buffers: of the network, which tell whether it is being evaluated.
        losses: where the losses go.
        notices: where the user is told.
    """

    def __init__(self, optimizers: Sequence[Optimizer], buffers: Buffers, losses: LossBuffer, notices: Notices) -> None:
        self._optimizers, self._buffers, self._losses, self._notices = optimizers, buffers, losses, notices
        self._trains_evaluating = False  # whether the network is trained in evaluation mode
        self._in_vain = 0  # calls in a row without a step
        self._most_in_vain = 0  # before any step
        self._all_in_vain = 0
        self._began_in_vain = False
        self._versions: list[int] | None = None
        self._apart: list[Set[int]] = []  # which optimizers had not stepped, at decisions at which some had not
        self._only_loss: float | None = None
        self._compares_losses = True  # with the first one, as long as they are like it
        self._looked = False  # whether steps have been compared with batches

    def without_step(self, loss: Loss | None, *, step: int) -> None:
        """No step has been taken since the last call: a micro-batch, a step skipped by a scaler, or a mistake."""
        evaluates = self._buffers.evaluating and not self._trains_evaluating
        if evaluates or not torch.is_grad_enabled():
            self._notices.tell("evaluation", "pilot.step was called in evaluation; such losses are left out")
            return
        self._losses.append_part(loss)
        self._in_vain += 1
        self._all_in_vain += 1
        if step == 0:
            self._before_the_first_step()
        if self._in_vain == IN_VAIN:
            self._tell_unseen(f"in {IN_VAIN} calls of pilot.step")

    def _compare_with_batches(self, step: int, total_steps: int) -> None:
        batches = batches_for(step, total_steps)
        if batches is not None:
            self._notices.tell(
                "behind",
                f"{names(self._optimizers)} has taken {step} steps for {batches} batches: total_steps counts steps, and"
                f" if {total_steps} are batches, the run will end before its time; make it "
                f"{math.ceil(total_steps / round(batches / step))}",
            )

    def _tell_apart(self) -> None:
        """Some optimizers left out steps at two decisions: once may be a scaler's doing."""
        if len(self._apart) == 2:
            count = len(self._optimizers)
            who = " and ".join(
                f"{type(self._optimizers[i]).__name__} (optimizer {i + 1} of {count})"
                for i in sorted(self._apart[0] | self._apart[1])
            )
            self._notices.tell(
                "apart",
                f"{who} left out steps that others took, so that the pilot sees little of the training: one Pilot "
                "is for optimizers that step together; make a Pilot for each, and call step(loss) of each",
            )

    def _before_the_first_step(self) -> None:
        parameters = [p for o in self._optimizers for g in o.param_groups for p in g["params"] if p.requires_grad]
        versions = [parameter._version for parameter in parameters]
        if self._versions is None:
            gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
            # After a step that was skipped for gradients that are not finite, they still stand there.
            self._began_in_vain = bool(gradients) and all(bool(g.isfinite().all()) for g in gradients)
        elif versions != self._versions:
            self._tell_unseen("though the weights change")
        self._versions = versions

    def _tell_unseen(self, when: str) -> None:
        inner = " and ".join(inner_optimizers(self._optimizers))
        hint = f" (perhaps its {inner})" if inner else ""
        kinds = names(self._optimizers)
        self._notices.tell(
            "unseen", f"no step of {kinds} has been seen {when}: give Pilot the optimizer whose step() is called{hint}"
        )

    def unheard(self, steps: int) -> None:
        """So many steps were taken and no decision made: tell of it if there was no call either."""
        if not len(self._losses.values) and not self._losses.has_parts:
            self._notices.tell(
                "uncalled",
                f"{names(self._optimizers)} has taken {steps} steps, and pilot.step was never called: without it the "
                "learning rate stays as it is",
            )

    def with_step(self, *, missed: int) -> None:
        """A step has been taken, and ``missed`` more for which the pilot was not called."""
        self._most_in_vain, self._in_vain = max(self._most_in_vain, self._in_vain), 0
        if missed:
            self._compares_losses = False  # of which one now stands for several steps
            self._notices.tell(
                "missed",
                f"{names(self._optimizers)} took {missed + 1} steps between two calls of pilot.step: call it after "
                "each step; the steps are counted, and this loss is used for the skipped ones",
            )

    def forgotten(self) -> None:
        """The pilot is gone, and was never called."""
        self._notices.tell(
            "forgotten",
            f"the Pilot that was made for {names(self._optimizers)} is gone, for no variable held it, and the learning "
            "rate stays as it is: write pilot = Pilot(...), and call pilot.step(loss) after each step",
        )

    def left_over(self, total_steps: int) -> None:
        """A call after the end: of micro-batches that fill no step any more, unless there are too many of them."""
        self._in_vain += 1
        if self._in_vain > self._most_in_vain:
            self.after_the_end(total_steps)

    def after_the_end(self, total_steps: int) -> None:
        """A call came later than the last step that was announced."""
        self._notices.tell(
            "overrun",
            f"pilot.step is called after the {total_steps} steps that were announced: the rate stays as it is "
            "(total_steps counts the optimizer's steps, not epochs; pilot.extend(total_steps) announces more)",
        )

    def look_at(self, losses: Tensor, *, step: int, moved: float) -> None:
        """The losses before a decision: whether they have been one number all along, though the weights move.

        Args:
            losses: on the CPU.
            step: of the decision.
            moved: by what share of its size a weight tensor has moved in the last step.
        """
        if not self._compares_losses:
            return
        only = float(losses[0]) if self._only_loss is None else self._only_loss
        self._only_loss, self._compares_losses = only, bool((losses == only).all())
        if self._compares_losses and step >= SAME and moved > MOVES:
            self._notices.tell(
                "same",
                f"the loss has been {only:.4g} in all {step} steps, though the weights move: give pilot.step the loss "
                "of each step's batch",
            )

    def look_at_interval(self, interval: Interval, memory: Memory, *, step: int, total_steps: int | None) -> None:
        """At a decision: whether losses are finite and gradients not 0, and whether the loss stays far above its first.

        Args:
            interval: which has just ended.
            memory: after it.
            step: of the decision.
            total_steps: of the run; None if unknown.
        """
        if interval.gradient_norm == 0 and not fitted(interval, memory):
            self._notices.tell(
                "zero",
                "all gradients of the last steps are zero, so the learning rate is not raised: if they stay so, are "
                "the optimizer's parameters those of the model that is trained?",
            )
        count, lost = len(interval.losses), int((~interval.losses.isfinite()).sum())
        if lost:
            self._notices.tell(
                "loss",
                f"{lost} of the {count} losses before step {step} were not finite, though the weights are; "
                "the rate is cut where the last one is not: check the data, the loss function and the precision",
            )
        late = step >= (2 * UNHEARD if total_steps is None else total_steps / 4)
        if late and not lost and math.isfinite(memory.first) and min(memory.long, memory.last) > RISEN:
            self._notices.tell(
                "risen",
                f"the loss stands at {interval.losses.mean():.4g} after {step} steps, far above the first one, "
                f"{memory.first:.4g}: either training is diverging, or pilot.step is given a metric that grows, such "
                "as accuracy, in place of the loss",
            )

    def begins_anew(self, optimizer: Optimizer) -> None:
        """Before the first step: a state has been loaded into the optimizer, but none into the pilot made for it."""
        if any(_has_stepped(state) for state in optimizer.state.values()):
            self._notices.tell(
                "anew",
                f"{names(self._optimizers)} has loaded the state of earlier steps, but the pilot begins a new run, at "
                "a tenth of the given rate: to resume a run, load the pilot's state too (pilot.load_state_dict)",
            )

    def compare_lengths(self, planned: int | None, before: int | None, *, step: int) -> None:
        """A state is loaded into a pilot made for another length: perhaps for the steps that are left of the run."""
        if planned is not None and before is not None and planned == before - step:
            self._notices.tell(
                "left",
                f"total_steps={planned} is what was left of the run at step {step}, but total_steps counts those "
                f"{step} too: the run ends {planned - step} steps from here; make it {before}",
            )

    def look_back(self, *, step: int, total_steps: int | None, idle: Set[int] = frozenset()) -> None:
        """At a decision: what only shows over several calls. ``idle``: places of optimizers that left the step out."""
        if step >= FIRST_LOOK and idle:
            self._apart.append(idle)
            self._tell_apart()
        if step >= FIRST_LOOK and total_steps is not None and not self._looked:
            self._looked = True
            self._compare_with_batches(step, total_steps)
        self._trains_evaluating = self._buffers.evaluating
        if self._began_in_vain and self._all_in_vain == 1 and step >= 3:
            self._notices.tell("order", "call pilot.step after optimizer.step, not before it")
            self._began_in_vain = False

    def rates_differ(self, *, loaded: bool) -> None:
        """At a decision: somebody else has written a rate; ``loaded``: or an optimizer's state, without the pilot's."""
        if self._notices.told("rates"):
            return  # finding out whose they are takes a tenth of a second
        found = [name for optimizer in self._optimizers for name in schedulers_of(optimizer)]
        who = " and ".join(found) if found else "something else"
        told = f"{who} writes the learning rate too: leave the rate to the pilot alone"
        if loaded and not found:
            told = "the optimizer's load_state_dict brought back an earlier learning rate: load the pilot's state too"
        self._notices.tell("rates", told)


def _has_stepped(state: Mapping[str, Any]) -> bool:
    """Whether an optimizer's state of a parameter is from a step; Adagrad's is there before its first one."""
    return float(state["step"]) > 0 if "step" in state else any(value is not None for value in state.values())


def first_call_by(total_steps: int | None) -> int:
    """At which step the pilot, which is called after each, should have been called; at the first it cannot have been.

    >>> [first_call_by(total_steps) for total_steps in (1, 5, 80, 1000, None)]
    [2, 2, 40, 100, 100]
    """
    return UNHEARD if total_steps is None else min(UNHEARD, max(2, total_steps // 2))
