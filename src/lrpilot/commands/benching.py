"""The subcommands of ``lrpilot bench``: they parse, call and print."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import typer

from lrpilot.errors import InvalidArgument

from .terminal import STOPPED

bench = typer.Typer(help="Measurements of lrpilot itself, from a checkout.", no_args_is_help=True)
BENCHMARKS = {
    "overhead": "What a step costs, as a ratio to plain SGD; a minute with --quick.",
    "readings": "Which reading of what the paper leaves open trains most networks; hours.",
    "rollouts": "How much faster thousands of small trainings are as one batched program.",
    "suggest": "The rates that lrpilot suggest finds, beside the range tests of Lightning and fastai; minutes.",
    "environments": "The speed of the learning rate environments, in steps a second.",
    "policy": "What the pilot's policy loses without each of its parts; hours on one core.",
    "bank": "A policy on the bank's held-out tasks; an hour on one core.",
    "suite": "The pilot and its opponents on tasks that no policy was chosen on; hours on one core, resumable.",
    "faults": "What is lost when processes are killed, disks fill, and two runs share a folder.",
    "rollback": "Random small runs with and without rollback=True; minutes, resumable.",
    "divergence": "Every optimizer from rates that are decades off, with the pilot and without; minutes, resumable.",
    "gpu": "Contract tests, a run of each controller, waits of the host, and costs, on a CUDA device.",
}


def _benchmark(context: typer.Context) -> None:
    """A benchmark is part of the repository, not of the installed package: it reads its own arguments."""
    checkout = Path(__file__).resolve().parents[3]
    if not (checkout / "benchmarks" / "__init__.py").is_file():
        raise InvalidArgument("bench", "called from a checkout of the repository", "an installed package")
    sys.path.insert(0, str(checkout))
    benchmark = import_module(f"benchmarks.{context.info_name}")
    code = benchmark.app(context.args, prog_name=context.command_path, standalone_mode=False)
    if code == STOPPED:  # which typer makes of a KeyboardInterrupt
        raise KeyboardInterrupt
    raise typer.Exit(code or 0)


for _name, _help in BENCHMARKS.items():
    passed_on = {"allow_extra_args": True, "ignore_unknown_options": True}
    bench.command(_name, help=_help, context_settings=passed_on, add_help_option=False)(_benchmark)
