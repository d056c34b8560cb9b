"""The subcommands of ``lrpilot``: they parse, call and print."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from lrpilot.errors import InvalidArgument
from lrpilot.experiments.commands import comparing, pretraining, reproduction
from lrpilot.experiments.report.readme import fill
from lrpilot.experiments.report.terminal import STOPPED, TASK_HELP

if TYPE_CHECKING:
    from lrpilot.experiments.runs.single_run import Outcome

app = typer.Typer(
    help="Sets the learning rate while a network trains.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

bench = typer.Typer(help="What controllers cost, and what the pilot's policy owes to its parts.", no_args_is_help=True)
app.add_typer(bench, name="bench")


@app.callback()
def _options() -> None:
    """Sets the learning rate while a network trains."""


@app.command()
def train(
    task: Annotated[
        str,
        typer.Argument(help=TASK_HELP),
    ] = "digits",
    controller: Annotated[
        str | None, typer.Option(help="What drives the rate: pilot (default), online, or none for a fixed rate.")
    ] = None,
    setting: Annotated[
        str | None,
        typer.Option(help="Of the online actor-critic: stable (default), or paper, the literal one."),
    ] = None,
    discount: Annotated[
        float | None, typer.Option(help="Gamma of the online actor-critic; default the setting's.")
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(help="Any of torch.optim by name, tf-adam, tf-adagrad, tf-rmsprop; default sgd."),
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option(help="Learning rate to start from; default 0.1 for sgd, else the optimizer's."),
    ] = None,
    momentum: Annotated[float | None, typer.Option(help="For optimizers that have one.")] = None,
    steps: Annotated[int | None, typer.Option(help="Updates of the network; default the task's.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Examples a step; default the task's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random; default 0.")] = None,
    evaluate_every: Annotated[
        int | None, typer.Option(help="Steps between evaluations; default a twentieth of the run, 100 at least.")
    ] = None,
    checkpoint_every: Annotated[
        int | None, typer.Option(help="Steps between checkpoints; default as --evaluate-every.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of the data sets; default the variable LRPILOT_DATA, or the cache."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run directory; default a fresh one under runs/.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
) -> None:
    """Train a network on TASK while its learning rate is learned."""
    from lrpilot.experiments.runs import single_run
    from lrpilot.experiments.runs.configuration import Choices
    from lrpilot.experiments.runs.progress import display_for

    console = Console()
    choices = Choices(
        task=task,
        controller=controller and controller.lower(),
        setting=setting,
        discount=discount,
        optimizer=optimizer and optimizer.lower(),
        lr=lr,
        momentum=momentum,
        steps=steps,
        batch_size=batch_size,
        evaluate_every=evaluate_every,
        seed=seed,
    )
    with display_for(console) as display:
        outcome = single_run.train(
            choices, display=display, folder=data, out=out, resume=resume, checkpoint_every=checkpoint_every
        )
    _print_outcome(console, outcome)
    if outcome.failure:
        raise outcome.failure
    if not outcome.finished:
        _say(console, f"Stopped. Go on with: {outcome.resume_command(data)}")
        raise typer.Exit(STOPPED)


def _print_outcome(console: Console, outcome: Outcome) -> None:
    configuration = outcome.configuration
    evaluated = [record for record in outcome.records if record.get("test_error") is not None]
    if evaluated and not outcome.failure:
        last, best = evaluated[-1], min(evaluated, key=lambda record: record["test_error"])
        rate = f"{configuration.lr:g}"
        if configuration.controller != "none":
            rate = f"from {rate} to {last['learning_rate']:.3g}"
        _say(
            console,
            f"{configuration.data}: test error {last['test_error']:.2f} % after {last['step']} steps "
            f"and {last['seconds']:.1f} s (best {best['test_error']:.2f} % at step {best['step']}); "
            f"learning rate {rate}.",
        )
    _say(
        console,
        f"Curves in {outcome.curves}, everything else beside it (tensorboard --logdir {outcome.path}).",
    )


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where the picture goes.")] = Path("runs/demo.png"),
    steps: Annotated[int, typer.Option(help="Updates in each run.", min=1)] = 2_000,
) -> None:
    """Handwritten digits: rates learned from a poor start, beside fixed ones. Takes seconds."""
    import torch

    from lrpilot.experiments.studies.demo import POOR_START, run_demo

    torch.set_num_threads(1)  # too small a network to be shared: on a busy machine two threads take ten times as long
    console = Console()
    _say(console, f"Training one small network seven times, {steps} steps each. Twice from a learning rate of")
    _say(
        console,
        f"{POOR_START:g}, far too low: with the pretrained pilot, and with the online actor-critic, which learns",
    )
    _say(console, "the rate in that very run. Then at five fixed rates.")
    with console.status("training"):
        rows = run_demo(out, steps=steps, show=lambda row: _say(console, f"  {row.label}: {row.error:.1f} %"))
    table = Table(title="Handwritten digits, held-out error")
    for heading in ("learning rate", "at the start", "at the end", "test error", "seconds"):
        table.add_column(heading, justify="left" if heading == "learning rate" else "right")
    best = min(row.error for row in rows)
    for row in rows:
        last = row.records[-1]
        table.add_row(
            row.label,
            f"{row.start:g}",
            f"{last.learning_rate:.3g}",
            f"{row.error:.1f} %{' (diverged)' if last.diverged else ''}",
            f"{last.seconds:.1f}",
            style="bold" if row.error == best else None,
        )
    console.print(table)
    _say(console, f"Curves of error and rate: {out}")


BENCHMARKS = {
    "overhead": "The cost of a step, as ratios to plain SGD; --quick: in a minute.",
    "rollouts": "What batching thousands of small trainings is worth.",
}


def _benchmark(context: typer.Context) -> None:
    """A benchmark is part of the repository, not of the installed package: it reads its own arguments."""
    checkout = Path(__file__).resolve().parents[4]
    if not (checkout / "benchmarks" / "__init__.py").is_file():
        raise InvalidArgument("bench", "called from a checkout of the repository", "an installed package")
    sys.path.insert(0, str(checkout))
    benchmark = import_module(f"benchmarks.{context.info_name}")
    benchmark.app(context.args, prog_name=context.command_path, standalone_mode=False)


for _name, _help in BENCHMARKS.items():
    passed_on = {"allow_extra_args": True, "ignore_unknown_options": True}
    bench.command(_name, help=_help, context_settings=passed_on, add_help_option=False)(_benchmark)


@bench.command()
def policy(
    out: Annotated[Path, typer.Option(help="The file of findings, which grows: a line of JSON for each.")] = Path(
        "results/policy.jsonl"
    ),
    file: Annotated[
        str, typer.Option("--policy", help="The policy whose features are hidden: shipped, or a file.")
    ] = "shipped",
    seeds: Annotated[
        int, typer.Option(help="How often each variant of the pretraining is learned anew, some minutes each.", min=0)
    ] = 3,
    readme: Annotated[
        Path | None, typer.Option(help="Write the tables between this file's policy markers as well.")
    ] = None,
) -> None:
    """What the pilot's policy owes to its parts; the noisy quadratic against its optimum. Hours on one core."""
    from lrpilot.experiments.report.terminal import show
    from lrpilot.experiments.studies import ablations

    console, ledger = Console(), ablations.Ledger(out)
    try:
        with console.status("") as status:
            ablations.study(ledger, file, seeds=seeds, report=status.update)
    except KeyboardInterrupt:
        _say(console, f"Stopped. What was found is in {out}; the same command goes on from there.")
        raise typer.Exit(STOPPED) from None
    tables = ablations.tables(list(ledger))
    for table in tables:
        show(console, table)
    if readme is not None:
        fill(readme, "policy", "\n\n".join(table.to_markdown() for table in tables))


app.command()(comparing.compare)
app.command()(reproduction.reproduce)
app.command()(reproduction.report)
app.command()(pretraining.pretrain)


def _say(console: Console, line: str) -> None:
    console.print(line, soft_wrap=True, highlight=False, markup=False)
