"""From comparisons to tables and the headline picture: test error against starting rate, a line for each method."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence

from lrpilot.experiments.runs.store import Store
from lrpilot.experiments.runs.trial import Result
from lrpilot.experiments.studies.comparison import Outcome, outcomes
from lrpilot.experiments.studies.methods import LABELS
from lrpilot.pilot.policy_file import fingerprint

from .figures import Panel, against_start
from .page import Block, Picture, Section
from .tables import Summary, Table

CAPTION = (
    "Final test error against the learning rate that a run starts from, one line a method: means over seeds, every "
    "run a point. Dashed: today's rate-free optimizers, which are given no rate."
)
GRIDS = ("constant", "cosine")
README_CAPTION = (
    "Final test error against starting rate, plain SGD: the pilot, constant and cosine grids, rate-free peers"
)


def by_rate(outcome: Outcome, *, policy: str | None = None) -> Table:
    """One row a method and one column a starting rate: mean test error ± standard deviation over the seeds.

    Args:
        outcome: what is shown.
        policy: the pilot's, by its fingerprint; None for the shipped one. Lines of others are named by theirs.
    """
    lines = outcome.by_start()
    rates = sorted({rate for line in lines.values() for rate in line})
    rows = []
    for key, line in lines.items():
        means = _means(line)
        cells = [Summary.of(_errors(line[rate])).text() if rate in line else "-" for rate in rates]
        ratio = f"{max(means.values()) / min(means.values()):.2f}" if min(means.values()) else "-"
        rows.append([_label(*key, policy), *cells, "-", ratio, _counts(line.values())])
    for peer, results in outcome.peers().items():
        rows.append([LABELS[peer], *["-"] * len(rates), Summary.of(_errors(results)).text(), "-", _counts([results])])
    header = ["method", *(f"from {rate:g}" for rate in rates), "no rate", "worst / best", "runs"]
    note = "Mean and standard deviation over seeds. A run that diverged or failed counts with the error of guessing."
    return Table(f"{outcome.title}: final test error %", header, rows, note)


def standings(outcomes: Iterable[Outcome], *, policy: str | None = None) -> Table:
    """One row a comparison: the pilot's worst and best start, and the best of the grids and of the peers.

    The best rate of a grid and the best peer are chosen by the very test error that is shown. ``policy`` as for
    :func:`by_rate`.
    """
    rows = []
    for outcome in outcomes:
        lines = outcome.by_start()
        flown = lines.get(("pilot", policy or fingerprint()), {})
        pilot = _means(flown)
        best, worst = (pick(pilot.values(), default=None) for pick in (min, max))
        peers = {LABELS[peer]: statistics.fmean(_errors(results)) for peer, results in outcome.peers().items()}
        grids = [{f"{rate:g}": mean for rate, mean in _means(lines.get((name, ""), {})).items()} for name in GRIDS]
        rows.append(
            [
                outcome.title,
                f"{worst:.2f}" if worst is not None else "-",
                f"{best:.2f}" if best is not None else "-",
                f"{worst / best:.2f}" if worst is not None and best else "-",
                f"{len(flown)} x {_counts(flown.values())}" if flown else "-",
                *(_least(means) for means in (*grids, peers)),
            ]
        )
    header = ["task, optimizer, length", "pilot, worst start", "pilot, best start", "worst / best", "starts x runs"]
    return Table("Final test error %", [*header, "best constant rate", "best cosine", "best rate-free peer"], rows)


def picture(outcomes: Sequence[Outcome], name: str, *, policy: str | None = None) -> Picture:
    """The headline picture, a panel for each comparison; ``policy`` as for :func:`by_rate`."""
    panels = []
    for outcome in outcomes:
        lines = {
            _label(*key, policy): {rate: _errors(results) for rate, results in line.items()}
            for key, line in outcome.by_start().items()
        }
        levels = {LABELS[peer]: _errors(results) for peer, results in outcome.peers().items()}
        panels.append(Panel(outcome.title, lines, levels))
    return Picture(name, against_start(panels, bold=LABELS["pilot"]), CAPTION)


def headline(store: Store) -> tuple[Picture, Table] | None:
    """For the README, at the longest runs there are of each task: plain SGD's picture, every optimizer's standings.

    None without any of plain SGD.
    """
    longest = {(outcome.task, outcome.optimizer): outcome for outcome in outcomes(store)}
    drawn = [outcome for outcome in longest.values() if outcome.optimizer == "sgd"]
    if not drawn:
        return None
    return picture(drawn, "headline"), standings(longest.values())


def sections(store: Store) -> list[Section]:
    """The report's section on comparisons: what stands where, a picture for each optimizer, all tables."""
    found = outcomes(store)
    if not found:
        return []
    blocks: list[Block] = [standings(found)]
    for optimizer in dict.fromkeys(outcome.optimizer for outcome in found):
        drawn = [outcome for outcome in found if outcome.optimizer == optimizer]
        blocks.append(picture(drawn, f"compare-{optimizer}"))
    return [Section("The pilot from any starting rate", [*blocks, *map(by_rate, found)])]


def _label(method: str, policy: str, expected: str | None) -> str:
    """What a line is called; a pilot of another policy than the one expected by its fingerprint."""
    return LABELS[method] if policy in ("", expected or fingerprint()) else f"{LABELS[method]}, policy {policy}"


def _errors(results: Iterable[Result]) -> list[float]:
    return [result.final("test_error") for result in results]


def _means(line: Mapping[float, Sequence[Result]]) -> dict[float, float]:
    return {rate: statistics.fmean(_errors(results)) for rate, results in line.items()}


def _least(means: Mapping[str, float]) -> str:
    """``2.14 (Schedule-Free SGD)``, or a dash."""
    if not means:
        return "-"
    name = min(means, key=lambda key: means[key])
    return f"{means[name]:.2f} ({name})"


def _counts(cells: Iterable[Sequence[Result]]) -> str:
    """``3``, runs in each cell; ``2 to 3 (1 diverged)``, where they differ and one ended early."""
    cells = list(cells)
    least, most = min(map(len, cells)), max(map(len, cells))
    ends = [result.status for cell in cells for result in cell]
    bad = [f"{ends.count(status)} {status}" for status in ("diverged", "failed") if status in ends]
    count = f"{least}" if least == most else f"{least} to {most}"
    return f"{count} ({', '.join(bad)})" if bad else count
