"""The subcommand ``lrpilot suggest``: it parses, calls and prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from lrpilot.experiments.report.tables import Table
from lrpilot.experiments.runs.optimizers import HELP as OPTIMIZER_HELP

from .options import Data, TaskName, command
from .terminal import say, show

if TYPE_CHECKING:
    from lrpilot.suggestion import Suggestion

ROSE = 0.25
"""The answer is doubtful if the loss was lowest at a lower rate and then rose by this share of that lowest loss."""


def suggest(
    task: TaskName = "digits",
    optimizer: Annotated[str, typer.Option(help=OPTIMIZER_HELP)] = "sgd",
    momentum: Annotated[float | None, typer.Option(help="Momentum, for optimizers that have one.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Batch size; default the task's.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of all random numbers.")] = 0,
    steps: Annotated[int, typer.Option(help="Steps of the probe; about 1 % of a long run, not fewer than 100.")] = 100,
    data: Data = None,
) -> None:
    """Suggest a learning rate for TASK, with the evidence, in seconds."""
    from lrpilot.experiments.choices import at_least
    from lrpilot.experiments.runs.configuration import Configuration
    from lrpilot.experiments.runs.probe import suggested
    from lrpilot.experiments.tasks.catalogue import load_task

    at_least(1, steps=steps)
    asked = Configuration(
        task=task, controller="none", optimizer=optimizer, momentum=momentum, batch_size=batch_size, seed=seed
    )
    asked.check()
    console = Console()
    with console.status(f"probing {task}"):
        found = suggested(asked, load_task(task, folder=data), steps=steps)
    say(console, "A probe of the network: the learning rate rises from step to step.")
    show(console, _evidence(found))
    doubt = _doubt(found)
    if doubt:
        say(console, doubt)
    elif found.highest_sound == found.rates[-1]:
        say(
            console,
            "No loss rose to half above the untrained one's. The probe ends where a step moves the weights by their "
            "own size.",
        )
    say(console, f"Learning rate {found}.")
    words = ["--optimizer", optimizer, *([] if momentum is None else ["--momentum", momentum])]
    say(console, f"Try it: {command('train', task, '--controller', 'none', *words, '--lr', f'{found.rate:.2g}')}")


def _doubt(found: Suggestion) -> str:
    """What speaks for a lower rate: the loss had fallen below the answer, and rose again without being too high."""
    sound = [loss for rate, loss in zip(found.rates, found.losses, strict=True) if rate <= found.highest_sound]
    if not sound:
        return ""
    least = min(sound)
    place = sound.index(least)
    at, highest = found.rates[place], max(sound[place:])
    if at >= found.rate or highest - least <= ROSE * abs(least):
        return ""
    return (
        f"Unsure: the averaged loss was lowest, {least:.3g}, at a rate of {at:.2g}, and rose to {highest:.3g} after "
        f"that. If {found.rate:.2g} does not train, take {at:.2g}."
    )


def _evidence(found: Suggestion) -> Table:
    """Two rows a decade, and those at which it ends."""
    rows: list[list[str]] = []
    least = 0.0
    for rate, loss in zip(found.rates, found.losses, strict=True):
        if rate >= least or rate in (found.highest_sound, found.rates[-1]):
            rows.append([f"{rate:.2g}", f"{loss:.3g}", "sound" if rate <= found.highest_sound else "too high"])
            least = 3 * rate
    return Table("", ["rate", "loss, averaged", "verdict"], rows)
