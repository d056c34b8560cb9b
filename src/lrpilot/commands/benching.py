"""The subcommands of ``lrpilot bench``: they parse, call and print."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import typer

from lrpilot.errors import InvalidArgument

bench = typer.Typer(help="Measurements of lrpilot itself, from a checkout.", no_args_is_help=True)
BENCHMARKS = {
    "overhead": "The cost of a step, as ratios to plain SGD; --quick: in a minute.",
    "readings": "Which reading of the paper is sound most widely: all that it leaves open, in rungs; hours.",
    "rollouts": "What batching thousands of small trainings is worth.",
    "suggest": "The rates that lrpilot suggest names, beside the range tests of Lightning and fastai. Minutes.",
    "environments": "Steps a second of the learning rate environments.",
    "policy": "What the pilot's policy owes to its parts. Hours on one core.",
    "bank": "A policy on the bank's tasks that none learns from; an hour on one core.",
    "suite": "The pilot and its opponents on tasks that nothing was chosen on. Hours on one core; resumable.",
    "faults": "Processes killed, disks that fill, two at one folder: what is lost.",
    "rollback": "Random small runs with rollback and without, side by side; minutes, resumable.",
    "divergence": "Every optimizer from rates that are decades off, alone and driven; minutes, resumable.",
    "gpu": "The contract tests, a run of each controller, host waits and costs on a CUDA device.",
}


def _benchmark(context: typer.Context) -> None:
    """A benchmark is part of the repository, not of the installed package: it reads its own arguments."""
    checkout = Path(__file__).resolve().parents[3]
    if not (checkout / "benchmarks" / "__init__.py").is_file():
        raise InvalidArgument("bench", "called from a checkout of the repository", "an installed package")
    sys.path.insert(0, str(checkout))
    benchmark = import_module(f"benchmarks.{context.info_name}")
    benchmark.app(context.args, prog_name=context.command_path, standalone_mode=False)


for _name, _help in BENCHMARKS.items():
    passed_on = {"allow_extra_args": True, "ignore_unknown_options": True}
    bench.command(_name, help=_help, context_settings=passed_on, add_help_option=False)(_benchmark)
