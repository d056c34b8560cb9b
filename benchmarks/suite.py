"""``python -m benchmarks.suite``: the pilot and its opponents on tasks that nothing was chosen on.

Whatever was made is in ``results/suite.jsonl``; the same command goes on from there. Look at it with a policy only when
that is to ship: choose on other tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lrpilot.commands.options import close, stoppable
from lrpilot.commands.terminal import say, show
from lrpilot.experiments.report.page import Picture
from lrpilot.experiments.report.suite import suite_blocks, suite_rows
from lrpilot.experiments.report.tables import Table
from lrpilot.experiments.runs.execute import Engine, complete
from lrpilot.experiments.runs.store import Store
from lrpilot.experiments.studies.suite import METHODS, ROOT, SEEDS, trials
from lrpilot.experiments.tasks.suite import SUITE

app = typer.Typer(add_completion=False)


def _names(given: Sequence[str] | None, all_names: Sequence[str]) -> list[str]:
    """Names with commas or repeated; all without any."""
    return [name.strip() for each in given or [] for name in each.split(",")] or list(all_names)


@app.command()
def suite(
    task: Annotated[list[str] | None, typer.Option(help=f"Only these, with commas: {', '.join(SUITE)}.")] = None,
    methods: Annotated[list[str] | None, typer.Option(help=f"Only these, with commas: {', '.join(METHODS)}.")] = None,
    seeds: Annotated[int, typer.Option(help="Runs of each method at each setting.", min=1)] = SEEDS,
    policy: Annotated[Path | None, typer.Option(help="The pilot's policy file; default the shipped one.")] = None,
    workers: Annotated[int, typer.Option(help="Runs side by side, each with one thread.", min=1)] = 1,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Make crashed runs again.")] = False,
    results: Annotated[Path, typer.Option(help="Where results are, and go.")] = Path("results"),
) -> None:
    """Make the runs of the suite that are missing; print where every method stands and draw the profile."""
    store, console = Store(results), Console()
    plan = partial(
        trials,
        tasks=_names(task, tuple(SUITE)),
        methods=_names(methods, METHODS),
        seeds=seeds,
        policy=policy or "shipped",
    )
    engine = Engine(workers=workers, policy=policy and policy.resolve())
    with stoppable(console, f"What was made is in {store.root / ROOT}.jsonl; the same command goes on from there."):
        tally = complete({ROOT: plan}, store, engine=engine, retry_failed=retry_failed, console=console)
    for block in suite_blocks(suite_rows(store, policy=policy or "shipped")):
        if isinstance(block, Table):
            show(console, block)
        elif isinstance(block, Picture):
            say(console, str(block.write(store.root)))
    close(console, tally, f"Results in {store.root / ROOT}.jsonl")


if __name__ == "__main__":
    app()
