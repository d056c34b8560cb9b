"""Taking a network back to where it was."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lrpilot.core.snapshot import Snapshot
from lrpilot.core.state import StateDict
from lrpilot.errors import InvalidArgument

from .buffers import Buffers
from .features import observe
from .interval import MEASURED_STEPS, Interval
from .memory import PROGRESS, Memory
from .soundness import takes_back

if TYPE_CHECKING:
    from jaxtyping import Float


WIDEST = 14.0
"""The pilot moves the log rate no farther than this from its start, up or down: six decades."""


class Guard:
    """Takes a network back that its learning rate has destroyed: weights, optimizer state and running statistics.

    Holds one copy of them at most: of the network before its first step until the window has closed on a good network;
    with ``rollback`` of the last good one from then on.

    Args:
        optimizer: of the network.
        rollback: go on after the window closes.
        buffers: of the network; those that the first steps change belong to the copies. None: looked for.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, *, rollback: bool, buffers: Buffers | None = None) -> None:
        self.rollback = rollback
        self.step: int = 0
        """After how many steps the copy was taken."""
        self.memory: dict[str, Tensor] | None = None
        """What the pilot remembered then; None if the copy is of the start."""
        self._optimizer = optimizer
        self._buffers = Buffers(optimizer) if buffers is None else buffers
        self._untouched = self._buffers.copies()
        self._changing: list[int] | None = None
        self._copies: dict[int, Tensor] = {}  # of the buffers, beside the snapshot
        self._snapshot: Snapshot | None = None

    @property
    def started(self) -> bool:
        """Whether the first step has been taken."""
        return self._changing is not None

    def remember_start(self, optimizer: torch.optim.Optimizer) -> None:
        """To be called right before the first step, when a forward pass has already moved the running statistics."""
        self._changing = self._buffers.changed(self._untouched)
        self._copies = {number: self._untouched[number] for number in self._changing}
        self._snapshot = Snapshot(optimizer)
        self._untouched = {}

    def verdict(self, interval: Interval, memory: Memory, *, opens: bool, closes: bool) -> str | None:
        """Why the network is to be taken back now; None if it is not, or if there is no copy.

        Args:
            interval: what happened since the last decision.
            memory: what the pilot remembers of the time before.
            opens: whether the decision lies in the window, in which networks worse than untrained are taken back.
            closes: whether it is the last one within.
        """
        if self._snapshot is None:
            return None
        if not interval.weight_norm.isfinite():
            return "the weights were not finite"
        if not (opens or self.rollback):
            return None
        if takes_back(interval, memory, closing=False):
            return "the loss was higher than the untrained network's"
        if closes and takes_back(interval, memory, closing=True):
            return "no progress after a far higher rate"
        if not opens and _lost(interval, memory):
            return "more than half of what the log loss had gained was lost"
        return None

    def look_after(self, step: int, interval: Interval, memory: Memory) -> None:
        """Outside the window, once an interval ends well: free the copy of the start; with rollback, replace it.

        A network that has learned nothing yet has nothing to lose by going back, and keeps it.

        Args:
            step: how many steps the network has taken.
            interval: what happened since the last decision; the network has not been taken back now.
            memory: what the pilot remembers from now on.
        """
        if self._snapshot is None:
            return  # all has been well once, and nothing is kept
        if takes_back(interval, memory, closing=False) or not ended_well(interval.losses):
            return
        if memory.best > PROGRESS:
            return
        self._free()  # never two copies at a time
        if self.rollback:
            self._snapshot = Snapshot(self._optimizer)
            self._copies = self._buffers.copies(self._changing)
            self.step, self.memory = step, memory._asdict()

    def take_back(self) -> None:
        """Put the network back to the copy."""
        if self._snapshot is not None:
            self._snapshot.restore()
            self._buffers.restore(self._copies)

    def close(self) -> None:
        """Free everything."""
        self._free()
        self._untouched = {}

    def _free(self) -> None:
        self._snapshot, self._copies = None, {}

    def state_dict(self) -> StateDict:
        """The copy, if there is one, and which buffers belong to it."""
        return {
            "step": self.step,
            "memory": self.memory,
            "changing": self._changing,
            "copies": dict(self._copies),
            "snapshot": None if self._snapshot is None else self._snapshot.state_dict(),
        }

    def load_state_dict(self, state: StateDict) -> None:
        """Take up what :meth:`state_dict` gave, for the same network.

        Raises:
            InvalidArgument: it is of another network; nothing is changed then.
        """
        now, snapshot = self._buffers.tensors(), None
        wrong = [n for n, copy in state["copies"].items() if n not in now or now[n].shape != copy.shape]
        if wrong:
            raise InvalidArgument("the saved copy's buffers", f"{len(now)} of the shapes that they have here", wrong)
        if state["snapshot"] is not None:
            snapshot = Snapshot(self._optimizer)
            snapshot.load_state_dict(state["snapshot"])
        self.step, self.memory, self._changing = state["step"], state["memory"], state["changing"]
        self._snapshot, self._copies = snapshot, dict(state["copies"])
        self._untouched = {} if self.started else self._buffers.copies()


def ended_well(losses: Float[Tensor, " step"]) -> bool:
    """Whether an interval's losses are finite and the last few of them not twice as high as all."""
    return bool(losses.isfinite().all() & (losses[-MEASURED_STEPS:].mean() <= 2 * losses.abs().mean()))


def _lost(interval: Interval, memory: Memory) -> bool:
    """Whether more than half is lost of what the log loss had gained, and that was more than a factor of two."""
    _, after = observe(interval, memory)
    return bool((memory.best < -math.log(2.0)) & (after.last > memory.best / 2))
