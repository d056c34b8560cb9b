"""From comparisons to tables and the headline picture: test error against starting rate, a line for each method."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import pandas as pd
import torch
from pandas import DataFrame, Series

from lrpilot.experiments.runs.methods import GIVEN_AN_OPTIMIZER, GIVEN_NO_RATE, LABELS
from lrpilot.experiments.runs.store import Store
from lrpilot.experiments.studies.comparison import ROOT, title
from lrpilot.experiments.studies.frame import frame, groups
from lrpilot.experiments.tasks.catalogue import TASKS
from lrpilot.pilot.policy_file import fingerprint

from .figures import ROW, against_start
from .page import Block, Picture, Section
from .standing import OPPONENTS
from .tables import Table, mean_text

CAPTION = (
    "Final test error against the learning rate that a run starts from: means over seeds, every run a point, a cross "
    "where one diverged. Dashed: rate-free optimizers, which are given no rate."
)
HEADLINE = (
    "Test error after training, against the learning rate that the run was given (log axes, lower is better).\n"
    "A constant rate and a cosine have to be given a good one; the pilot adjusts the one it gets while it trains.\n"
    "{shown} of {of} comparisons: of each optimizer the largest network first."
)
README_CAPTION = (
    "Final test error against the learning rate that a run is given, a panel for each optimizer: the pilot, a constant "
    "rate, a cosine and, dashed, the best optimizer that needs no rate"
)
OPTIMIZERS = ("sgd", "momentum")  # come first
HEADLINE_NAMES = {
    "adamw": "AdamW",
    "momentum": "SGD, momentum 0.9",
    "adam": "Adam",
    "sgd": "SGD, no momentum",
    "rmsprop": "RMSprop",
}
"""Of optimizers that come first in the headline, those that are used most before the others."""
IN_HEADLINE = ("pilot", "constant", "cosine", *GIVEN_NO_RATE)

Key = tuple[str, str, int]  # task, optimizer, steps
Comparisons = Mapping[Key, DataFrame]


def comparisons(runs: DataFrame) -> dict[Key, DataFrame]:
    """All comparisons among some runs, each ``arranged``: tasks in the order of ``TASKS``, then optimizers, lengths.

    The peers' runs belong to every comparison of their task and length.
    """
    by_start, peers = (runs[runs.method.isin(methods)] for methods in (GIVEN_AN_OPTIMIZER, GIVEN_NO_RATE))
    found = {}
    for (task, optimizer, steps), own in by_start.groupby(["task", "setting_optimizer", "planned_steps"]):
        beside = peers[(peers.task == task) & (peers.planned_steps == steps)]
        found[task, optimizer, steps] = arranged(pd.concat([own, beside]))
    places = {name: place for place, name in enumerate((*TASKS, *OPTIMIZERS))}
    return dict(sorted(found.items(), key=lambda item: [(places.get(name, math.inf), name) for name in item[0][:2]]))


def arranged(runs: DataFrame, *, policy: str | None = None) -> DataFrame:
    """The runs of one comparison in the order of methods and rates.

    A pilot of another policy than ``policy`` (by its fingerprint; None for the shipped one) is labelled with its own.
    """
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
    rows, bold = list[dict[str, str]](), list[int | None]()
    for runs in compared.values():
        pilot = runs[runs.label == LABELS["pilot"]]
        starts = _by_mean(pilot, "setting_lr")
        least, most = starts["mean"].min(), starts["mean"].max()
        best = {
            "best constant rate": _by_mean(runs[runs.method == "constant"], "setting_lr"),
            "best cosine": _by_mean(runs[runs.method == "cosine"], "setting_lr"),
            "best rate-free peer": _by_mean(runs[runs.method.isin(OPPONENTS["peer"])], "label"),
        }
        row = {
            "pilot, worst start": starts.text.iloc[starts["mean"].argmax()] if len(starts) else "-",
            "pilot, best start": starts.text.iloc[0] if len(starts) else "-",
            "worst / best": f"{most / least:.2f}" if least > 0 else "-",
            "starts x runs": f"{len(starts)} x {_counts(pilot)}" if len(starts) else "-",
            **{name: f"{each.text.iloc[0]} ({each.index[0]})" if len(each) else "-" for name, each in best.items()},
        }
        errors = Series({"pilot, worst start": most, **{name: each["mean"].min() for name, each in best.items()}})
        rows.append(row)
        bold.append(1 + [*row].index(str(errors.idxmin())) if errors.notna().any() else None)
    tasks = {task: TASKS[task].about for task, _, _ in compared if task in TASKS}
    note = (
        "Mean ± standard deviation over seeds. In brackets the rate or the rate-free optimizer that did best on the "
        "test set, which favours it. Bold: the best of a row, the pilot taken at its worst start. A number without ± "
        "comes from one seed. "
        f"{'; '.join(f'{name}: {about}' for name, about in tasks.items())}."
    )
    cells = DataFrame(rows, index=[title(*key) for key in compared])
    return replace(Table.of("Final test error %", "task, optimizer, length", cells, note), bold=bold)


def picture(compared: Comparisons, name: str) -> Picture:
    """A panel for each comparison, every method named."""
    return Picture(name, against_start({title(*key): runs for key, runs in compared.items()}), CAPTION)


def shown(store: Store) -> dict[Key, DataFrame]:
    """What the README shows: of each task and optimizer the longest runs there are."""
    found = comparisons(frame(store.saved(ROOT)))
    return {key: found[key] for key in {key[:2]: key for key in found}.values()}


def weights(task: str) -> int:
    """How many weights the network of a task has; 0 where the task is none of ``TASKS``."""
    if task not in TASKS:
        return 0
    network = TASKS[task].network(torch.Generator())
    return sum(parameter.numel() for parameter in network.parameters())


def headline(compared: Comparisons) -> Picture | None:
    """The picture at the top of the README: of each optimizer the largest network's, then the next until a row is full.

    None without any comparison.
    """
    by_size = sorted(compared, key=lambda key: weights(key[0]), reverse=True)
    largest = {key[1]: key for key in reversed(by_size)}
    first = [largest[name] for name in dict.fromkeys((*HEADLINE_NAMES, *largest)) if name in largest]
    keys = [*first, *(key for key in by_size if key not in first)][: ROW * -(-len(first) // ROW)]
    drawn = {_about(key): compared[key][compared[key].method.isin(IN_HEADLINE)] for key in keys}
    if not drawn:
        return None
    heading = HEADLINE.format(shown=len(drawn), of=len(compared))
    return Picture("headline", against_start(drawn, title=heading, compact=True), README_CAPTION)


def sections(store: Store) -> list[Section]:
    """The report's section on comparisons: what stands where, a picture for each optimizer, all tables."""
    found = comparisons(frame(store.saved(ROOT)))
    if not found:
        return []
    optimizers = dict.fromkeys(optimizer for _, optimizer, _ in found)
    pictures = [
        picture({key: runs for key, runs in found.items() if key[1] == name}, f"compare-{name}") for name in optimizers
    ]
    tables = [by_rate(key, runs) for key, runs in found.items()]
    blocks: list[Block] = [standings(found), *pictures, *tables]
    return [Section("The pilot from any starting rate", blocks)]


def _about(key: Key) -> str:
    """``AdamW, 3,000 steps``, and below it ``MNIST, a transformer block``; a user's own pictures by their folder."""
    task, optimizer, steps = key
    about = TASKS[task].about if task in TASKS else title(*key).partition(", ")[0]
    return f"{HEADLINE_NAMES.get(optimizer, optimizer)}, {steps:,} steps\n{about}"


def _by_mean(runs: DataFrame, column: str) -> DataFrame:
    """By what stands in a column, a rate or a peer, the mean test error and its text; the least first."""
    names = runs[column].map(lambda name: name if isinstance(name, str) else f"{name:g}")
    errors = runs.test_error.groupby(names, sort=False)
    return DataFrame({"mean": errors.mean(), "text": errors.agg(mean_text)}).sort_values("mean", kind="stable")


def _counts(runs: DataFrame) -> str:
    """``3``, runs at each rate; ``2 to 3 (1 diverged)``, where they differ and one ended early."""
    sizes = runs.groupby("setting_lr", dropna=False).size()
    count = f"{sizes.min()}" if sizes.min() == sizes.max() else f"{sizes.min()} to {sizes.max()}"
    bad = [f"{(runs.status == end).sum()} {end}" for end in ("diverged", "failed") if (runs.status == end).any()]
    return f"{count} ({', '.join(bad)})" if bad else count
