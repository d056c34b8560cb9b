"""What the results say, in a few numbers with a sentence each: the report begins with them, and so does the README.

Its longer sentences stand in ``short.md``, ``judged.md``, ``evidence.md`` and ``compared.md`` of ``templates/``.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from pandas import DataFrame

from lrpilot.experiments.runs.store import Store

from .claims import SETTINGS, verdicts
from .evidence import Evidence
from .page import Card
from .standing import OPPONENTS, PILOT, Row, Standing, Way, ways
from .starts import weights
from .suite import compared_rows, suite_rows
from .tables import render
from .verdict import FAILS, HOLDS, UNDECIDED

GRIDS = {method: Way(method, False) for method in ("pilot", "constant", "cosine")}
"""What is used from each of five starting rates."""
AGAINST = {
    "constant": "the best constant rate of five",
    "cosine": "the best cosine of five",
    "peer": "the best rate-free optimizer",
}


def conclusions(evidence: Evidence, compared: Store) -> list[Card]:
    """Of all comparisons and of the paper's claims, as far as there are results."""
    rows = _with_pilot(compared_rows(compared, "test_error"))
    return [*(_comparisons(rows) if rows else []), *_claims(evidence.runs)]


def on_the_paper(runs: DataFrame) -> str:
    """What became of the paper's claims, a line for each setting."""
    return "\n".join(f"- **{card.value}** {card.text}." for card in _claims(runs))


def in_short(store: Store) -> str:
    """What the suite says and what has been compared, in five sentences; empty without the runs of both."""
    suite, compared = _suite(store), _compared(store)
    return render("short.md", suite=suite, compared=compared) if suite and compared else ""


def on_the_suite(store: Store) -> str:
    """Where the pilot stands over the suite's tasks, beside the best of each opponent; empty without its runs."""
    found = _suite(store)
    return render("judged.md", **found) if found else ""


def in_words(compared: Store, template: str = "evidence.md") -> str:
    """The comparisons in short paragraphs: losses, cost and scope, or at more length as ``compared.md`` has them."""
    found = _compared(compared)
    return render(template, **found) if found else ""


def _suite(store: Store) -> dict[str, Any]:
    """What is to be said of the suite, by name."""
    rows = _with_pilot(suite_rows(store))
    standings = {way: Standing.of(way, rows) for way in ways(rows)}
    beside_cosine = {way: standing.against["cosine"] for way, standing in standings.items()}
    alone = {way: found for way, found in beside_cosine.items() if found and way.method in OPPONENTS["peer"]}
    if not alone or not standings.keys() >= {*GRIDS.values()} or not all(standings[PILOT].against.values()):
        return {}
    best = min(alone, key=lambda way: alone[way].mean)
    parts = {row.title: found for row in rows if row.in_nats and (found := row.sensitivity(PILOT)) is not None}
    steepest = max(parts, key=parts.__getitem__)
    return {
        "tasks": len(rows),
        "seeds": _seeds(rows),
        "alone": alone,
        "best": best,
        "of_best": standings[best],
        "wins": {opponent: _wins(rows, methods) for opponent, methods in OPPONENTS.items()},
        "sharp": len(parts),
        "steepest": steepest,
        "share": parts[steepest] / sum(parts.values()),
        **{method: standings[way] for method, way in GRIDS.items()},
    }


def _compared(store: Store) -> dict[str, Any]:
    """What is to be said of the comparisons, by name."""
    rows, by_loss = (_with_pilot(compared_rows(store, measure)) for measure in ("test_error", "test_loss"))
    standing = Standing.of(PILOT, rows) if rows else None
    if not standing or not all(standing.against.values()):
        return {}
    tasks = {task for row in rows for task in row.runs.task}
    largest = max(tasks, key=weights)
    return {
        "by_error": standing.against,
        "by_loss": {method: Standing.of(way, by_loss) for method, way in GRIDS.items()},
        "ratios": {method: _worst_over_best(rows, way) for method, way in GRIDS.items()},
        "comparisons": len(rows),
        "networks": len(tasks),
        "seeds": _seeds(rows),
        "single": _seeds(rows).count(1),
        "peers": len({method for row in rows for method in row.runs.method if method in OPPONENTS["peer"]}),
        "names": AGAINST,
        "wins": {opponent: _wins(rows, methods) for opponent, methods in OPPONENTS.items()},
        "with_adam": _wins([row for row in rows if row.title.split(", ")[1] in ("adam", "adamw")], ("cosine",)),
        "seconds": standing.seconds,
        "largest": largest,
        "weights": weights(largest),
        "longest": max(row.runs.planned_steps.max() for row in rows),
    }


def _with_pilot(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if not row.way(PILOT).empty]


def _seeds(rows: Sequence[Row]) -> list[int]:
    return [row.way(PILOT).shape[1] for row in rows]


def _wins(rows: Sequence[Row], methods: Sequence[str]) -> dict[str, Any]:
    """In how many rows the pilot's worst start is at or below the best of these, and in which three furthest above."""
    both = [(row, best) for row in rows if (best := row.best(methods)) is not None]
    ends = [(row.title, row.way(PILOT).mean(axis=1).max(), best.mean()) for row, best in both]
    found = DataFrame(ends, columns=["title", "mine", "theirs"])
    ratios = (found.mine / found.theirs).sort_values(ascending=False)
    above = [found.loc[place] for place in ratios[ratios > 1].index[:3]]
    return {"won": (found.mine <= found.theirs).sum(), "of": len(found), "above": above}


def _worst_over_best(rows: Sequence[Row], way: Way) -> float | None:
    means = [row.way(way).mean(axis=1) for row in rows if not row.way(way).empty]
    ratios = [float(mean.max() / mean.min()) for mean in means if mean.min() > 0]
    return statistics.median(ratios) if ratios else None


def _comparisons(rows: Sequence[Row]) -> Iterator[Card]:
    ratios = {way: _worst_over_best(rows, way) for way in GRIDS.values()}
    others = ", ".join(f"{ratio:.3g}x for a {way}" for way, ratio in ratios.items() if way != PILOT and ratio)
    tasks = f"median of {len(rows)} comparisons of task and optimizer"
    text = f"the pilot's test error from its worst of five starting rates, over that from its best ({tasks})"
    yield Card(f"{ratios[PILOT]:.2f}x", f"{text}; {others}" if others else text)
    for opponent, found in Standing.of(PILOT, rows).against.items():
        if found:
            yield Card(
                found.factor,
                f"the pilot's test error, averaged over starts, over that of {AGAINST[opponent]} (interquartile mean, "
                f"95% interval over seeds); at or below it from {100 * found.below:.0f} % of starts",
            )


def _claims(runs: DataFrame) -> Iterator[Card]:
    judged = verdicts(runs)
    papers = [row for row in judged.rows if row[1]]  # where the paper makes them; others are ours
    for column, setting in enumerate(SETTINGS, start=judged.header.index(SETTINGS[0])):
        counts = Counter(row[column].partition(":")[0] for row in papers)
        if measured := sum(counts[said] for said in (HOLDS, UNDECIDED, FAILS)):
            yield Card(
                f"{counts[HOLDS]} of {measured}",
                f"of the paper's claims hold for its actor-critic in the {setting} setting; {counts[UNDECIDED]} are "
                f"undecided, {counts[FAILS]} do not hold",
            )
