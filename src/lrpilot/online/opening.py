"""The opening: a sweep of rates that tells the actor where to begin (deviation D8). The paper has none."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import pairwise
from statistics import median

import torch
from torch import Tensor

from lrpilot.core.arguments import number_in, whole
from lrpilot.core.snapshot import Snapshot
from lrpilot.core.state import StateDict
from lrpilot.errors import InvalidArgument


class Opening:
    """The first steps of a run: a sweep of the rate from low to high, to find where steps become too large.

    1. The rate begins at a hundredth of the optimizer's own, which may be far too high. As long as a step raises the
       loss of its own batch, the network is put back to its start and the rate divided by ten.
    2. From there the rate grows by a fifth in each step, until steps are too large: the last three together have raised
       the losses of the batches that came next (to first order, and by more than noise explains), or the loss has
       tripled. With saturated units a step of any size may still lower the loss of its own batch. Or what the sweep had
       learned is half lost: with momentum, or steps that are scaled, the harm of a rate shows some steps later.
    3. The network is put back to its start once more, for steps that large may have harmed it for good, and the actor
       takes over at a quarter of the last rate, or, where half was lost, of the rate at which the losses were lowest.
       The copy of the network is freed. If the climb began above that quarter, it began too high to tell the edge, and
       begins again at a tenth.
    4. With a few examples a batch most of a step is noise. A rate at which single steps do no harm is then too high for
       a long run: where the next batches kept surely less than a quarter of what the steps below that rate had
       promised, the rate is lowered in proportion, and :attr:`repeat` is the number of steps whose batches together
       make up for it. In doubt it is larger: too few let the rate climb, too many cost little. With fifty examples a
       batch it is hardly ever above 1.

    Attributes:
        rate: of the next step of the sweep; then the one that the actor takes over at.
        done: whether the sweep is over.
        repeat: for how many steps an action holds at the beginning, if the setting lets it (deviation D13).

    Args:
        below: divisor of the optimizer's rate, at which the sweep begins. A larger one costs steps, and saves networks
            whose rate was given too high.
        growth: factor of the rate in each step. A larger one is quicker and meets the edge less closely.
        cut: divisor of the rate after a step that raised the loss of its own batch.
        patience: how many of the last steps are judged together.
        tolerance: steps are too large when they raise the next batches' losses by more than this share of what they
            promised to lower their own by. A larger one bears more noise, and ends the sweep at higher rates. Where
            less than this share of what was promised is kept, batches are too small to be learned from one by one.
        small: steps that promise less than this share of the loss are not judged while the loss is above ``plateau``.
            Deep networks begin on a plateau, where the gradients of two batches have little in common; there the next
            batch's loss rises as often as it falls, at any rate, and says nothing about the rate.
        plateau: a share of the first losses. Once the loss is below it, small steps are judged too: they are small
            because little is left to gain. Half of what was learned is lost once the losses, having been below it, are
            nearer to the first ones than to their lowest.
        margin: divisor of the rate, at which the actor takes over.
        ruin: the network is lost when the last ``patience`` losses are together above this multiple of the first ones.
        noise: losses have risen, or fallen, when sums of ``patience`` of them differ by more than this many standard
            deviations of what batches alone do to such a difference, as neighbouring losses tell. With fifty examples a
            batch it decides next to nothing; with a few, of very different losses, the sweep would end by chance.
        limit: the sweep ends after so many steps at the latest, and its rate stays.
        again: a sweep that is over begins again when a loss is above this multiple of the running mean. No batch of the
            same loss function is; with another one the rate that was found holds no longer. The controller takes the
            last step back then, which may have been made with that loss at the old rate.

    Raises:
        InvalidArgument: a number outside its range.
    """

    def __init__(
        self,
        *,
        below: float = 100.0,
        growth: float = 1.2,
        cut: float = 10.0,
        patience: int = 3,
        tolerance: float = 0.25,
        small: float = 0.01,
        plateau: float = 0.75,
        margin: float = 4.0,
        ruin: float = 3.0,
        noise: float = 4.0,
        limit: int = 200,
        again: float = 1e5,
    ) -> None:
        number_in("below", 1, math.inf, below, ends="[)")
        for name, factor in (("growth", growth), ("cut", cut), ("again", again)):
            number_in(name, 1, math.inf, factor, ends="()")
        for name, size in (("tolerance", tolerance), ("small", small), ("noise", noise)):
            number_in(name, 0, math.inf, size)
        number_in("plateau", 0, 1, plateau, ends="(]")
        number_in("margin", 1, math.inf, margin, ends="[)")
        number_in("ruin", 1, math.inf, ruin, ends="(]")
        whole("patience", patience)
        whole("limit", limit)
        self.below, self.growth, self.cut, self.patience = below, growth, cut, patience
        self.tolerance, self.small, self.plateau = tolerance, small, plateau
        self.margin, self.ruin, self.noise = margin, ruin, noise
        self.limit, self.again = limit, again
        self._usual: float | None = None
        self._begin()

    def _begin(self) -> None:
        self.rate = math.nan
        self.done = False
        self.repeat = 1
        self._steps = 0
        self._recent: list[tuple[float, float]] = []
        self._losses: list[float] = []
        self._seen: list[float] = []  # the losses of all climbs, less the last of each that was left
        self._kept: list[tuple[float, float, float]] = []  # of each step judged: rate, decrement elsewhere, promised
        self._best = math.inf, math.nan  # the lowest of the last losses so far, and the rate then
        self._climbing = False
        self._lowest = math.nan  # rate of the first step that was kept
        self._snapshot: Snapshot | None = None
        self._saved: StateDict | None = None

    def attach(self, rate: float, optimizer: torch.optim.Optimizer, buffers: Callable[[], Iterable[Tensor]]) -> None:
        """Copy the network, at the first step (the sweep then starts below ``rate``) or the first after a resume.

        Parameters that join during the sweep are copied as they join.
        """
        if self.done:
            return
        if self._snapshot is not None:
            self._snapshot.extend()
            return
        self._buffers = buffers
        self._snapshot = Snapshot(optimizer, buffers())
        if self._saved is None:
            self.rate = rate / self.below
        else:
            self._snapshot.load_state_dict(self._saved)
            self._saved = None

    def look(self, loss: float) -> bool:
        """Take in the loss of a batch before its step. True if the sweep, long done, begins again with this step.

        Raises:
            InvalidArgument: the first loss is not above 0, so that its rises cannot be told as multiples of it.
        """
        if self._usual is None and not loss > 0:
            allowed = "above 0 where an opening measures its rises (deviation D8)"
            raise InvalidArgument("the first loss", f"{allowed}: add a constant, or take a setting without one", loss)
        begins = self.done and self._usual is not None and loss > self.again * self._usual
        if begins:
            self._begin()
        if self._usual is None or self._steps == 0:
            self._usual = abs(loss)
        else:
            self._usual = 0.99 * self._usual + 0.01 * abs(loss)
        return begins

    def survived(self, before: float, after: float) -> bool:
        """Judge the step at :attr:`rate` by the loss of its own batch; False if the network was taken back."""
        self._steps += 1
        self._losses.append(before)
        self._seen.append(before)
        ruined = self._risen(self.ruin) and self._differ(self._last(), self._first())
        if ruined and not self._climbing:  # no step has been kept, so that no rate can be the reason
            self._losses, ruined = self._losses[-self.patience :], False
        better = after <= before  # False for NaN
        if not ruined and (better or (self._climbing and math.isfinite(after))):
            if not self._climbing:
                self._climbing, self._lowest = True, self.rate
            return True
        if self._climbing:
            self._leave(self.rate)
        else:
            self._take_back()
            self.rate /= self.cut
        return False

    def climb(self, elsewhere: float, promised: float) -> bool:
        """Set the next rate, now that the step's first-order decrement of the next batch's loss is known.

        Args:
            elsewhere: that decrement, at the step's end.
            promised: the decrement of its own batch's loss, at its start.

        Returns:
            False if the network was taken back.
        """
        self._recent = [*self._recent, (elsewhere, promised)][-self.patience :]
        gained, hoped = (sum(column) for column in zip(*self._recent, strict=True))
        small = abs(hoped) <= self.small * abs(self._last()) and self._risen(self.plateau)
        if not small:
            self._kept.append((self.rate, elsewhere, promised))
        if len(self._recent) == self.patience and not small and not gained >= -self.tolerance * abs(hoped):
            self._leave(self.rate)
            return False
        if len(self._losses) >= self.patience:
            self._best = min(self._best, (self._last(), self.rate))
        if self._half_lost():
            self._leave(self._best[1])
            return False
        if self._steps >= self.limit:
            self._finish(self.rate)
        else:
            self.rate *= self.growth
        return True

    def _risen(self, multiple: float) -> bool:
        """Whether the last losses are above this multiple of the first; of either sign, in units of their size."""
        first = self._first()
        return self._last() > first + (multiple - 1) * abs(first)

    def _first(self) -> float:
        return sum(self._losses[: self.patience])

    def _last(self) -> float:
        return sum(self._losses[-self.patience :])

    def _differ(self, higher: float, lower: float) -> bool:
        """Whether two sums of losses differ by more than batches alone make them.

        The median difference of two normal losses is 0.954 standard deviations. The last losses, which may be rising,
        are left out. A median of few differences is uncertain: the limit is higher by six over their number.
        """
        changes = [abs(later - earlier) for earlier, later in pairwise(self._seen[: -self.patience])]
        if not changes:
            return True
        deviation = math.sqrt(2 * self.patience) * median(changes) / 0.954
        return higher - lower > self.noise * (1 + 6 / len(changes)) * deviation

    def _half_lost(self) -> bool:
        """Whether the last losses are nearer to the first than to the lowest, which were below the plateau."""
        first, lowest, last = self._first(), self._best[0], self._last()
        learned = lowest < first + (self.plateau - 1) * abs(first)
        return learned and last > (first + lowest) / 2 and self._differ(min(first, last), lowest)

    def _leave(self, edge: float) -> None:
        """Steps are too large: hand over below the edge, or climb again from lower where it was too short to tell."""
        self._take_back()
        del self._seen[-self.patience :]
        rate = edge / self.margin
        if rate >= self._lowest:
            least, most = self._share(rate)
            excess = self.tolerance / least if most < self.tolerance else 1.0
            self._finish(rate / excess)
            self.repeat = math.ceil(excess)
        else:
            self.rate, self._climbing = self._lowest / self.cut, False
            self._recent, self._losses, self._best = [], [], (math.inf, math.nan)

    def _share(self, rate: float) -> tuple[float, float]:
        """Bounds of the share of promised decrements that the next batches kept, in steps below this rate.

        Two standard errors below and above the estimate, more where the steps are few, and at least one over their
        number. Infinite where fewer than two steps were judged, or their promises add up to nothing.
        """
        kept = [(elsewhere / at, promised / at) for at, elsewhere, promised in self._kept if at < rate]
        count, hoped = len(kept), sum(promised for _, promised in kept)
        if count < 2 or not hoped > 0:
            return math.inf, math.inf
        share = sum(elsewhere for elsewhere, _ in kept) / hoped
        squares = sum((elsewhere - share * promised) ** 2 for elsewhere, promised in kept)
        error = 2 * (1 + 6 / count) * math.sqrt(squares * count / (count - 1)) / hoped
        return max(share - error, 1 / count), max(share + error, 1 / count)

    def _take_back(self) -> None:
        if self._snapshot is not None:
            self._snapshot.restore(self._buffers())

    def _finish(self, rate: float) -> None:
        self.rate = rate
        self.done = True
        self._snapshot = None

    def state_dict(self) -> StateDict:
        """Where the sweep stands. The copy of the network is part of it while it is needed."""
        return {
            "rate": self.rate,
            "repeat": self.repeat,
            "done": self.done,
            "steps": self._steps,
            "recent": self._recent,
            "losses": list(self._losses),
            "seen": list(self._seen),
            "kept": list(self._kept),
            "best": self._best,
            "usual": self._usual,
            "climbing": self._climbing,
            "lowest": self._lowest,
            "snapshot": self._saved if self._snapshot is None else self._snapshot.state_dict(),
        }

    def load_state_dict(self, state: StateDict) -> None:
        """Take up what :meth:`state_dict` gave; the copy itself at the next :meth:`attach`."""
        self.rate, self.done = state["rate"], state["done"]
        self._steps, self._recent, self._climbing = state["steps"], state["recent"], state["climbing"]
        self._losses, self._usual = list(state["losses"]), state["usual"]
        self._lowest = state.get("lowest", 0.0)  # 0.1 did not keep it
        self._best = tuple(state.get("best", (math.inf, math.nan)))  # nor 0.2 this
        self._seen = list(state.get("seen", state["losses"]))  # nor this
        self._kept, self.repeat = list(state.get("kept", [])), state.get("repeat", 1)  # nor these
        self._snapshot, self._saved = None, state["snapshot"]
