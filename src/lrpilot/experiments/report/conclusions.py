"""What the results say, in a few numbers with a sentence each: the report begins with them, and so does the README."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence

import torch
from pandas import DataFrame

from lrpilot.experiments.runs.store import Store
from lrpilot.experiments.tasks.catalogue import TASKS

from .claims import SETTINGS, verdicts
from .evidence import Evidence
from .metrics import Summary
from .page import Card
from .standing import OPPONENTS, Row, Standing, Way, ways
from .suite import compared_rows, suite_rows
from .verdict import FAILS, HOLDS, UNDECIDED

PILOT, CONSTANT, COSINE = (Way(method, False) for method in ("pilot", "constant", "cosine"))
AGAINST = {
    "constant": "the best constant rate of five",
    "cosine": "the best cosine of five",
    "peer": "the best rate-free optimizer",
}


def conclusions(evidence: Evidence, compared: Store) -> list[Card]:
    """Of all comparisons and of the paper's claims, as far as there are results."""
    rows = _with_pilot(compared, "test_error")
    return [*_any_start(rows), *_opponents(rows), *_claims(evidence.runs)]


def on_the_paper(runs: DataFrame) -> str:
    """What became of the paper's claims, a line for each setting."""
    return "\n".join(f"- **{card.value}** {card.text}." for card in _claims(runs))


def on_the_suite(store: Store) -> str:
    """Where the pilot stands over the suite's tasks, beside the best of each opponent; empty without its runs."""
    rows = [row for row in suite_rows(store) if not row.way(PILOT).empty]
    standings = {way: Standing.of(way, rows) for way in ways(rows)}
    against = standings[PILOT].against if PILOT in standings else {}
    alone = [way for way in standings if way.method in OPPONENTS["peer"] and standings[way].against["cosine"]]
    found = [summary for summary in against.values() if summary]
    if len(found) < len(AGAINST) or not alone or CONSTANT not in standings or COSINE not in standings:
        return ""
    constant, cosine, peer = found
    sharp = [_nats(standings[way], digits=2) for way in (PILOT, CONSTANT, COSINE)]
    single = {way: summary for way in alone if (summary := standings[way].against["cosine"])}
    best = min(single, key=lambda way: single[way].mean)
    seeds = {row.way(PILOT).shape[1] for row in rows}
    counted = f"{min(seeds)} to {max(seeds)} seeds" if len(seeds) > 1 else f"{min(seeds)} seed{'s' * (min(seeds) > 1)}"
    return (
        f"**Judged on {len(rows)} tasks that nothing was chosen on** (other data, networks and lengths; "
        f"{counted}): one run of the pilot, from any of five rates over five decades, ends at {_factor(constant)} the "
        f"test loss of the best of five constant rates, {_factor(cosine)} that of the best of five cosines and "
        f"{_factor(peer)} that of the best of {len(alone)} optimizers and searches that need no rate, picked for each "
        f"task; the best single one of these, {best}, ends at {_factor(single[best])} the best cosine. LR sensitivity "
        "(the mean over starts of the test loss, capped at the untrained network's, less the best loss of any method): "
        f"the pilot {sharp[0]} nats, a constant rate {sharp[1]}, a cosine {sharp[2]}."
    )


def in_words(compared: Store) -> str:
    """The same of the comparisons in short paragraphs, and the sizes of the largest network and the longest run."""
    rows, by_loss = (_with_pilot(compared, measure) for measure in ("test_error", "test_loss"))
    against = [found for found in Standing.of(PILOT, rows).against.values() if found] if rows else []
    if len(against) < len(AGAINST):
        return ""
    standings = {str(way): Standing.of(way, by_loss) for way in (PILOT, CONSTANT, COSINE)}
    losses = ["unknown" if found is None else _factor(found) for found in standings["pilot"].against.values()]
    sharp = {way: _nats(one, digits=3) for way, one in standings.items()}
    ratios = {str(way): _worst_over_best(rows, way) for way in (PILOT, CONSTANT, COSINE)}
    constant, cosine, peer = against
    weights = {task: _weights(task) for row in rows for task in row.runs.task.unique() if task in TASKS}
    largest, longest = max(weights, key=weights.__getitem__), max(row.runs.planned_steps.max() for row in rows)
    tasks = len({task for row in rows for task in row.runs.task})
    seeds = [row.way(PILOT).shape[1] for row in rows]
    return (
        f"**Any starting rate.** Five rates over four decades: the pilot's LR sensitivity is {sharp['pilot']} nats, a "
        f"constant rate's {sharp['constant rate']}, a cosine's {sharp['cosine']}. From the "
        f"worst start its test error is {ratios['pilot']:.2f} times that from its best; a constant rate's "
        f"{ratios['constant rate']:.1f} times, a cosine's {ratios['cosine']:.1f} times (medians of {len(rows)} "
        f"comparisons on {tasks} networks, {min(seeds)} to {max(seeds)} seeds each).\n\n"
        f"**Wins and losses.** {_from_the_worst_start(rows)}\n\n"
        f"**How good.** One run of the pilot, whatever its start, against the best of five runs: its test error is "
        f"{_factor(cosine)} that of the best cosine, {_factor(constant)} that of the best constant rate; and "
        f"{_factor(peer)} that of the best rate-free optimizer. By test loss the three are {losses[1]}, {losses[0]} "
        f"and {losses[2]}. (Interquartile means over starts and seeds, 95 % intervals over seeds; each best is chosen "
        "on the test set, which favours it.)\n\n"
        f"**Scope.** In these comparisons the largest network has {weights[largest]:,} weights (`{largest}`), the "
        f"longest run {longest:,} steps."
    )


def _from_the_worst_start(rows: Sequence[Row]) -> str:
    """In how many rows the pilot's worst start is at or below each opponent's best, and where it is furthest above."""
    said: list[str] = []
    for opponent, name in AGAINST.items():
        found = [
            (float(row.way(PILOT).mean(axis=1).max()), float(best.mean()), row.title)
            for row in rows
            if (best := row.best(OPPONENTS[opponent])) is not None
        ]
        mine, theirs, where = max(found, key=lambda one: one[0] / one[1] if one[1] else math.inf)
        wins = sum(mine <= theirs for mine, theirs, _ in found)
        lost = f" (furthest above: {where}, {mine:.2f} % against {theirs:.2f} %)" if mine > theirs else ""
        said.append(f"{name} in {wins} of {len(found)}{lost}")
    return (
        f"From its worst start, the pilot's test error is at or below that of {', of '.join(said)}.{_with_adam(rows)}"
    )


def _with_adam(rows: Sequence[Row]) -> str:
    """In how many rows with Adam or AdamW the pilot's worst start is at or below the best cosine."""
    own = [row for row in rows if row.title.split(", ")[1] in ("adam", "adamw")]
    wins = sum(
        row.way(PILOT).mean(axis=1).max() <= best.mean() for row in own if (best := row.best(("cosine",))) is not None
    )
    return f" With Adam and AdamW it is at or below the best cosine in {wins} of {len(own)}." if own else ""


def _nats(standing: Standing, *, digits: int) -> str:
    return "unknown" if standing.sensitivity is None else f"{standing.sensitivity:.{digits}f}"


def _with_pilot(compared: Store, measure: str) -> list[Row]:
    return [row for row in compared_rows(compared, measure) if not row.way(PILOT).empty]


def _weights(task: str) -> int:
    network = TASKS[task].network(torch.Generator())
    return sum(parameter.numel() for parameter in network.parameters())


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
                f"the pilot's test error, averaged over starts, over that of {name} (interquartile mean, 95% interval "
                f"over seeds); at or below it from {100 * found.below:.0f} % of starts",
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
