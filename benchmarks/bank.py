"""``python -m benchmarks.bank``: a policy on the tasks of the bank that none learns from.

From each of five starts over five decades the pilot trains each task; a run's regret is its score minus the best one
of the schedules searched (`lrpilot.learning.bank.score`: a mean of log losses and log errors). The best of many scores
is partly luck: how much is told by the regret of that very schedule with other initial weights and batches.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from string import ascii_uppercase
from typing import Annotated, Any, cast

import torch
import typer
from joblib import Parallel, delayed
from pandas import DataFrame
from rich.console import Console

from lrpilot.commands.options import Pages
from lrpilot.commands.terminal import show
from lrpilot.experiments.report.readme import fill, parts
from lrpilot.experiments.report.tables import Table
from lrpilot.learning.bank import store
from lrpilot.learning.bank.networks import build
from lrpilot.learning.bank.rollouts import STARTS, judge_task, prepared
from lrpilot.learning.bank.store import Entry
from lrpilot.learning.bank.training import BankTraining
from lrpilot.pilot.policy import Policy
from lrpilot.pilot.policy_file import fingerprint

BAD = 0.2
"""A run with this regret or more is lost, or nearly so."""

SAME_SCHEDULE = "best schedule, other seeds"
ABOUT = {
    "caa253dfa75a": "of version 0.1",
    "1e41eef35e21": "a single policy, before the panel",
    "9ddcc0bfc5cf": "one command",
}
"""What policies that do not ship are, by their fingerprints."""

app = typer.Typer(add_completion=False)


def judge(entry: Entry, policy: Policy, name: str) -> dict[str, Any]:
    """A line of the results: a task, how its runs ended, and how one of no step does."""
    training = BankTraining(entry.task)
    scores = [round(run.score, 5) for run in judge_task(entry.task, policy)]
    return _line(name, training, scores)


def repeat(entry: Entry) -> dict[str, Any]:
    """A line of the results: how the best schedule of a task ends with other seeds, as often as a policy is judged."""
    seeds = range(entry.task.seed + 1, entry.task.seed + 1 + len(STARTS))
    trainings = [prepared(replace(entry.task, seed=seed)) for seed in seeds]
    scores = [round(training.score(training.follow(entry.best_schedule)), 5) for training in trainings]
    return _line(SAME_SCHEDULE, trainings[0], scores)


def _line(name: str, training: BankTraining, scores: list[float]) -> dict[str, Any]:
    untrained = round(training.score(training.yardstick.untrained), 5)
    return {"policy": name, "task": training.task.index, "scores": scores, "untrained": untrained}


def run(path: Path, entries: Sequence[Entry], policy: str | Path, *, workers: int, console: Console) -> None:
    """Judge a policy, and the best schedule, on what is missing."""
    name, loaded = fingerprint(policy), Policy.load(policy)
    judged = map(json.loads, path.read_text().splitlines()) if path.exists() else ()
    known = {(line["policy"], line["task"]) for line in judged}
    held_out = [entry for entry in entries if entry.task.held_out]
    jobs = [delayed(repeat)(entry) for entry in held_out if (SAME_SCHEDULE, entry.task.index) not in known]
    jobs += [delayed(judge)(entry, loaded, name) for entry in held_out if (name, entry.task.index) not in known]
    lines = cast("Iterable[dict[str, Any]]", Parallel(n_jobs=workers, return_as="generator_unordered")(jobs))
    for done, line in enumerate(lines, start=1):
        with path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        console.print(f"{done} of {len(jobs)}: task {line['task']}, {line['policy']}")


def regrets(path: Path, entries: Sequence[Entry]) -> DataFrame:
    """A row for each run."""
    by_index = {entry.task.index: entry for entry in entries}
    rows = [
        {
            "policy": line["policy"],
            "task": line["task"],
            "kind": by_index[line["task"]].task.kind,
            "optimizer": by_index[line["task"]].task.optimizer,
            "start": start,
            "regret": score - by_index[line["task"]].best,
            "worse than untrained": score > line["untrained"] + 1e-6,
        }
        for line in map(json.loads, path.read_text().splitlines())
        for start, score in enumerate(line["scores"])
    ]
    return DataFrame(rows)


def table(frame: DataFrame, by: str) -> Table:
    """Regrets, a row for each value of a column."""
    about = ABOUT | {fingerprint("shipped"): "shipped"}
    groups = frame.groupby(by, sort=True)
    rows = [
        (
            " ".join([str(value), *(f"({text})" for name, text in about.items() if name == value)]),
            str(group["task"].nunique()),
            f"{group['regret'].mean():.3f}",
            f"{group['regret'].median():.3f}",
            f"{(group['regret'] >= BAD).mean():.0%}",
            str(group["worse than untrained"].sum()),
        )
        for value, group in groups
    ]
    heading = (by, "tasks", "mean regret", "median", f"{BAD} or more", "runs worse than untrained")
    return Table(f"Held-out tasks of the bank, by {by}", heading, rows)


def in_words(frame: DataFrame, policy: str, entries: Sequence[Entry]) -> str:
    """What the regrets of a policy say, beside those of the best schedule with other seeds."""

    def ends(name: str) -> tuple[str, str]:
        regrets = frame[frame["policy"] == name]["regret"]
        return f"{100 * math.expm1(regrets.median()):.1f} %", f"{100 * (regrets >= BAD).mean():.0f} %"

    own = frame[frame["policy"] == policy]
    tried = statistics.fmean(len(entry.scores) for entry in entries if entry.task.held_out)
    (middle, share), (lucky, unlucky) = ends(policy), ends(SAME_SCHEDULE)
    starts = f"from {len(STARTS)} starting rates over {STARTS[-1] - STARTS[0]:.0f} decades"
    return (
        f"**Trainings that no policy learned from.** {own['task'].nunique()} held-out trainings, drawn at random, "
        f"{starts}: half of the runs end less than {middle} above the best of {tried:.0f} schedules tried on the "
        f"training, {share} of the runs {100 * math.expm1(BAD):.0f} % or more above it (by loss and error together), "
        f"and {own['worse than untrained'].sum()} of {len(own)} are worse than untrained. The best schedules "
        f"themselves, run again with other seeds, have {lucky} and {unlucky}."
    )


def contents(entries: Sequence[Entry]) -> Table:
    """What the bank holds: a row for each kind of task."""
    frame = DataFrame(
        {
            "kind": entry.task.kind,
            "held out": entry.task.held_out,
            "steps": entry.task.steps,
            "parameters": parameters(entry),
            "batch": entry.task.batch_size,
            "optimizer": entry.task.optimizer,
            "runs": len(entry.scores),
        }
        for entry in entries
    )

    def row(name: str, group: DataFrame) -> tuple[str, ...]:
        ranges = [f"{group[key].min():,} to {group[key].max():,}" for key in ("steps", "parameters", "batch")]
        numbers = (len(group), group["held out"].sum(), group["runs"].sum())
        return (name, *map(str, numbers), *ranges, ", ".join(sorted(group["optimizer"].unique())))

    rows = [row(str(kind), group) for kind, group in frame.groupby("kind")]
    header = ("kind", "tasks", "held out", "schedules tried", "steps", "parameters", "batch", "optimizers")
    return Table("The bank", header, [*rows, row("all", frame)])


def parameters(entry: Entry) -> int:
    """How many a task's network has."""
    network = build(entry.task.network, entry.task.network_options, initial=entry.task.initial, seed=entry.task.seed)
    return sum(parameter.numel() for parameter in network.parameters())


RENAMED = {"distilled": "distil steps", "improved": "ppo steps", "distil_flown": "distil_driven"}
"""What 0.1 called otherwise in a policy's provenance."""


def origin(policy: str | Path) -> str:
    """Where a policy comes from, out of its file's header: of which others it is made, and what made each of these."""
    leaves: list[dict[str, Any]] = []

    def made(provenance: dict[str, Any]) -> str:
        if "of" in provenance:
            kind = provenance["made_by"].removeprefix("lrpilot pretrain ")
            return f"{kind}({', '.join(made(each) for each in provenance['of'])})"
        leaves.append(provenance)
        return ascii_uppercase[len(leaves) - 1]

    def column(leaf: dict[str, Any]) -> dict[str, Any]:
        steps = {f"{stage} steps": count for stage, count in leaf.get("done", {}).items()}
        rest = {name: value for name, value in leaf.items() if name not in ("configuration", "done")}
        everything: dict[str, Any] = rest | steps | leaf["configuration"]
        return {RENAMED.get(name, name): value for name, value in everything.items()}

    how = made(Policy.load(policy).provenance)
    columns = [column(leaf) for leaf in leaves]
    names = dict.fromkeys(name for each in columns for name in each)
    rows = [(name.replace("_", " "), *(str(each.get(name, "-")) for each in columns)) for name in names]
    table = Table("Origin", ("", *ascii_uppercase[: len(leaves)]), rows).to_markdown()
    return f"Fingerprint {fingerprint(policy)}: {how}.\n\n{table}"


@app.command()
def main(
    policy: Annotated[str, typer.Option(help="The policy: `shipped`, or its file.")] = "shipped",
    bank: Annotated[Path, typer.Option(help="The bank's file.")] = Path("results/bank.jsonl"),
    out: Annotated[Path, typer.Option(help="The results; new ones are added.")] = Path("results/bank-judged.jsonl"),
    workers: Annotated[int, typer.Option(help="Tasks side by side, each with one thread.")] = 1,
    readme: Pages = None,  # parts origin, bank, held-out and unseen
) -> None:
    """Judge a policy on the held-out tasks of the bank; an hour on one core."""
    torch.set_num_threads(1)
    console, entries = Console(), store.read(bank)
    run(out, entries, policy, workers=workers, console=console)
    frame = regrets(out, entries)
    own = frame[frame["policy"] == fingerprint(policy)]
    tables = [table(frame, "policy"), table(own, "kind"), table(own, "optimizer")]
    for each in tables:
        show(console, each)
    written = {
        "origin": origin(policy),
        "bank": contents(entries).to_markdown(),
        "held-out": "\n\n".join(each.to_markdown() for each in tables),
        "unseen": in_words(frame, fingerprint(policy), entries),
    }
    for page in readme or ():
        for name in written.keys() & set(parts(page)):
            fill(page, name, written[name])


if __name__ == "__main__":
    app()
