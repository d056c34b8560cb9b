"""What a table is, and how numbers over seeds stand in it: mean, spread, interval, rank."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

if TYPE_CHECKING:
    from pandas import DataFrame, Series

LEVEL = 0.95  # of every interval over seeds


@dataclass(frozen=True)
class Table:
    """Cells of text under a header, with a title above and a note below."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    raw: bool = False  # too long to be read as a whole: folded on a page that can
    bold: Sequence[int | None] = ()  # of each row, the column that stands out; empty: none does

    @classmethod
    def of(cls, title: str, first: str, cells: DataFrame, note: str = "") -> Table:
        """From a frame of text, whose index becomes the column ``first``; a dash where a cell is missing."""
        texts = cells.astype(object).where(cells.notna(), "-").values.tolist()
        rows = [[str(name), *row] for name, row in zip(cells.index, texts, strict=True)]
        return cls(title, [first, *cells.columns], rows, note)

    def to_markdown(self) -> str:
        """As a pipe table."""
        return render("table.md", table=self).strip()


def render(template: str, **content: object) -> str:
    """A template of ``templates/`` filled with ``content``; what goes into HTML is escaped."""
    return _templates().get_template(template).render(content)


@cache
def _templates() -> Environment:
    loader, escape = PackageLoader("lrpilot.experiments.report"), select_autoescape(["html"])
    return Environment(
        loader=loader, autoescape=escape, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def mean_text(values: Iterable[float], digits: int = 2) -> str:
    """``2.31 ± 0.05``: mean and standard deviation of at least one number; of a single one the number alone."""
    values = list(values)
    mean = f"{statistics.fmean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Student's 95% interval of the mean, honest for as few as two numbers; None below that."""
    from scipy.stats import t

    if len(values) < 2:
        return None
    mean = statistics.fmean(values)
    margin = float(t.ppf((1 + LEVEL) / 2, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))
    return mean - margin, mean + margin


def interval_text(errors: Iterable[float]) -> str:
    """``[2.27, 2.36]``, of errors in percent, which an interval does not go beyond; or a dash."""
    ends = interval(list(errors))
    return f"[{max(0.0, ends[0]):.2f}, {min(100.0, ends[1]):.2f}]" if ends else "-"


def steps_text(runs: DataFrame) -> str:
    """How long the runs were to be: ``7,200 steps``, or ``300 to 1,200 steps``."""
    least, most = runs.planned_steps.min(), runs.planned_steps.max()
    return f"{most:,} steps" if least == most else f"{least:,} to {most:,} steps"


def count_text(finished: Series) -> str:
    """``5``, or ``5 (2 diverged)``, crashed runs among them."""
    return f"{len(finished)}{diverged_text(finished)}"


def diverged_text(finished: Series) -> str:
    """`` (2 diverged)``, crashed runs among them; empty where every run finished."""
    return f" ({(~finished).sum()} diverged)" if not finished.all() else ""


def ranks(values: Series) -> Series:
    """1 for the least; equal values share the better rank."""
    return values.rank(method="min").astype(int)
