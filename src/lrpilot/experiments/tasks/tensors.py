"""A data set as tensors in memory: what every task trains and is tested on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lrpilot.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Int
    from torch import Tensor


class DataError(RuntimeError):
    """A data set that is not there or cannot be read. One line: what, where, and what to do about it."""


@dataclass(frozen=True)
class Examples:
    """Inputs and their classes.

    Attributes:
        inputs: ``[example, ...]``, one input a row; ``uint8`` as loaded, ``float32`` once a task prepared it.
        targets: ``[example]``, the class of each, ``int64`` in ``[0, classes)``.
    """

    inputs: Tensor
    targets: Int[Tensor, " example"]

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, rows: slice) -> Examples:
        """A view of some of the examples, in their order."""
        return Examples(self.inputs[rows], self.targets[rows])


@dataclass(frozen=True)
class TensorData:
    """A data set, wholly in memory.

    Attributes:
        label: the name that results carry, such as ``CIFAR-10 (JPEG)``.
        train: what a network is trained on.
        test: what it is tested on.
        classes: how many classes there are.
        validation: held out of the training set for choosing between settings; None unless asked for.
    """

    label: str
    train: Examples
    test: Examples
    classes: int
    validation: Examples | None = None

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
