"""A data set as tensors in memory, and mini-batches drawn from it by index: no loader, no worker process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from lrpilot.errors import InvalidArgument

if TYPE_CHECKING:
    from jaxtyping import Int
    from torch import Tensor

Batch = tuple["Tensor", "Tensor"]  # inputs [batch, ...] and targets [batch]


@dataclass(frozen=True)
class Examples:
    """Inputs and their classes, an example a row."""

    inputs: Tensor  # uint8 as loaded, float32 once a task prepared it
    targets: Int[Tensor, " example"]  # int64 in [0, classes)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, rows: slice) -> Examples:
        """A view of some of the examples, in their order."""
        return Examples(self.inputs[rows], self.targets[rows])


@dataclass(frozen=True)
class TensorData:
    """A data set, wholly in memory."""

    label: str  # the name that results carry, such as "CIFAR-10 (JPEG)"
    train: Examples
    test: Examples
    classes: int
    validation: Examples | None = None  # held out of the training set for choosing between settings

    def hold_out(self, count: int) -> TensorData:
        """The same data with the last ``count`` training examples set apart as ``validation``.

        Raises:
            InvalidArgument: ``count`` leaves nothing to train on.
        """
        if not 0 < count < len(self.train):
            raise InvalidArgument("validation", f"a number in [1, {len(self.train) - 1}]", count)
        return replace(self, train=self.train[:-count], validation=self.train[-count:])

    def fraction(self, share: float) -> TensorData:
        """The same data with the first ``share`` of the training set only; validation and test stay whole.

        Raises:
            InvalidArgument: ``share`` outside ``(0, 1]``, or so small that nothing is left.
        """
        kept = round(share * len(self.train))
        if not 0 < share <= 1 or kept == 0:
            raise InvalidArgument("fraction", "a number in (0, 1] that leaves an example", share)
        return replace(self, train=self.train[:kept])

    def with_inputs(self, change: Callable[[Tensor], Tensor]) -> TensorData:
        """The same data with ``change`` applied to the inputs of every part."""
        train, test, validation = (
            part and Examples(change(part.inputs), part.targets) for part in (self.train, self.test, self.validation)
        )
        return replace(self, train=train, test=test, validation=validation)


class Batches:
    """Batches without end: each epoch in a fresh random order, its last incomplete batch left out.

    Args:
        examples: what to draw from.
        batch_size: examples a batch, at most as many as there are.
        generator: draws the orders; its state is part of :meth:`state_dict`.
    """

    def __init__(self, examples: Examples, batch_size: int, *, generator: torch.Generator) -> None:
        if not 0 < batch_size <= len(examples):
            allowed = f"a whole number in [1, {len(examples)}], the size of the training set"
            raise InvalidArgument("batch_size", allowed, batch_size)
        self._examples = examples
        self._batch_size = batch_size
        self._generator = generator
        self._shuffle()

    def draw(self) -> Batch:
        """The next batch, a copy."""
        if self._position == len(self._epoch):
            self._shuffle()
        rows = self._epoch[self._position]
        self._position += 1
        return self._examples.inputs.index_select(0, rows), self._examples.targets.index_select(0, rows)

    def _shuffle(self) -> None:
        self._before_epoch = self._generator.get_state()
        order: Int[Tensor, " example"] = torch.randperm(len(self._examples), generator=self._generator)
        whole = len(order) // self._batch_size * self._batch_size
        self._epoch = order[:whole].view(-1, self._batch_size).unbind()
        self._position = 0

    def state_dict(self) -> dict[str, Any]:
        """The generator before this epoch's order was drawn from it, and the place in that order."""
        return {"generator": self._before_epoch, "position": self._position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state_dict` was taken."""
        self._generator.set_state(state["generator"])
        self._shuffle()
        self._position = state["position"]
