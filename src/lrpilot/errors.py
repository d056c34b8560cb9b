"""The package's errors and its warning. Each is one line that names what is wrong, what is allowed, and what came."""

from __future__ import annotations

import copyreg
from typing import Any

SHOWN = 200
"""Characters of what came that a message shows; a long list or number is cut there."""


class _Told(Exception):  # noqa: N818
    """An exception whose constructor takes more than a message, and which can be pickled all the same."""

    def __reduce__(self) -> tuple[Any, ...]:
        return copyreg.__newobj__, (type(self), *self.args), vars(self)  # type: ignore[attr-defined]


class InvalidArgument(_Told, ValueError):  # noqa: N818 - reads as the sentence it is
    """An argument outside its range.

    >>> raise InvalidArgument("discount", "a number in [0, 1]", 1.5)
    Traceback (most recent call last):
    lrpilot.errors.InvalidArgument: discount must be a number in [0, 1], got 1.5
    """

    def __init__(self, argument: str, allowed: str, received: object) -> None:
        super().__init__(f"{argument} must be {allowed}, got {_line(received)}")


def _line(received: object) -> str:
    try:
        text = repr(received)
    except ValueError:  # a whole number of more digits than Python writes
        text = object.__repr__(received)
    text = text if text.isprintable() else " ".join(text.split())
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


class Diverged(_Told, ArithmeticError):  # noqa: N818
    """Raised when a run cannot go on because a number it depends on is not finite.

    The network is as the last step left it.

    Attributes:
        step: counted from 0, the step that was not made.
        learning_rate: of the step before.
    """

    def __init__(self, message: str, step: int, learning_rate: float) -> None:
        super().__init__(message)
        self.step = step
        self.learning_rate = learning_rate


class NonFiniteLoss(Diverged):
    """A loss, or weights, that are not finite."""

    def __init__(self, step: int, learning_rate: float, loss: float) -> None:
        after = f"at step {step}, after a learning rate of {learning_rate:.4g}"
        super().__init__(f"the loss must be a finite scalar, got {loss} {after}", step, learning_rate)


class NonFiniteWeights(NonFiniteLoss):
    """Weights that are not finite, and no copy of the network to go back to."""

    def __init__(self, step: int, learning_rate: float) -> None:
        said = f"the weights are not finite at step {step}, after a learning rate of {learning_rate:.4g}"
        Diverged.__init__(self, f"{said}: Pilot(..., rollback=True) keeps a copy to go back to", step, learning_rate)


class NonFiniteRate(Diverged):
    """A learning rate that is not finite, decided on by an actor that has itself diverged."""

    def __init__(self, step: int, learning_rate: float, rate: float) -> None:
        after = f"at step {step}, after one of {learning_rate:.4g}"
        super().__init__(f"the learning rate must be a finite number, got {rate} {after}", step, learning_rate)


class Unusable(RuntimeError):  # noqa: N818
    """A file, a folder or a data set that cannot be used. One line: which, why, and what to do about it."""


class Damaged(Unusable):
    """A file that is not as it was written."""


class PilotWarning(UserWarning):
    """The loop around a pilot, or another controller, is not what it was made for. Each kind is issued once."""
