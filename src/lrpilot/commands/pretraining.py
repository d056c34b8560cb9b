"""The subcommand ``lrpilot pretrain`` and its own, `bank`, `mean` and `panel`: they parse, call and show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from lrpilot.core.signals import stopped_by_signals
from lrpilot.errors import InvalidArgument
from lrpilot.experiments.choices import at_least

from .options import command, path_option, stoppable
from .terminal import say

if TYPE_CHECKING:
    from lrpilot.pilot.policy import Policy

STAGES = {"distil": "learning from schedules", "ppo": "actor-critic", "bank": "learning from the bank"}

BANK = Path("results/bank.jsonl")

pretraining = typer.Typer()


@pretraining.callback(invoke_without_command=True)
def pretrain(
    context: typer.Context,
    out: Annotated[Path, path_option("Folder of the policy, its checkpoint and its curves.")] = Path("runs/pretrain"),
    resume: Annotated[bool, typer.Option("--resume", help="Resume from the checkpoint in --out.")] = False,
    seed: Annotated[int | None, typer.Option(help="Seed of all random numbers.", min=0)] = None,
    groups: Annotated[
        int | None, typer.Option(help="Budget of the first stage: groups of tasks whose schedules are tried.", min=0)
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(help="Budget of the second stage: rounds over the bank of real trainings.", min=0)
    ] = None,
    iterations: Annotated[
        int | None, typer.Option(help="Budget of the third stage: iterations of the actor-critic.", min=0)
    ] = None,
    bank: Annotated[Path, path_option("The bank's file, which `lrpilot pretrain bank` makes.")] = BANK,
    workers: Annotated[int, typer.Option(help="Trainings of the bank side by side, each with one thread.")] = 1,
    mnist: Annotated[
        bool, typer.Option(help="Include MNIST at 8x8 pixels in the data (found through the variable LRPILOT_DATA).")
    ] = True,
) -> None:
    """Train the pilot's policy from scratch: on many small trainings, then on the bank of real ones. Hours on one core.

    The shipped policy's own settings are in docs/policy-card.md.
    """
    if context.invoked_subcommand:
        return
    from lrpilot.experiments.runs.perform import commit
    from lrpilot.learning.bank import store
    from lrpilot.learning.pretrain import PretrainConfig
    from lrpilot.learning.pretrain import pretrain as learn

    at_least(1, workers=workers)
    at_least(0, seed=seed, groups=groups, iterations=iterations, rounds=rounds)
    given = {"seed": seed, "distil_groups": groups, "ppo_iterations": iterations, "bank_rounds": rounds}
    config = replace(PretrainConfig(), mnist=mnist, **{name: n for name, n in given.items() if n is not None})
    entries = []
    if config.bank_rounds:
        entries = store.read(bank)
        if not entries:
            raise InvalidArgument("--bank", "a file that `lrpilot pretrain bank` made, or --rounds 0", str(bank))
    console = Console()
    options = {"seed": seed, "groups": groups, "iterations": iterations, "rounds": rounds}
    options |= {"bank": bank if bank != BANK else None, "workers": workers if workers > 1 else None}
    words = [word for name, value in options.items() if value is not None for word in (f"--{name}", value)]
    go_on = command("pretrain", *words, *([] if mnist else ["--no-mnist"]), "--out", out, "--resume")
    stop = Event()

    def ask() -> None:
        say(console, "Stopping when this one is done; once more stops at once.")
        stop.set()

    with stoppable(console, f"Resume with: {go_on}"), _progress(console) as progress, stopped_by_signals(ask):
        bar = progress.add_task(STAGES["distil"], total=config.distil_groups, state="")

        def show(event: dict[str, Any]) -> None:
            stage = event["stage"]
            if stage == "evaluation":
                say(
                    console,
                    f"after {event['hours']:.2f} h: mean final log loss {event['score']:.3f} on tasks held out, "
                    f"{event['regret']:.3f} above each task's best schedule",
                )
                return
            done, total = event.get("runs", event["index"]), event.get("of", event["total"])
            number = next(name for name in ("regret", "score", "loss", "round") if name in event)
            state = f"{number} {event[number]:.3g}"
            progress.update(bar, completed=done, total=total, description=STAGES[stage], state=state)

        learned = learn(
            config,
            out,
            bank=entries,
            workers=workers,
            resume=resume,
            report=show,
            stopped=stop.is_set,
            commit=commit(),
        )
        if learned is None:
            raise KeyboardInterrupt
    say(console, f"Policy in {out / 'policy.safetensors'}, curves in {out / 'curves.png'}.")


@pretraining.command()
def bank(
    tasks: Annotated[int, typer.Option(help="How many the bank is to hold.")] = 1000,
    workers: Annotated[int, typer.Option(help="Tasks side by side, each with one thread.")] = 1,
    out: Annotated[Path, path_option("The bank, which grows: a line of JSON for each task.")] = BANK,
) -> None:
    """Add to the bank of trainings: tasks drawn, and the scores of the schedules tried on each. Days on one core.

    To resume what was stopped, give the same command again.
    """
    from lrpilot.learning.bank import store

    at_least(1, tasks=tasks, workers=workers)
    console, held = Console(), len(store.read(out))
    with (
        stoppable(console, f"Finished tasks are in {out}; give the same command again to resume."),
        _progress(console) as progress,
    ):
        bar = progress.add_task("tasks", total=tasks, completed=min(held, tasks), state="")

        def show(line: dict[str, Any]) -> None:
            progress.update(bar, advance=1, state=f"task {line['task']['index']}")

        store.extend(out, tasks, workers=workers, report=show)
    say(console, f"{len(store.read(out))} tasks in {out}.")


Members = Annotated[list[str], typer.Argument(help="Files of policies; `shipped` is the one of the package.")]
Combined = Annotated[Path, path_option("The policy's file.")]


@pretraining.command()
def mean(policies: Members, out: Combined = Path("runs/mean.safetensors")) -> None:
    """Make a policy whose weights are the mean of those of POLICIES."""
    from lrpilot.learning.combining import mean_of

    _combine(mean_of, policies, out)


@pretraining.command()
def panel(policies: Members, out: Combined = Path("runs/panel.safetensors")) -> None:
    """Make a policy whose answer is the median of those of POLICIES, an odd number of them."""
    from lrpilot.learning.combining import panel_of

    _combine(panel_of, policies, out)


def _combine(how: Callable[[Sequence[Policy]], Policy], policies: Sequence[str], out: Path) -> None:
    from lrpilot.pilot.policy import Policy
    from lrpilot.pilot.policy_file import locate

    combined = how([Policy.load(policy) for policy in policies])
    if out.exists() and any(locate(policy).samefile(out) for policy in policies):
        raise InvalidArgument("--out", "another file than those of POLICIES, which it would replace", str(out))
    out.parent.mkdir(parents=True, exist_ok=True)
    combined.save(out)
    say(Console(), f"Policy in {out}.")


def _progress(console: Console) -> Progress:
    return Progress(
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
