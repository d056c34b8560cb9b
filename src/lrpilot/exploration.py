"""Exploration: how the executed rate departs from the actor's. Stable setting only; the paper explores nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from .errors import InvalidArgument
from .guard import Snapshot


class LogNormal:
    """Multiplies the rate by ``exp(sigma n)``, n standard normal, sigma falling from ``start`` to ``end``.

    Without it the rate varies by a hundredth between steps, and the TD error says next to nothing about dQ/da.

    Args:
        start: deviation of the log rate at step 0.
        end: deviation towards which it falls as ``1 / sqrt(1 + step / time)``.
        time: in steps.
    """

    def __init__(self, start: float = 0.3, end: float = 0.1, time: float = 1000.0) -> None:
        if not start >= end >= 0:
            raise InvalidArgument("start", f"at least the end of {end}", start)
        self.start, self.end, self.time = start, end, time

    def __call__(self, rate: Tensor, step: int, generator: torch.Generator) -> Tensor:
        """The executed rate (scalar) at ``step``."""
        sigma = max(self.end, self.start / math.sqrt(1 + step / self.time))
        noise = torch.randn((), generator=generator, dtype=rate.dtype).to(rate.device)
        return rate * torch.exp(sigma * noise)


class Opening:
    """The first steps of a run: a sweep of rates from low to high, so that the critic has seen them all.

    Begins at the optimizer's own rate. While a step makes its own batch worse, the network is taken back and the
    rate cut tenfold; from there the rate climbs until ``patience`` steps in a row have made their own batch worse. The
    rate halfway there, where a step gains most on a quadratic, is where the actor begins. The copy of the
    network is freed at the end.

    Args:
        growth: factor of the rate each step.
        cut: divisor of a rate that destroys.
        patience: steps in a row that must lose before the sweep ends.
        limit: at most so many steps.
    """

    def __init__(self, growth: float = 1.2, cut: float = 10.0, patience: int = 2, limit: int = 200) -> None:
        self.growth, self.cut, self.patience, self.limit = growth, cut, patience, limit
        self.rate = math.nan
        self.done = False
        self._steps = 0
        self._lost = 0
        self._climbing = False
        self._snapshot: Snapshot | None = None
        self._saved: dict | None = None

    def attach(self, rate: float, optimizer: torch.optim.Optimizer, buffers: Iterable[Tensor]) -> None:
        """Copy the network, at the first step (the sweep then starts at ``rate``) or the first after a resume."""
        if self._snapshot is not None or self.done:
            return
        self._snapshot = Snapshot(optimizer, buffers)
        if self._saved is None:
            self.rate = rate
        else:
            self._snapshot.load_state_dict(self._saved)

    def judge(self, before: float, after: float) -> bool:
        """Learn how the step at :attr:`rate` changed the loss of its own batch, and set the next rate.

        Returns:
            Whether the network was taken back.
        """
        lost = not after <= before  # NaN is a loss too
        restored = self._snapshot is not None and lost and (not self._climbing or not math.isfinite(after))
        if restored and self._snapshot is not None:
            self._snapshot.restore()
        self._steps += 1
        self._lost = self._lost + 1 if lost else 0
        if lost and not self._climbing:
            self.rate /= self.cut
        elif self._lost >= self.patience or not math.isfinite(after):
            self._finish(self.rate / (2 * self.growth))
        else:
            self._climbing = True
            self.rate *= self.growth
        if self._steps >= self.limit and not self.done:
            self._finish(self.rate)
        return restored

    def _finish(self, rate: float) -> None:
        self.rate = rate
        self.done = True
        self._snapshot = None

    def state_dict(self) -> dict[str, object]:
        """Where the sweep stands. The copy of the network is part of it while it is needed."""
        return {
            "rate": self.rate,
            "done": self.done,
            "steps": self._steps,
            "lost": self._lost,
            "climbing": self._climbing,
            "snapshot": None if self._snapshot is None else self._snapshot.state_dict(),
        }

    def load_state_dict(self, state: dict) -> None:
        """Take up what :meth:`state_dict` gave; the copy itself at the next :meth:`attach`."""
        self.rate, self.done = state["rate"], state["done"]
        self._steps, self._lost, self._climbing = state["steps"], state["lost"], state["climbing"]
        self._snapshot, self._saved = None, state["snapshot"]
