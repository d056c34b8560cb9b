"""Numbers that somebody hands over, checked."""

from __future__ import annotations

import operator
from typing import Any

from lrpilot.errors import InvalidArgument

LONGEST = 2**31 - 1
"""Steps of the longest run: their losses and rates take 26 GB."""


def whole(name: str, number: int) -> int:
    """The number, checked to be a whole one from 1 to `LONGEST`."""
    try:
        checked = 0 if isinstance(number, bool) else operator.index(number)
    except TypeError:
        checked = 0
    if not 1 <= checked <= LONGEST:
        allowed = "a whole number, at least 1"
        allowed += f" and at most {LONGEST}" if checked > LONGEST else ""
        allowed += ", or None" if name == "total_steps" else ""
        raise InvalidArgument(name, allowed, number)
    return checked


def real(name: str, allowed: str, number: Any) -> float:
    """The number as a float, which may be infinite or NaN.

    Raises:
        InvalidArgument: it is none, or several, or larger than a float can be.
    """
    try:
        return float(number)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise InvalidArgument(name, allowed, number) from None
