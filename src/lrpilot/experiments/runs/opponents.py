"""What drives the pilot's opponents, where it takes more than an optimizer and one of PyTorch's schedulers."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import torch

from lrpilot.baselines import range_test, schedules
from lrpilot.core.history import History

from .controllers import Controller, PlainTraining, Terms

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from .training import Record
    from .trial import Scalar

SEARCH: dict[str, Scalar] = {"runs": 1, "run_steps": range_test.STEPS}
"""What a range test takes before the run that counts."""


def warmed(decay: schedules.Decay, optimizer: Optimizer, terms: Terms, *, share: float = 0.05) -> Controller:
    """A linear rise, then a decay to 0."""
    return PlainTraining(optimizer, schedules.warmed_up(optimizer, terms.steps, decay, share=share))


def cycled(optimizer: Optimizer, terms: Terms) -> Controller:
    """One-cycle up to the rate given."""
    return PlainTraining(optimizer, schedules.one_cycle(optimizer, terms.steps))


class ToldTheLoss(PlainTraining):
    """The optimizer's step is told the loss."""

    def step(self, loss_fn: Callable[[Any], Tensor], batch: Any) -> Tensor:
        """One training step; returns the loss before it, detached."""
        optimizer: Any = self.optimizer
        loss = loss_fn(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step(loss=loss.detach())
        return loss.detach()


def told_the_loss(optimizer: Optimizer, terms: Terms) -> Controller:
    """MoMo's kind."""
    return ToldTheLoss(optimizer)


class Polled(PlainTraining):
    """The optimizer's step takes a closure, which it calls as often as it likes; it goes back where a loss blows up."""

    def __init__(self, optimizer: Optimizer) -> None:
        super().__init__(optimizer)
        self.mends = True

    def step(self, loss_fn: Callable[[Any], Tensor], batch: Any) -> Tensor:
        """One training step; returns the loss before it."""

        def closure() -> tuple[Tensor, float]:
            loss = loss_fn(batch)
            return loss, -loss.item()

        polling: Any = self.optimizer
        return torch.tensor(polling.step(closure).loss)


def polled(optimizer: Optimizer, terms: Terms) -> Controller:
    """Relative polling."""
    return Polled(optimizer)


class Greedy(PlainTraining):
    """GreedyLR (Subramanian, Ganapathiraman, 2025) at transformers' defaults, told every step's loss."""

    def __init__(self, optimizer: Optimizer) -> None:
        from transformers.optimization import GreedyLR

        super().__init__(optimizer)
        self._scheduler = GreedyLR(optimizer)
        self._used = super().get_last_lr()

    def step(self, loss_fn: Callable[[Any], Tensor], batch: Any) -> Tensor:
        """One training step; returns the loss before it, detached."""
        self._used = super().get_last_lr()
        loss = super().step(loss_fn, batch)
        self._scheduler.step(loss.item())
        return loss

    def get_last_lr(self) -> list[float]:
        """The rate of the last step."""
        return self._used

    def state_dict(self) -> dict[str, Any]:
        """The scheduler's."""
        return self._scheduler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state_dict` was taken."""
        self._scheduler.load_state_dict(state)


def greedy(optimizer: Optimizer, terms: Terms) -> Controller:
    """GreedyLR, from the rate given."""
    return Greedy(optimizer)


class Testing(PlainTraining):
    """The range test's run. Once the loss has blown up, steps do nothing."""

    def __init__(self, optimizer: Optimizer, steps: int) -> None:
        super().__init__(optimizer)
        self.test = range_test.RangeTest(optimizer, steps)
        self._history = History("loss", "rate")

    @property
    def history(self) -> History:
        """The loss and the rate of every step that was made."""
        return self._history

    def step(self, loss_fn: Callable[[Any], Tensor], batch: Any) -> Tensor:
        """One training step; returns the loss before it, detached, and the last one made when the test is over."""
        if self.test.over:
            return self._history["loss"][-1]
        rate = self.test.rate
        loss = super().step(loss_fn, batch)
        self.test.step(loss.item())
        if math.isfinite(loss.item()):
            self._history.append(loss=loss, rate=torch.tensor(rate))
        return self._history["loss"][-1]


class RangeTestLessons:
    """A range test, from whose suggestion the run that counts makes one cycle."""

    held_out = False

    def __init__(self, terms: Terms) -> None:
        self._testing: Testing | None = None

    def controller(self, stack: ExitStack, optimizer: Optimizer, terms: Terms) -> Controller:
        """The test's."""
        self._testing = Testing(optimizer, terms.steps)
        return self._testing

    def taught(self, stack: ExitStack, optimizer: Optimizer, terms: Terms) -> Controller:
        """One-cycle up to the rate that the test suggested."""
        if self._testing is None:
            raise ValueError("no range test was run")
        for group in optimizer.param_groups:
            group["lr"] = self._testing.test.suggestion()
        return cycled(optimizer, terms)

    def score(self, end: Record, first_loss: float) -> None:
        """The losses say it all."""
