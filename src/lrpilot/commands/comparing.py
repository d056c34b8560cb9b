"""The subcommand ``lrpilot compare``: it parses, calls and prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from lrpilot.experiments.runs.execute import Engine, complete
from lrpilot.experiments.runs.optimizers import HELP as OPTIMIZER_HELP

from .options import Data, RetryFailed, TaskName, close, command, path_option, stoppable, with_options_of
from .terminal import say, show


@with_options_of(Engine)
def compare(
    task: TaskName = "digits",
    optimizer: Annotated[
        str,
        typer.Option(help=f"Optimizer of the pilot and the grids. {OPTIMIZER_HELP}"),
    ] = "sgd",
    seeds: Annotated[int, typer.Option(help="Runs of each method at each starting rate.")] = 3,
    steps: Annotated[int | None, typer.Option(help="Steps of each run; default the task's.")] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option(
            help="Only these: pilot, constant, cosine, or a rate-free optimizer such as prodigy; with commas, or "
            "repeated. Run only if named: range-test, one-cycle, greedy, warmup-linear, warmup-cosine; dog, mechanic, "
            "momo and others of docs/suite.md; pilot-refined, which takes nine runs for each result."
        ),
    ] = None,
    policy: Annotated[
        Path | None, path_option("The pilot's policy file, such as pretrain makes; default the shipped one.")
    ] = None,
    retry_failed: RetryFailed = False,
    results: Annotated[Path, path_option("Folder of all results; these go into its subfolder compare.")] = Path(
        "results"
    ),
    data: Data = None,
    **engine: Any,
) -> None:
    """Compare the pilot with constant rates, cosines (all from five rates) and rate-free optimizers on TASK.

    Runs what is missing, prints a table and draws a picture of all results. To resume, give the same command again.
    """
    from lrpilot.experiments.report.starts import arranged, by_rate, picture, standings
    from lrpilot.experiments.runs.store import Store
    from lrpilot.experiments.studies.comparison import CONTENDERS, KNOWN, Comparison
    from lrpilot.experiments.studies.frame import frame
    from lrpilot.experiments.studies.plans import found

    given = [name.strip() for each in methods or [] for name in each.split(",")]
    whole, comparison = (
        Comparison.of(task, optimizer, steps=steps, seeds=seeds, policy=policy or "shipped", methods=names)
        for names in (KNOWN, given or CONTENDERS)
    )
    store, console = Store(results), Console()
    made_on = Engine(**engine, data=data, policy=policy and policy.resolve())
    folder = store.root / comparison.experiment
    with stoppable(console, f"Finished runs are in {folder}.jsonl; give the same command again to resume."):
        plans = {comparison.name: comparison.trials}
        tally = complete(plans, store, engine=made_on, retry_failed=retry_failed, console=console)
    # Of all methods, whichever this call made.
    key = (whole.task, whole.optimizer, whole.steps)
    runs = arranged(frame(found(store, whole.trials())), policy=whole.policy)
    show(console, by_rate(key, runs))
    stands = standings({key: runs})
    for heading, cell in zip(stands.header[1:], stands.rows[0][1:], strict=True):
        say(console, f"{heading}: {cell}")
    file = picture({key: runs}, comparison.name).write(folder)
    close(console, tally, f"Picture in {file}\nPages: {command('report', '--results', results)}")
