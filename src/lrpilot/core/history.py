"""What a controller did: numbers by step, on their device until they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from lrpilot.errors import InvalidArgument

from .knobs import LearningRate
from .state import StateDict

if TYPE_CHECKING:
    from jaxtyping import Float
    from matplotlib.figure import Figure


class History:
    """Named columns of numbers that grow step by step.

    Appending neither copies to the host nor waits for a device.

    Args:
        names: of the columns.
    """

    def __init__(self, *names: str) -> None:
        self._columns: dict[str, Tensor] = {name: torch.empty(0, dtype=torch.float32, device="cpu") for name in names}
        self._lengths = dict.fromkeys(names, 0)

    def append(self, **values: Tensor) -> None:
        """Append one number (a tensor of one element) to each of the named columns."""
        for name, value in values.items():
            self._with_room(name, 1, value)[self._lengths[name]] = value.detach()
            self._lengths[name] += 1

    def extend(self, **values: Float[Tensor, " step"]) -> None:
        """Append several numbers at once to each of the named columns."""
        for name, value in values.items():
            start, end = self._lengths[name], self._lengths[name] + len(value)
            self._with_room(name, len(value), value)[start:end] = value.detach()
            self._lengths[name] = end

    def _with_room(self, name: str, count: int, like: Tensor) -> Tensor:
        """The column, grown if ``count`` more numbers do not fit."""
        length, column = self._lengths[name], self._columns[name]
        if length + count > len(column):
            grown = torch.empty(max(1024, 2 * length, length + count), dtype=like.dtype, device=like.device)
            grown[:length] = column[:length]
            self._columns[name] = column = grown
        return column

    def __getitem__(self, name: str) -> Float[Tensor, " step"]:
        """A column so far, on its device."""
        return self._columns[name][: self._lengths[name]]

    def numbers(self, name: str) -> list[float]:
        """A column so far, as plain numbers: waits for its device."""
        return self[name].double().cpu().tolist()

    def keys(self) -> list[str]:
        """The names of the columns."""
        return list(self._columns)

    def plot(self) -> Figure:
        """Loss and learning rate against the step, both on log axes; a matplotlib figure. Needs matplotlib."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8, 6), layout="constrained")
        upper, lower = figure.subplots(2, sharex=True)
        for axes, name, label in (
            (upper, "loss", "loss of the mini-batch"),
            (lower, "rate", "learning rate"),
        ):
            axes.plot(self.numbers(name), linewidth=0.8)
            axes.set(ylabel=label, yscale="log")
            axes.grid(alpha=0.3)
        lower.set_xlabel("step")
        return figure

    def export_schedule(self, optimizer: torch.optim.Optimizer) -> LambdaLR:
        """The learned schedule as a plain scheduler: step for step the executed rates, then the last one.

        Args:
            optimizer: a fresh optimizer to drive. Its first group's rate becomes the unit and is replaced by the
                recorded first rate at once; ratios between groups are kept.
        """
        return recorded_schedule(optimizer, self.numbers("rate"))

    def state_dict(self) -> StateDict:
        """A copy of each column."""
        return {name: self[name].clone() for name in self._columns}

    def load_state_dict(self, state: StateDict) -> None:
        """Take up what :meth:`state_dict` gave."""
        self._columns = {name: column.clone() for name, column in state.items()}
        self._lengths = {name: len(column) for name, column in state.items()}


def recorded_schedule(optimizer: torch.optim.Optimizer, rates: list[float]) -> LambdaLR:
    """A scheduler that sets the first group's rate to each of ``rates`` in turn, then to the last one.

    Raises:
        InvalidArgument: there are none.
    """
    if not rates:
        raise InvalidArgument("history", "at least one step long", "none")
    knob, groups = LearningRate(), optimizer.param_groups
    unit = knob.given(groups[0])  # which is what LambdaLR multiplies, whatever rate stands there now
    return LambdaLR(optimizer, [RecordedSchedule(rates, unit, factor=knob.factor(group)) for group in groups])


class RecordedSchedule:
    """The factor of a ``LambdaLR`` that repeats recorded rates. An object, so that it is saved with the scheduler.

    Args:
        rates: by step.
        unit: the rate that a factor of 1 stands for.
        factor: of the group, in all its rates.
    """

    def __init__(self, rates: list[float], unit: float, *, factor: float) -> None:
        self.rates = rates
        self.unit = unit
        self.factor = factor

    def __call__(self, step: int) -> float:
        """The factor at ``step`` (counted from 0)."""
        return self.rates[min(step, len(self.rates) - 1)] / self.unit * self.factor
