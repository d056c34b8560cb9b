"""What a user may choose: one of a set of names, a number of at least so much; or one line that says so."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

from lrpilot.errors import InvalidArgument

Value = TypeVar("Value")


def choose(argument: str, name: str, choices: Mapping[str, Value], *, also: tuple[str, ...] = ()) -> Value:
    """What ``name`` stands for in ``choices``, upper or lower case alike (the choices are in lower case).

    Args:
        argument: what the name is given for, as the user knows it; named in the error.
        name: the name given.
        choices: all that is looked up here.
        also: what else is allowed and looked up elsewhere, for the error.

    Raises:
        InvalidArgument: no such choice; lists what there is and the nearest one.
    """
    if name.lower() in choices:
        return choices[name.lower()]
    allowed = "one of " + ", ".join((*choices, *also))
    nearest = get_close_matches(name.lower(), choices, n=1)
    if nearest:
        allowed += f" (did you mean {nearest[0]}?)"
    raise InvalidArgument(argument, allowed, name)


def check_found(argument: str, texts: Iterable[str], names: Collection[str]) -> None:
    """Refuse the first of the texts that is part of none of the names, of which one is shown.

    Raises:
        InvalidArgument: there is such a text.
    """
    for text in texts:
        if not any(text in name for name in names):
            example = f", such as {next(iter(names))}" if names else ""
            raise InvalidArgument(argument, f"part of the name of one of the {len(names)} runs{example}", text)


MOST = 2**31 - 1
"""Of whatever is counted, and of seeds: torch and numpy take no more everywhere."""


def at_least(least: int, **numbers: int | None) -> None:
    """Refuse, by its name, the first of the numbers given that is below ``least`` or above :data:`MOST`."""
    for name, number in numbers.items():
        if number is not None and number < least:
            raise InvalidArgument(name, f"a whole number of at least {least}", number)
        if number is not None and number > MOST:
            raise InvalidArgument(name, f"a whole number of at most {MOST}", number)
