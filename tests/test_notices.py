"""What the pilot tells of, each thing once."""

from __future__ import annotations

import warnings

import pytest

from lrpilot.core.notices import PACKAGE, Notices, PilotWarning


def test_each_kind_is_told_once_at_the_users_own_line() -> None:
    """However deep in the package it is told: here through one function of it."""
    notices = Notices()
    within: dict[str, object] = {"__name__": f"{PACKAGE}.some.module"}
    exec("def tell(notices, *words):\n    notices.tell(*words)", within)
    for tell in (notices.tell, lambda *words: within["tell"](notices, *words)):  # type: ignore[operator]
        with pytest.warns(PilotWarning, match="^this is so$") as told:
            tell("this" if not notices.told("this") else "that", "this is so")
        assert len(told) == 1
        assert told[0].filename == __file__
    assert notices.told("this")
    assert notices.told("that")
    assert not notices.told("another")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        notices.tell("this", "again")


def test_the_package_is_its_first_name() -> None:
    assert PACKAGE == "lrpilot"
