"""The one error type for bad input: a single line that names the argument, what is allowed and what came."""

from __future__ import annotations


class InvalidArgument(ValueError):  # noqa: N818 - reads as the sentence it is
    """An argument outside its range. ``str(error)`` is one line: the argument, what is allowed, what came.

    >>> raise InvalidArgument("discount", "a number in [0, 1]", 1.5)
    Traceback (most recent call last):
    lrpilot.errors.InvalidArgument: discount must be a number in [0, 1], got 1.5
    """

    def __init__(self, argument: str, allowed: str, received: object) -> None:
        super().__init__(f"{argument} must be {allowed}, got {received!r}")


class NonFiniteLoss(ArithmeticError):  # noqa: N818
    """A loss that is not a finite scalar, with the step and the learning rate at which it appeared."""

    def __init__(self, step: int, learning_rate: float, loss: float) -> None:
        super().__init__(
            f"the loss must be a finite scalar, got {loss} at step {step}, after a learning rate of {learning_rate:.4g}"
        )
        self.step = step
        self.learning_rate = learning_rate
