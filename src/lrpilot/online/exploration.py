"""Exploration: how the executed rate departs from the actor's. The paper explores nothing.

The stable setting opens with a sweep (D8); noise on the rate (D7) is one of the deviations it does without.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from lrpilot.core.snapshot import Snapshot
from lrpilot.core.state import StateDict
from lrpilot.errors import InvalidArgument


class LogNormal:
    """Multiplies the rate by ``exp(sigma n)``, n standard normal, sigma falling from ``start`` to ``end``.

    Without it the rate varies by a hundredth between steps, and the TD error says next to nothing about dQ/da.

    Args:
        start: deviation of the log rate at step 0.
        end: deviation towards which it falls as ``1 / sqrt(1 + step / time)``.
        time: in steps.
    """

    def __init__(self, start: float = 0.2, end: float = 0.1, time: float = 1000.0) -> None:
        if not start >= end >= 0:
            raise InvalidArgument("start", f"at least the end of {end}", start)
        self.start, self.end, self.time = start, end, time

    def __call__(self, rate: Tensor, step: int, generator: torch.Generator) -> Tensor:
        """The executed rate (scalar) at ``step``."""
        sigma = max(self.end, self.start / math.sqrt(1 + step / self.time))
        noise = torch.randn((), generator=generator, dtype=rate.dtype, device="cpu").to(rate.device)
        return rate * torch.exp(sigma * noise)


class Opening:
    """The first steps of a run: a sweep of rates from low to high, so that the critic has seen them all.

    Begins below the optimizer's own rate, which may be far too high. While a step makes its own batch worse, the
    network is taken back and the rate cut tenfold; from there the rate climbs until the last ``patience`` steps
    have, taken together, gone too far for the batches that came after them: the first-order decrement of their
    losses is negative, and more so than noise makes it. So does a loss that has multiplied: with saturated units,
    ever larger steps may lower the loss of their batch. The network is then taken back to where it began, for
    steps that large may have harmed it for good, and the actor takes over well below that rate. The copy of the
    network is freed.

    Args:
        below: the sweep begins at the optimizer's rate divided by this.
        growth: factor of the rate each step.
        cut: divisor of a rate that destroys.
        patience: steps that must lose together.
        tolerance: they have lost when the next batches' decrement is below minus this share of their own batches'.
        small: but never while that of their own batches is at most this share of the loss, and the loss is still above
            ``plateau``: where deep networks begin, batches agree in hardly anything, at any rate, and a step that
            small harms nothing.
        plateau: a share of the first losses. Below it, small steps mean that there is nothing left to gain.
        margin: the actor begins at the last rate divided by this.
        ruin: the network is lost when the last ``patience`` losses are together this multiple of the first.
        limit: at most so many steps.
        again: the sweep begins again when a loss is more than this multiple of the running mean: not even a single
            example's loss is, unless the loss function has changed, and what is known of rates holds no longer.
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
        limit: int = 200,
        again: float = 1e5,
    ) -> None:
        self.below, self.growth, self.cut, self.patience = below, growth, cut, patience
        self.tolerance, self.small, self.plateau = tolerance, small, plateau
        self.margin, self.ruin, self.limit = margin, ruin, limit
        self.again = again
        self._usual: float | None = None
        self._begin()

    def _begin(self) -> None:
        self.rate = math.nan
        self.done = False
        self._steps = 0
        self._recent: list[tuple[float, float]] = []
        self._losses: list[float] = []
        self._climbing = False
        self._snapshot: Snapshot | None = None
        self._saved: StateDict | None = None

    def attach(self, rate: float, optimizer: torch.optim.Optimizer, buffers: Iterable[Tensor]) -> None:
        """Copy the network, at the first step (the sweep then starts below ``rate``) or the first after a resume."""
        if self._snapshot is not None or self.done:
            return
        self._snapshot = Snapshot(optimizer, buffers)
        if self._saved is None:
            self.rate = rate / self.below
        else:
            self._snapshot.load_state_dict(self._saved)

    def look(self, loss: float) -> bool:
        """Take in the loss of a batch before its step. True if the sweep, long done, begins again with this step.

        Raises:
            InvalidArgument: the first loss is not above 0, so that its rises cannot be told as multiples of it.
        """
        if self._usual is None and not loss > 0:
            allowed = "above 0 where an opening measures its rises (deviation D8)"
            raise InvalidArgument("the first loss", f"{allowed}: add a constant, or take a setting without one", loss)
        begins = self.done and self._usual is not None and loss > self.again * self._usual
        self._usual = abs(loss) if begins or self._usual is None else 0.99 * self._usual + 0.01 * abs(loss)
        if begins:
            self._begin()
        return begins

    def survived(self, before: float, after: float) -> bool:
        """Judge the step at :attr:`rate` by the loss of its own batch; False if the network was taken back."""
        self._steps += 1
        self._losses.append(before)
        ruined = self._risen(self.ruin)
        if ruined and not self._climbing:  # no step has been kept, so that no rate can be the reason
            self._losses, ruined = self._losses[-self.patience :], False
        better = after <= before  # False for NaN
        if not ruined and (better or (self._climbing and math.isfinite(after))):
            self._climbing = True
            return True
        self._take_back()
        if self._climbing:
            self._finish(self.rate / self.margin)
        else:
            self.rate /= self.cut
        return False

    def climb(self, elsewhere: float, promised: float) -> None:
        """Set the next rate, now that the step's first-order decrement of the next batch's loss is known.

        Args:
            elsewhere: that decrement, at the step's end.
            promised: the decrement of its own batch's loss, at its start.
        """
        self._recent = [*self._recent, (elsewhere, promised)][-self.patience :]
        gained, hoped = (sum(column) for column in zip(*self._recent, strict=True))
        small = abs(hoped) <= self.small * abs(self._last()) and self._risen(self.plateau)
        if len(self._recent) == self.patience and not small and not gained >= -self.tolerance * abs(hoped):
            self._take_back()
            self._finish(self.rate / self.margin)
        elif self._steps >= self.limit:
            self._finish(self.rate)
        else:
            self.rate *= self.growth

    def _risen(self, multiple: float) -> bool:
        """Whether the last losses are above this multiple of the first; of either sign, in units of their size."""
        first = sum(self._losses[: self.patience])
        return self._last() > first + (multiple - 1) * abs(first)

    def _last(self) -> float:
        return sum(self._losses[-self.patience :])

    def _take_back(self) -> None:
        if self._snapshot is not None:
            self._snapshot.restore()

    def _finish(self, rate: float) -> None:
        self.rate = rate
        self.done = True
        self._snapshot = None

    def state_dict(self) -> StateDict:
        """Where the sweep stands. The copy of the network is part of it while it is needed."""
        return {
            "rate": self.rate,
            "done": self.done,
            "steps": self._steps,
            "recent": self._recent,
            "losses": list(self._losses),
            "usual": self._usual,
            "climbing": self._climbing,
            "snapshot": None if self._snapshot is None else self._snapshot.state_dict(),
        }

    def load_state_dict(self, state: StateDict) -> None:
        """Take up what :meth:`state_dict` gave; the copy itself at the next :meth:`attach`."""
        self.rate, self.done = state["rate"], state["done"]
        self._steps, self._recent, self._climbing = state["steps"], state["recent"], state["climbing"]
        self._losses, self._usual = list(state["losses"]), state["usual"]
        self._snapshot, self._saved = None, state["snapshot"]
