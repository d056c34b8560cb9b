"""What a controller has to say about the loop that it lives in, each thing once."""

from __future__ import annotations

import inspect
import warnings

from lrpilot.errors import PilotWarning

PACKAGE = __name__.partition(".")[0]
BETWEEN = {PACKAGE, "torch", "contextlib"}
"""Packages whose functions stand between the user's line and what is told: hooks are called by torch."""


class Notices:
    """Tells each thing once, at the user's own line."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def told(self, kind: str) -> bool:
        """Whether something of this kind has been told."""
        return kind in self._told

    def tell(self, kind: str, message: str) -> None:
        """Warn, unless something of this kind has been told."""
        if self.told(kind):
            return
        self._told.add(kind)
        level, frame = 1, inspect.currentframe()
        while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in BETWEEN:
            level, frame = level + 1, frame.f_back
        warnings.warn(message, PilotWarning, stacklevel=level)
