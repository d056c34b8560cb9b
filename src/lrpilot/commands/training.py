"""The subcommands ``lrpilot train`` and ``lrpilot demo``: they parse, call and print."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from lrpilot.errors import InvalidArgument
from lrpilot.experiments.choices import at_least
from lrpilot.experiments.report.tables import Table
from lrpilot.experiments.runs.configuration import Configuration

from .options import Data, TaskName, path_option, with_options_of
from .terminal import STOPPED, say, show

if TYPE_CHECKING:
    from lrpilot.experiments.runs.single_run import Outcome


@with_options_of(Configuration)
def train(
    task: TaskName = "digits",
    checkpoint_every: Annotated[
        int | None, typer.Option(help="Steps between checkpoints; default as --evaluate-every.")
    ] = None,
    data: Data = None,
    out: Annotated[Path | None, path_option("Run directory; default a fresh one under runs/.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume the run in --out.")] = False,
    **given: Any,
) -> None:
    """Train a network on TASK while the pilot sets its learning rate."""
    from lrpilot.experiments.report.pictures import draw_run
    from lrpilot.experiments.runs import single_run

    from .progress import Display

    console = Console()
    named: dict[str, Any] = {k: v.lower() if isinstance(v, str) else v for k, v in given.items()}
    with Display(console) as display:
        outcome = single_run.train(
            Configuration(task=task, **named),
            display=display,
            draw=draw_run,
            folder=data,
            out=out,
            resume=resume,
            checkpoint_every=checkpoint_every,
        )
    _print_outcome(console, outcome)
    if outcome.failure:
        raise outcome.failure
    if not outcome.finished:
        say(console, f"Stopped. Resume with: {outcome.resume_command(data)}")
        raise typer.Exit(STOPPED)


def _print_outcome(console: Console, outcome: Outcome) -> None:
    evaluated = [record for record in outcome.records if record.get("test_error") is not None]
    if evaluated and not outcome.failure:
        last, best = evaluated[-1], min(evaluated, key=lambda record: record["test_error"])
        rates = outcome.rates
        moved = f"began at {rates[0]:.3g}, peaked at {max(rates):.3g}, ended at {rates[-1]:.3g}"
        say(
            console,
            f"{outcome.configuration.data}: test error {last['test_error']:.2f} % after {last['step']} steps and "
            f"{last['seconds']:.1f} s (best {best['test_error']:.2f} % at step {best['step']}).\n"
            f"Learning rate: {moved if min(rates) < max(rates) else f'{rates[0]:.3g} throughout'}.",
        )
    board = shlex.join(["tensorboard", "--logdir", str(outcome.path)])
    say(console, f"Curves in {outcome.curves}\nTensorBoard: {board}")


def demo(
    out: Annotated[Path, path_option("Where the picture goes.")] = Path("runs/demo.png"),
    steps: Annotated[int, typer.Option(help="Steps of each run.")] = 2_000,
) -> None:
    """Handwritten digits: the pilot from a rate that is far too low, beside fixed rates. Takes half a minute."""
    import torch

    from lrpilot.core.files import replaceable
    from lrpilot.core.folders import make, remove
    from lrpilot.experiments.report.pictures import draw_comparison
    from lrpilot.experiments.studies.demo import LEARNED, POOR_START, Row, run_demo, verdict

    at_least(1, steps=steps)
    replaceable(out)
    if out.suffix.lower() not in ("", ".png"):
        raise InvalidArgument("--out", "the name of a PNG file", str(out))
    replaceable(out.with_suffix(".svg"))
    made = make(out.parent)
    torch.set_num_threads(1)  # too small a network to be shared: on a busy machine two threads take ten times as long
    console = Console()
    say(
        console,
        f"Training one small network seven times, {steps:,} steps each. Twice from a rate of\n"
        f"{POOR_START:g}, which is far too low: with the pretrained pilot, and with the paper's\n"
        "actor-critic (online), which learns during the run. Then at five fixed rates.\n"
        "Test errors:",
    )

    def cells(row: Row) -> list[str]:
        last = row.records[-1]
        error = f"{row.error:.1f} %{' (diverged)' if last.diverged else ''}"
        return [row.label, f"{row.start:g}", f"{last.learning_rate:.3g}", error, f"{last.seconds:.1f}"]

    try:
        with console.status("training"):
            rows = run_demo(steps=steps, show=lambda row: say(console, f"  {row.label}: {row.error:.1f} %"))
    except BaseException:
        remove(made)
        raise
    header = ["method", "rate at the start", "rate at the end", "test error", "seconds"]
    show(console, Table("Handwritten digits", header, list(map(cells, rows))))
    curves = {row.label: [record.as_json() for record in row.records] for row in rows}
    said = verdict(rows)
    draw_comparison(curves, out, title=f"Handwritten digits.\n{said}", learned=LEARNED)
    say(console, said)
    say(console, f"Curves of error and rate: {out}")
