"""What a table is, and how numbers over seeds stand in it: mean, spread, interval."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .rendering import render

if TYPE_CHECKING:
    from pandas import DataFrame

BOOTSTRAP_DRAWS = 9999


@dataclass(frozen=True)
class Table:
    """Cells of text under a header, with a title above and a note below."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def to_markdown(self) -> str:
        """As a pipe table."""
        return render("table.md", table=self).strip()


def mean_text(values: Iterable[float], digits: int = 2) -> str:
    """``2.31 ± 0.05``: mean and standard deviation of at least one number; of a single one the number alone."""
    values = list(values)
    mean = f"{statistics.fmean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def interval(values: Iterable[float]) -> tuple[float, float] | None:
    """The 95% percentile bootstrap interval of the mean, drawn with a fixed seed; None below two numbers."""
    import numpy as np
    from scipy.stats import bootstrap

    numbers = np.asarray(list(values), dtype=float)
    if len(numbers) < 2:
        return None
    if numbers.min() == numbers.max():
        return numbers[0], numbers[0]
    drawn = bootstrap((numbers,), np.mean, method="percentile", n_resamples=BOOTSTRAP_DRAWS, rng=0)
    low, high = drawn.confidence_interval
    return float(low), float(high)


def interval_text(values: Iterable[float], digits: int = 2) -> str:
    """``[2.27, 2.36]``, or a dash."""
    ends = interval(values)
    return "-" if ends is None else f"[{ends[0]:.{digits}f}, {ends[1]:.{digits}f}]"


def diverged_text(runs: DataFrame) -> str:
    """`` (2 diverged)``, crashed runs among them; empty where every run finished."""
    count = (~runs.finished).sum()
    return f" ({count} diverged)" if count else ""


def percent(errors: Iterable[float], *, accuracy: bool) -> list[float]:
    """Errors as they are, or as accuracies, as the paper's Table 2 has them."""
    return [100 - error if accuracy else error for error in errors]
