"""The subcommand ``lrpilot pretrain``: it parses, calls and shows how the policy comes along."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from lrpilot.experiments.report.terminal import STOPPED, say

if TYPE_CHECKING:
    from lrpilot.learning.pretrain import PretrainConfig

STAGES = {"distil": "learning from schedules", "ppo": "actor-critic"}


def pretrain(
    out: Annotated[Path, typer.Option(help="Folder of the policy, its checkpoint and its curves.")] = Path(
        "runs/pretrain"
    ),
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
    seed: Annotated[int | None, typer.Option(help="Of everything drawn.", min=0)] = None,
    groups: Annotated[
        int | None, typer.Option(help="Budget of the first stage: groups of tasks whose schedules are tried.", min=0)
    ] = None,
    iterations: Annotated[
        int | None, typer.Option(help="Budget of the second stage: iterations of the actor-critic.", min=0)
    ] = None,
    mnist: Annotated[
        bool, typer.Option(help="Have MNIST at 8x8 among the data (needs the variable LRPILOT_DATA).")
    ] = True,
) -> None:
    """Learn the pilot's policy from nothing, over a population of small trainings. Hours on one core.

    What is not given is as it was for the shipped policy.
    """
    from lrpilot.experiments.runs.perform import commit
    from lrpilot.learning.pretrain import PretrainConfig
    from lrpilot.learning.pretrain import pretrain as learn

    given = {"seed": seed, "distil_groups": groups, "ppo_iterations": iterations}
    config = replace(PretrainConfig(), mnist=mnist, **{name: n for name, n in given.items() if n is not None})
    console = Console()
    try:
        with _Display(config, console) as display:
            learn(config, out, resume=resume, report=display.show, commit=commit())
    except KeyboardInterrupt:
        say(console, f"Stopped. --resume goes on from the last checkpoint in {out}, if it came that far.")
        raise typer.Exit(STOPPED) from None
    say(console, f"Policy in {out / 'policy.safetensors'}, curves in {out / 'curves.png'}.")


class _Display:
    """A line that is redrawn, and a line printed for each evaluation."""

    def __init__(self, config: PretrainConfig, console: Console) -> None:
        self._config = config
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            speed_estimate_period=3600,
        )
        total = config.distil_groups + config.ppo_iterations
        self._bar = self._progress.add_task(STAGES["distil"], total=total, state="")

    def __enter__(self) -> _Display:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, event: dict[str, Any]) -> None:
        """What `lrpilot.learning.pretrain.pretrain` reports."""
        stage = event["stage"]
        if stage == "evaluation":
            say(
                self._progress.console,
                f"after {event['hours']:.2f} h: mean final log loss {event['score']:.3f} on tasks held out, "
                f"{event['regret']:.3f} above each task's best schedule",
            )
            return
        done = event["index"] + (self._config.distil_groups if stage == "ppo" else 0)
        state = f"regret {event['regret']:.3f}" if stage == "distil" else f"score {event['score']:.3f}"
        self._progress.update(self._bar, completed=done, description=STAGES[stage], state=state)
