"""How much of each experiment is run: in CI, in an afternoon, at the paper's lengths, or all that the paper did
(``profiles.toml``).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much one of the paper's tasks is run.

    Where it ``screens``, the first seed alone tries the whole grid, and the others the settings that it chose by test
    and by validation error.
    """

    steps: int  # of a run
    evaluations: int  # looks at test and validation set in a run
    repeats: int  # seeds
    screens: bool = False
    validation: int = 5000  # examples held out of the training set; 0: the whole of it is trained on
    batch_size: int = 50  # the paper's is 1 (after Schaul et al.) for M0 to M2
    offline_runs: int = 0  # training runs of the offline version
    chosen_by: str | None = None  # the profile whose validation errors have chosen the settings; None: this one's own

    @property
    def seeds(self) -> range:
        """Of the runs, the first of which screens."""
        return range(self.repeats)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The sizes of all experiments."""

    name: str  # its folder below results/
    rates: tuple[float, ...]  # the grid of section 4.1
    sizes: Mapping[str, Size]  # by task
    start_repeats: int  # seeds from each starting rate
    reading_repeats: int  # seeds of each reading and of each discount
    reading_steps: int  # length of their runs
    offline_share: float  # length of the offline version's training runs beside the run that is reported


def _profile(name: str, rates: list[float], sizes: dict[str, dict[str, Any]], **others: Any) -> Profile:
    by_task = {task: Size(**size) for task, size in sizes.items()}
    return Profile(name=name, rates=tuple(rates), sizes=by_task, **others)


_stored = tomllib.loads(Path(__file__).with_name("profiles.toml").read_text("utf-8"))
PROFILES = {name: _profile(name, **fields) for name, fields in _stored.items()}
SMOKE, QUICK, LONG, PAPER = (PROFILES[name] for name in ("smoke", "quick", "long", "paper"))
