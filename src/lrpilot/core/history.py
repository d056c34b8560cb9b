"""What a controller did: numbers by step, on their device until they are asked for."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from .schedule import recorded_schedule, save_schedule
from .state import StateDict

if TYPE_CHECKING:
    from jaxtyping import Float
    from matplotlib.figure import Figure


class History:
    """Named columns of numbers that grow step by step.

    Tensors stay on their device, and are not waited for, until a column is asked for.

    Args:
        names: of the columns.
    """

    def __init__(self, *names: str) -> None:
        self._columns: dict[str, Tensor] = {name: torch.empty(0, dtype=torch.float32, device="cpu") for name in names}
        self._lengths = dict.fromkeys(names, 0)
        self._appended: dict[str, list[float]] = {name: [] for name in names}  # to columns, when these are asked for

    def append(self, **values: float) -> None:
        """Append one number to each of the named columns."""
        for name, value in values.items():
            self._appended[name].append(value)

    def extend(self, **values: Float[Tensor, " step"]) -> None:
        """Append several numbers at once to each of the named columns."""
        for name, value in values.items():
            self._settle(name)
            start, end = self._lengths[name], self._lengths[name] + len(value)
            self._with_room(name, len(value), value)[start:end] = value.detach()
            self._lengths[name] = end

    def _settle(self, name: str) -> None:
        """Take what was appended into the column."""
        if appended := self._appended[name]:
            self._appended[name] = []
            self.extend(**{name: torch.tensor(appended, dtype=torch.float64, device="cpu")})

    def _with_room(self, name: str, count: int, like: Tensor) -> Tensor:
        """The column, grown if ``count`` more numbers do not fit."""
        length, column = self._lengths[name], self._columns[name]
        if length + count > len(column):
            with torch.inference_mode(False):  # or it could not be written outside that mode
                grown = torch.empty(max(1024, 2 * length, length + count), dtype=like.dtype, device=like.device)
            grown[:length] = column[:length]
            self._columns[name] = column = grown
        return column

    def __getitem__(self, name: str) -> Float[Tensor, " step"]:
        """A column so far, on its device."""
        self._settle(name)
        return self._columns[name][: self._lengths[name]]

    def numbers(self, name: str) -> list[float]:
        """A column so far, as plain numbers: waits for its device."""
        return self[name].double().cpu().tolist()

    def keys(self) -> list[str]:
        """The names of the columns."""
        return list(self._columns)

    def plot(self) -> Figure:
        """Loss and learning rate against the step, on log axes (a loss that never rises above 0: on a linear one).

        A matplotlib figure. Needs matplotlib.
        """
        from .picture import INK, PILOT, Picture, plain_numbers, plain_panel

        figure = Picture(figsize=(7, 4.2), layout="constrained")
        upper, lower = figure.subplots(2, sharex=True)
        for axes, name, label, colour in (
            (upper, "loss", "loss of the mini-batch", INK),
            (lower, "rate", "learning rate", PILOT),
        ):
            numbers = self.numbers(name)
            axes.plot(numbers, linewidth=0.8, color=colour)
            axes.set_ylabel(label)
            plain_panel(axes)
            if any(0 < number < math.inf for number in numbers):
                plain_numbers(axes)
        lower.set_xlabel("step")
        return figure

    def replayable(self) -> list[float]:
        """The rate of each step, for a run that repeats them."""
        return self.numbers("rate")

    def export_schedule(self, optimizer: torch.optim.Optimizer, *, total_steps: int | None = None) -> LambdaLR:
        """The rates of :meth:`replayable` as a plain scheduler: step for step, then the last one.

        Args:
            optimizer: a fresh optimizer to drive. Its first group's rate becomes the unit and is replaced by the
                first one at once; ratios between groups are kept.
            total_steps: stretches or shrinks the schedule to so many steps; None leaves it as it is.
        """
        return recorded_schedule(optimizer, self.replayable(), total_steps=total_steps)

    def save_schedule(self, path: str | Path) -> None:
        """Write the rates of :meth:`replayable` to a JSON file, for `lrpilot.load_schedule`."""
        save_schedule(path, self.replayable())

    def state_dict(self) -> StateDict:
        """A copy of each column."""
        return {name: self[name].clone() for name in self._columns}

    def load_state_dict(self, state: StateDict) -> None:
        """Take up what :meth:`state_dict` gave."""
        self._columns = {name: column.clone() for name, column in state.items()}
        self._lengths = {name: len(column) for name, column in state.items()}
        self._appended = {name: [] for name in state}
