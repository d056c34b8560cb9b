"""What the results say, in a few numbers with a sentence each: the report begins with them, and so does the README."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence

from pandas import DataFrame

from lrpilot.experiments.runs.store import Store

from .claims import SETTINGS, verdicts
from .evidence import Evidence
from .metrics import Summary
from .page import Card
from .standing import Row, Standing, Way
from .suite import compared_rows
from .verdict import FAILS, HOLDS, UNDECIDED

PILOT, CONSTANT, COSINE = (Way(method, False) for method in ("pilot", "constant", "cosine"))
AGAINST = {
    "constant": "the best constant rate of five",
    "cosine": "the best cosine of five",
    "peer": "the best rate-free optimizer",
}


def conclusions(evidence: Evidence, compared: Store) -> list[Card]:
    """Of all comparisons and of the paper's claims, as far as there are results."""
    rows = [row for row in compared_rows(compared, "test_error") if not row.way(PILOT).empty]
    return [*_any_start(rows), *_opponents(rows), *_claims(evidence.runs)]


def _any_start(rows: Sequence[Row]) -> Iterator[Card]:
    if not rows:
        return
    ratios = {way: _worst_over_best(rows, way) for way in (PILOT, CONSTANT, COSINE)}
    others = ", ".join(f"{ratio:.3g}x for a {way}" for way, ratio in ratios.items() if way != PILOT and ratio)
    tasks = f"median of {len(rows)} comparisons of task and optimizer"
    text = f"the pilot's test error from its worst of five starting rates, over that from its best ({tasks})"
    yield Card(f"{ratios[PILOT]:.2f}x", f"{text}; {others}" if others else text)


def _worst_over_best(rows: Sequence[Row], way: Way) -> float | None:
    means = [row.way(way).mean(axis=1) for row in rows if not row.way(way).empty]
    ratios = [float(mean.max() / mean.min()) for mean in means if mean.min() > 0]
    return statistics.median(ratios) if ratios else None


def _opponents(rows: Sequence[Row]) -> Iterator[Card]:
    if not rows:
        return
    standing = Standing.of(PILOT, rows)
    for opponent, name in AGAINST.items():
        if found := standing.against[opponent]:
            yield Card(
                _factor(found),
                f"the pilot's test error from any start, over that of {name} (interquartile mean, 95% interval over "
                f"seeds); at or below it from {100 * found.below:.0f} % of starts",
            )


def _factor(found: Summary) -> str:
    ends = " [{:.2f}, {:.2f}]".format(*map(math.exp, found.interval)) if found.interval else ""
    return f"{math.exp(found.mean):.2f}x{ends}"


def _claims(runs: DataFrame) -> Iterator[Card]:
    judged = verdicts(runs)
    papers = [row for row in judged.rows if row[1]]  # where the paper makes them; others are ours
    for column, setting in enumerate(judged.header):
        counts = Counter(row[column].partition(":")[0] for row in papers) if setting in SETTINGS else Counter[str]()
        if measured := sum(counts[said] for said in (HOLDS, UNDECIDED, FAILS)):
            yield Card(
                f"{counts[HOLDS]} of {measured}",
                f"of the paper's claims hold for its actor-critic in the {setting} setting; {counts[UNDECIDED]} are "
                f"undecided, {counts[FAILS]} do not hold",
            )
