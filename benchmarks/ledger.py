"""What a benchmark has found so far, in a file of JSON lines: one that was stopped goes on where it stood."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Finding = dict[str, Any]


@dataclass
class Ledger:
    """The findings so far, in a file that grows by a line for each."""

    path: Path

    def __iter__(self) -> Iterator[Finding]:
        """All of them, in their order."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        return map(json.loads, lines)

    def complete(self, key: Finding, make: Callable[[], Finding]) -> None:
        """Add what ``make`` finds under ``key``, unless it is there."""
        if any(key.items() <= finding.items() for finding in self):
            return
        found = {**key, **make()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(found) + "\n")
