"""From comparisons to tables and the headline picture: test error against starting rate, a line for each method."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from pandas import DataFrame

from lrpilot.experiments.runs.methods import GIVEN_AN_OPTIMIZER, GIVEN_NO_RATE, LABELS, SEARCHES
from lrpilot.experiments.runs.store import Store
from lrpilot.experiments.studies.comparison import ROOT, title
from lrpilot.experiments.studies.frame import frame, groups
from lrpilot.experiments.tasks.catalogue import TASKS
from lrpilot.pilot.policy_file import fingerprint

from .figures import against_start
from .page import Block, Picture, Section
from .tables import Table, mean_text

CAPTION = (
    "Final test error against the learning rate that a run starts from: means over seeds, every run a point, a cross "
    "where one diverged. Dashed: rate-free optimizers, which are given no rate."
)
HEADLINE = (
    "Test error after training with plain SGD from five learning rates; lower is better, both axes are logarithmic.\n"
    "A constant rate and a cosine have to be searched for. The pilot starts at any of the five and sets it by itself.\n"
    "Dashed: rate-free optimizers, which are given no rate."
)
README_CAPTION = (
    "Final test error against starting rate, plain SGD: the pilot, constant and cosine grids, rate-free optimizers"
)
OPTIMIZERS = ("sgd", "momentum")  # come first
IN_HEADLINE = ("pilot", "constant", "cosine", *GIVEN_NO_RATE)

Key = tuple[str, str, int]  # task, optimizer, steps
Comparisons = Mapping[Key, DataFrame]


def comparisons(runs: DataFrame, *, policy: str | None = None) -> dict[Key, DataFrame]:
    """All comparisons among some runs: tasks in the order of ``TASKS``, then optimizers, lengths.

    The peers' runs belong to every comparison of their task and length. Rows are in the order of methods and rates;
    a pilot of another policy than ``policy`` (by its fingerprint; None for the shipped one) is labelled with its own.
    """
    by_start, peers = (runs[runs.method.isin(methods)] for methods in (GIVEN_AN_OPTIMIZER, GIVEN_NO_RATE))
    found = {}
    for (task, optimizer, steps), own in by_start.groupby(["task", "setting_optimizer", "planned_steps"]):
        beside = peers[(peers.task == task) & (peers.planned_steps == steps)]
        found[task, optimizer, steps] = arranged(pd.concat([own, beside]), policy=policy)

    def place(key: Key) -> tuple[int, str, int, str, int]:
        task, optimizer, steps = key
        return _place(list(TASKS), task), task, _place(OPTIMIZERS, optimizer), optimizer, steps

    return {key: found[key] for key in sorted(found, key=place)}


def arranged(runs: DataFrame, *, policy: str | None = None) -> DataFrame:
    """The runs of one comparison, ordered and labelled as by :func:`comparisons`."""
    other = runs.setting_policy.notna() & (runs.setting_policy != (policy or fingerprint()))
    order = {method: place for place, method in enumerate((*GIVEN_AN_OPTIMIZER, *GIVEN_NO_RATE))}
    runs = runs[runs.method.isin(order)]
    labels = runs.label.where(~other, runs.label + ", policy " + runs.setting_policy.astype(str))
    return runs.assign(label=labels, place=runs.method.map(order)).sort_values(["place", "setting_lr"], kind="stable")


def by_rate(key: Key, runs: DataFrame) -> Table:
    """One row a method and one column a starting rate: mean test error ± standard deviation over the seeds."""
    by_label = groups(runs)
    errors = runs.groupby(["label", "setting_lr"]).test_error
    means = errors.mean().unstack().reindex(list(by_label))
    cells = errors.agg(mean_text).unstack().reindex(list(by_label)).rename(columns=lambda rate: f"from {rate:g}")
    cells["no rate"] = runs[runs.setting_lr.isna()].groupby("label").test_error.agg(mean_text)
    ratios = means.max(axis=1) / means.min(axis=1)
    cells["worst / best"] = ratios[ratios < math.inf].map("{:.2f}".format)
    cells["runs"] = [_counts(own) for own in by_label.values()]
    note = "Mean and standard deviation over seeds. A run that diverged or failed counts with the error of guessing."
    return Table.of(f"{title(*key)}: final test error %", "method", cells, note)


def standings(compared: Comparisons) -> Table:
    """One row a comparison: the pilot's worst and best start, and the best of the grids and of the peers.

    The best rate of a grid and the best peer are chosen by the very test error that is shown.
    """
    rows, bold = list[list[str]](), list[int | None]()
    for key, runs in compared.items():
        pilot = runs[runs.label == LABELS["pilot"]]
        starts = pilot.groupby("setting_lr").test_error
        grids = [runs[runs.method == grid].groupby("setting_lr").test_error for grid in ("constant", "cosine")]
        peers = runs[runs.method.isin((*GIVEN_NO_RATE, *SEARCHES))].groupby("label", sort=False).test_error
        own = ["-"] * 4
        if len(pilot):
            means = starts.mean()
            ratio = f"{means.max() / means.min():.2f}" if means.min() else "-"
            worst, best = (mean_text(starts.get_group(rate)) for rate in (means.idxmax(), means.idxmin()))
            own = [worst, best, ratio, f"{len(starts)} x {_counts(pilot)}"]
        rows.append([title(*key), *own, *map(_least, (*grids, peers))])
        errors = [starts.mean().max(), math.nan, math.nan, math.nan, *(each.mean().min() for each in (*grids, peers))]
        bold.append(int(pd.Series(errors).argmin()) + 1 if pd.Series(errors).notna().any() else None)
    header = ["task, optimizer, length", "pilot, worst start", "pilot, best start", "worst / best", "starts x runs"]
    tasks = {task: TASKS[task].about for task, _, _ in compared if task in TASKS}
    note = (
        "Mean ± standard deviation over seeds. In brackets the rate or the peer that did best on the test set. "
        "Bold: the lowest of the pilot's worst start and the others' best. A number without ± is of one seed. "
        f"{'; '.join(f'{name}: {about}' for name, about in tasks.items())}."
    )
    columns = [*header, "best constant rate", "best cosine", "best rate-free peer"]
    return Table("Final test error %", columns, rows, note, bold=bold)


def picture(compared: Comparisons, name: str) -> Picture:
    """A panel for each comparison, every method named."""
    return Picture(name, against_start({title(*key): runs for key, runs in compared.items()}), CAPTION)


def shown(store: Store) -> dict[Key, DataFrame]:
    """What the README shows: of each task and optimizer the longest runs there are."""
    found = comparisons(frame(store.saved(ROOT)))
    return {key: found[key] for key in {key[:2]: key for key in found}.values()}


def headline(compared: Comparisons) -> Picture | None:
    """The picture at the top of the README: plain SGD's; None without any."""
    drawn = {_about(key): runs[runs.method.isin(IN_HEADLINE)] for key, runs in _of_optimizer("sgd", compared).items()}
    if not drawn:
        return None
    return Picture("headline", against_start(drawn, title=HEADLINE, compact=True), README_CAPTION)


def sections(store: Store) -> list[Section]:
    """The report's section on comparisons: what stands where, a picture for each optimizer, all tables."""
    found = comparisons(frame(store.saved(ROOT)))
    if not found:
        return []
    optimizers = dict.fromkeys(optimizer for _, optimizer, _ in found)
    pictures = [picture(_of_optimizer(name, found), f"compare-{name}") for name in optimizers]
    tables = [by_rate(key, runs) for key, runs in found.items()]
    blocks: list[Block] = [standings(found), *pictures, *tables]
    return [Section("The pilot from any starting rate", blocks)]


def _about(key: Key) -> str:
    """``MNIST, one hidden layer of 120 (m1), 12,000 steps``; a user's own pictures by their folder's name alone."""
    task, _, steps = key
    return f"{TASKS[task].about}\n({task}), {steps:,} steps" if task in TASKS else title(*key)


def _place(order: Sequence[str], name: str) -> int:
    return order.index(name) if name in order else len(order)


def _of_optimizer(name: str, compared: Comparisons) -> Comparisons:
    return {key: runs for key, runs in compared.items() if key[1] == name}


def _least(errors: Any) -> str:
    """``2.14 ± 0.05 (Schedule-Free SGD)``, ``2.37 (0.1)``, or a dash; of errors grouped by peer or rate."""
    means = errors.mean()
    if means.empty:
        return "-"
    best = means.idxmin()
    return f"{mean_text(errors.get_group(best))} ({best if isinstance(best, str) else f'{best:g}'})"


def _counts(runs: DataFrame) -> str:
    """``3``, runs at each rate; ``2 to 3 (1 diverged)``, where they differ and one ended early."""
    sizes = runs.groupby("setting_lr", dropna=False).size()
    count = f"{sizes.min()}" if sizes.min() == sizes.max() else f"{sizes.min()} to {sizes.max()}"
    bad = [f"{(runs.status == end).sum()} {end}" for end in ("diverged", "failed") if (runs.status == end).any()]
    return f"{count} ({', '.join(bad)})" if bad else count
