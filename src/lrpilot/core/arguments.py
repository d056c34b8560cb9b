"""Arguments that are numbers: checked before anything is computed with them."""

from __future__ import annotations

import math
import operator
from numbers import Real
from typing import Any

from lrpilot.errors import InvalidArgument

LONGEST = 2**31 - 1
"""Steps of the longest run, whose losses and rates take 26 GB; and the largest of whatever else is counted."""


def whole(name: str, number: int, *, least: int = 1) -> int:
    """The number, checked to be a whole one from ``least`` to `LONGEST`."""
    try:
        checked = operator.index(number)
    except TypeError:
        checked = -1
    if isinstance(number, bool) or not least <= checked <= LONGEST:
        allowed = f"a whole number, at least {least}"
        allowed += f" and at most {LONGEST}" if checked > LONGEST else ""
        allowed += ", or None" if name == "total_steps" else ""
        raise InvalidArgument(name, allowed, number)
    return checked


def real(given: object) -> float:
    """The number as a float; NaN, which no range holds, for whatever is none or larger than a float.

    >>> 0 <= real("0.5") <= 1
    False
    """
    try:
        return float(given) if isinstance(given, Real) and not isinstance(given, bool) else math.nan
    except OverflowError:
        return math.nan


def number_in(name: str, low: float, high: float, number: float, *, ends: str = "[]") -> float:
    """The number, checked to be real and to lie between ``low`` and ``high``.

    Args:
        name: of the argument.
        low: the lower end; may be ``-inf``.
        high: the upper end; may be ``inf``.
        number: what came.
        ends: which ends belong to the range: ``"[]"`` both, ``"(]"`` the upper alone, and so on.

    >>> number_in("decay", 0, 1, 0.5, ends="[)")
    0.5
    """
    given = real(number)
    above = given >= low if ends[0] == "[" else given > low
    below = given <= high if ends[1] == "]" else given < high
    if not (above and below):
        raise InvalidArgument(name, f"a number in {ends[0]}{low:g}, {high:g}{ends[1]}", number)
    return number


def as_float(name: str, allowed: str, number: Any) -> float:
    """The number as a float, which may be infinite or NaN.

    Raises:
        InvalidArgument: it is none, or several, or larger than a float can be.
    """
    try:
        return float(number)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise InvalidArgument(name, allowed, number) from None
