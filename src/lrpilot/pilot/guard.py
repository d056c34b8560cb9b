"""Taking a network back to where it was."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lrpilot.core.snapshot import parameters_of
from lrpilot.core.state import StateDict
from lrpilot.errors import InvalidArgument

from .arithmetic import isfinite
from .buffers import Buffers
from .copies import Copy
from .interval import MEASURED_STEPS, Interval
from .memory import PROGRESS, Memory, anchored, log_losses
from .soundness import another_loss, blown_up, lost, takes_back

if TYPE_CHECKING:
    from jaxtyping import Float


PATIENCE = 3
"""So often is a network taken back to one copy. If it is lost again from there, the copy does not help."""


SMALL = 16_000_000
"""Of a network with no more parameters a copy is kept throughout: its memory will hardly be missed."""

ANOTHER_LOSS = "the losses before were of another size"
"""The verdict after which the run begins again."""

UNDONE = "the copy was worse than the network that was left for it"
"""The verdict after which that network is back."""

NOT_FINITE = "the loss was not finite"


class Guard:
    """Takes a network back that its learning rate has destroyed: weights, optimizer state and running statistics.

    It holds a copy of the network before its first step until the window has closed on a good network. With
    ``rollback``, and wherever the network is `SMALL`, it then goes on: at a decision at which all is well a second copy
    is taken, which takes the first one's place when the interval that follows has ended well too; before, the network
    may have been spoiled by its last step.

    Weights that are not finite always go back to the copy. One to which the network was taken back `PATIENCE` times in
    vain for another reason is given up, and the run goes on from where it is. The network that is left for the copy is
    kept for one interval; if the copy turns out worse, the run goes on from the network that was left.

    Args:
        optimizer: of the network.
        rollback: go back after the window closes as soon as half of what was learned is lost, not only when all is.
        buffers: of the network; those that the first steps change belong to the copies. None: looked for.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, *, rollback: bool, buffers: Buffers | None = None) -> None:
        self.rollback = rollback
        self._optimizer = optimizer
        self._buffers = Buffers(optimizer) if buffers is None else buffers
        self._untouched = self._buffers.copies()
        self._changing: list[int] | None = None
        self._good: Copy | None = None
        self._unproven: Copy | None = None
        self._left: Copy | None = None  # at the last decision, for the good copy
        self._returns = 0  # to the good copy
        self._returned = False  # at the last decision
        self._blind = False  # given up on losses that are not finite, which tell nothing

    @property
    def step(self) -> int:
        """After how many steps the copy was taken that the network goes back to."""
        return 0 if self._good is None else self._good.step

    @property
    def returns(self) -> int:
        """How often the network has gone back to it since the window closed."""
        return self._returns

    @property
    def memory(self) -> dict[str, float] | None:
        """What the pilot remembered then; None if the copy is of the start."""
        return None if self._good is None else self._good.memory

    @property
    def holds_start(self) -> bool:
        """Whether the copy is of the network before its first step."""
        return self._good is not None and self._good.memory is None

    @property
    def started(self) -> bool:
        """Whether the first step has been taken."""
        return self._changing is not None

    def remember_start(self, optimizer: torch.optim.Optimizer) -> None:
        """To be called right before the first step, when a forward pass has already moved the running statistics."""
        self._changing = self._buffers.changed(self._untouched)
        untouched = {number: self._untouched[number] for number in self._changing}
        self._good = Copy.taken(0, None, optimizer, untouched)
        self._untouched = {}

    def verdict(self, interval: Interval, memory: Memory, *, opens: bool, closes: bool) -> str | None:
        """Why the network is to be taken back now; None if it is not, or if there is no copy.

        Args:
            interval: what happened since the last decision.
            memory: what the pilot remembers of the time before.
            opens: whether the decision lies in the window, in which networks worse than untrained are taken back.
            closes: whether it is the last one within.
        """
        if self._good is None:
            return None
        if not isfinite(interval.weight_norm):
            return "the weights were not finite"
        verdict = self._harm(interval, memory, opens=opens, closes=closes)
        return NOT_FINITE if verdict is not None and not interval.losses.isfinite().all() else verdict

    def _harm(self, interval: Interval, memory: Memory, *, opens: bool, closes: bool) -> str | None:
        """What the losses tell against the network."""
        if lost(interval, memory, half=False):
            return "all that the network had learned was lost"
        if opens and takes_back(interval, memory, closing=closes):
            worse = takes_back(interval, memory, closing=False)
            return (
                "the loss was higher than the untrained network's" if worse else "no progress after a far higher rate"
            )
        if self.holds_start and another_loss(interval, memory):
            return ANOTHER_LOSS
        if blown_up(interval, memory):
            return "the loss was far higher than the untrained network's"
        if self.rollback and not opens and lost(interval, memory, half=True):
            return "more than half of what the log loss had gained was lost"
        return None

    def in_vain(self, interval: Interval, memory: Memory) -> bool:
        """Outside the window: whether a network whose weights are finite would be taken back once more for nothing.

        It has been too often, or the copy itself gives losses far above those that it gave when it was taken: then the
        loss function or the data have changed.
        """
        blind = self._blind and not interval.losses.isfinite().any()
        return blind or self._returns >= PATIENCE or (self._returned and _another_loss(interval, memory))

    def begin_again(self, *, blind: bool) -> None:
        """Going back did not help: the run goes on from where it is. Weights that are not finite still go back.

        Args:
            blind: whether the losses are not finite. Until one is, they are no reason to go back again.
        """
        self._returns, self._returned, self._blind = 0, False, blind

    def undo(self, interval: Interval) -> bool:
        """Put the network that was left in the place of the copy, if it was better: the next `take_back` restores it.

        Args:
            interval: the one after the return, whose first finite loss is the copy's.

        Returns:
            Whether it was better.
        """
        left, self._left = self._left, None
        if left is None or not left.loss < float(interval.first):
            return False
        self._good = left
        return True

    def give_up(self) -> None:
        """Free the copies: the run goes on from where it is."""
        self._good = self._unproven = self._left = None
        self.begin_again(blind=False)

    def look_after(self, step: int, interval: Interval, memory: Memory) -> None:
        """Outside the window, once an interval ends well: replace the copy of the start, or free it.

        A network that has learned nothing yet has nothing to lose by going back, and keeps it.

        Args:
            step: how many steps the network has taken.
            interval: what happened since the last decision; the network has not been taken back now.
            memory: what the pilot remembers from now on.
        """
        if self._good is None and not self._keeps:
            return  # all has been well once, and nothing is kept
        self._returned, self._left = False, None
        unproven, self._unproven = self._unproven, None
        if takes_back(interval, memory, closing=False) or not ended_well(interval.losses):
            return
        self._blind = False
        if max(memory.best, memory.last) > PROGRESS:
            return
        if not self._keeps:
            self.give_up()
            return
        if unproven is not None:
            self._good, self._returns = unproven, 0
        self._unproven = self._copy(step, memory)

    def leave(self, step: int, interval: Interval, memory: Memory) -> None:
        """To be called before `take_back`, outside the window: keep the network as it is, should the copy be worse.

        One whose weights are not finite is not kept, nor a large one without ``rollback``.

        Args:
            step: how many steps it has taken.
            interval: what happened since the last decision.
            memory: what the pilot remembers, of which nothing but the highest rate would count.
        """
        late = interval.losses[len(interval.losses) // 2 :]
        loss = float(max(late.mean(), late[-1]))  # what changed the losses may have done so at the last step
        fresh = Memory.of_one_run()._replace(highest=memory.highest)
        keeps = self._keeps and isfinite(interval.weight_norm)
        self._unproven = self._left = None  # there are never more than two copies at a time
        self._left = self._copy(step, fresh)._replace(loss=loss) if keeps else None

    def _copy(self, step: int, memory: Memory) -> Copy:
        return Copy.taken(step, memory, self._optimizer, self._buffers.copies(self._changing))

    def take_back(self, *, counts: bool = True) -> None:
        """Put the network back to the copy.

        Args:
            counts: whether this is one of the `PATIENCE` times; it is not in the window.
        """
        if self._good is not None:
            self._good.restore(self._buffers)
            self._unproven = None
            self._returns += counts
            self._returned = counts

    @property
    def _keeps(self) -> bool:
        """Whether copies are taken throughout."""
        return self.rollback or sum(parameter.numel() for parameter in parameters_of(self._optimizer)) <= SMALL

    def close(self) -> None:
        """Free everything."""
        self.give_up()
        self._untouched = {}

    def state_dict(self) -> StateDict:
        """The copies, if there are any, and which buffers belong to them."""
        copies = {"good": self._good, "unproven": self._unproven, "left": self._left}
        return {
            "changing": self._changing,
            "returns": self._returns,
            "returned": self._returned,
            "blind": self._blind,
            **{name: None if copy is None else copy.state_dict(self._buffers) for name, copy in copies.items()},
        }

    def load_state_dict(self, state: StateDict) -> None:
        """Take up what :meth:`state_dict` gave, for the same network.

        Raises:
            InvalidArgument: it is of another network; nothing is changed then.
        """
        self._good = self._saved(state["good"])
        try:
            self._unproven = self._saved(state["unproven"])
            self._left = self._saved(state.get("left"))  # 0.2 did not keep it
        except InvalidArgument:  # taken after parameters had joined that this optimizer lacks: another one will come
            self._unproven = self._left = None
        self._returns, self._returned, self._changing = state["returns"], state["returned"], state["changing"]
        self._blind = state.get("blind", False)  # 0.2 did not keep it
        self._untouched = {} if self.started else self._buffers.copies()

    def _saved(self, state: StateDict | None) -> Copy | None:
        return None if state is None else Copy.of(state, self._optimizer, self._buffers)


def ended_well(losses: Float[Tensor, " step"]) -> bool:
    """Whether an interval's losses are finite and the last few of them not twice as high as all."""
    return bool(losses.isfinite().all() & (losses[-MEASURED_STEPS:].mean() <= 2 * losses.abs().mean()))


def _another_loss(interval: Interval, memory: Memory) -> bool:
    """Whether the first loss of an interval is more than three times those remembered."""
    first = log_losses(interval.losses[:1], anchored(interval, memory))
    return bool(first - memory.last > math.log(3.0))
