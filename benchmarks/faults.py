"""``python -m benchmarks.faults``: processes killed at random moments, disks that fill, two processes at one folder.

A fault is tried on a small command, which then goes on until it is through. Counted are the faults tried; the commands
that ended in anything but silence or one line; and what was lost: a checkpoint or result that was there before the
fault and not after it, or an end that is not that of an undisturbed run.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console

from lrpilot.cli import BAD_INPUT, main
from lrpilot.commands.options import Page
from lrpilot.commands.terminal import say, show
from lrpilot.core.files import Log, fingerprint, load_state
from lrpilot.errors import Damaged, InvalidArgument, Unusable
from lrpilot.experiments.choices import choose
from lrpilot.experiments.report.readme import fill
from lrpilot.experiments.report.tables import Table
from lrpilot.experiments.runs.run_directory import CHECKPOINT, CONFIG, KIND, METRICS, PREVIOUS
from lrpilot.experiments.runs.store import Store
from lrpilot.learning.population.evaluation import EvaluationPopulation
from lrpilot.learning.pretrain import CHECKPOINT as PRETRAINED
from lrpilot.learning.pretrain import KIND as PRETRAINING
from lrpilot.learning.pretrain import PretrainConfig, pretrain
from lrpilot.pilot.policy import Policy

RUN = Path("run")
TRAIN = [
    "train",
    "digits",
    "--controller",
    "online",
    "--lr",
    "0.01",
    "--steps",
    "300",
    "--evaluate-every",
    "50",
    "--checkpoint-every",
    "1",
]
COMPARE = ["compare", "digits", "--steps", "60", "--seeds", "1", "--methods", "constant,cosine"]
REPRODUCE = ["reproduce", "discount", "--profile", "smoke", "--only", "m0/online-stable"]
TINY = PretrainConfig(
    mnist=False, width=8, shortest=20, longest=30, distil_groups=4, distil_tasks=2, distil_driven=2, distil_updates=2,
    ppo_iterations=6, ppo_groups=1, ppo_tasks=2, ppo_replicas=3, ppo_epochs=1, evaluate_every=0.0,
)  # fmt: skip
LEAST, MOST = 100, 100_000  # bytes of a file on a disk that fills


@dataclass(frozen=True)
class Command:
    """What faults are tried on. All of it happens in the working directory.

    Attributes:
        go_on: begins, or goes on with what is there.
        made: how far what is on the disk has come; it never falls.
        end: what must be as in an undisturbed run.
    """

    go_on: Callable[[], object]
    made: Callable[[], int]
    end: Callable[[], Any]


def _train() -> None:
    main([*TRAIN, "--out", str(RUN), *(["--resume"] if (RUN / CONFIG).exists() else [])])


def _pretrain() -> None:
    EvaluationPopulation.usual = partial(EvaluationPopulation, groups=1, tasks=2, shortest=20, longest=25)
    try:
        pretrain(TINY, RUN, resume=(RUN / PRETRAINED).exists())
    except (OSError, InvalidArgument, Unusable) as error:  # as the command ends
        print(error, file=sys.stderr)
        sys.exit(BAD_INPUT)


def _step() -> int:
    configuration = json.loads((RUN / CONFIG).read_text())["fingerprint"] if (RUN / CONFIG).exists() else ""
    for file in filter(Path.exists, (RUN / CHECKPOINT, RUN / PREVIOUS)):
        try:
            return load_state(file, KIND, configuration=configuration)["training"]["step"]
        except Damaged:
            continue
    return 0


def _iteration() -> int:
    file = RUN / PRETRAINED
    return sum(load_state(file, PRETRAINING, configuration=fingerprint(asdict(TINY)))["counts"]) if file.exists() else 0


def _records() -> list[dict[str, Any]]:
    return [{**line, "seconds": None} for line in Log(RUN / METRICS).read()]


def _errors(root: str, experiment: str) -> dict[str, Any]:
    return {each.trial.name: each.evaluations["test_error"] for each in Store(root).saved(experiment)}


def _results(arguments: list[str], root: str, experiment: str) -> Command:
    found = partial(_errors, root, experiment)
    return Command(partial(main, arguments), lambda: len(found()), found)


def _weights() -> dict[str, Any]:
    return {name: value.tolist() for name, value in Policy.load(RUN / "policy.safetensors").state_dict().items()}


COMMANDS = {
    "train": Command(_train, _step, _records),
    "compare": _results(COMPARE, "results", "compare"),
    "reproduce": _results(REPRODUCE, "results/smoke", "discount"),
    "pretrain": Command(_pretrain, _iteration, _weights),
}


@dataclass
class Count:
    """What came of one kind of fault."""

    tried: int = 0
    failed: int = 0
    lost: int = 0


def _child(job: Callable[[], object], folder: str, largest: int | None) -> None:
    os.chdir(folder)
    os.dup2(os.open("errors", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    if largest is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    job()


def _start(job: Callable[[], object], *, largest: int | None = None) -> Any:
    process = multiprocessing.get_context("fork").Process(target=_child, args=(job, os.getcwd(), largest))
    process.start()
    return process


def _badly_ended(code: int, *allowed: int) -> bool:
    said = Path("errors").read_text(errors="replace") if Path("errors").exists() else ""
    bad = code not in allowed or "Traceback" in said or "a fault in lrpilot" in said
    if bad:
        print(f"ended by {code}: {said}", file=sys.stderr)
    return bad


def _until_through(command: Command, count: Count) -> None:
    process = _start(command.go_on)
    process.join()
    count.failed += _badly_ended(process.exitcode, 0)


def kills(command: Command, tries: int, dice: random.Random, undisturbed: tuple[Any, float]) -> Count:
    """SIGKILL at random moments of a run, again and again until it is through; then of the next one."""
    end, seconds = undisturbed
    count = Count()
    while count.tried < tries:
        with _somewhere():
            alive = False
            for _ in range(tries - count.tried):
                before = command.made()
                process = _start(command.go_on)
                process.join(dice.uniform(0, seconds))
                alive = process.exitcode is None
                process.kill()
                process.join()
                count.tried += 1
                count.failed += not alive and _badly_ended(process.exitcode, 0, -9)
                count.lost += command.made() < before
                if not alive:
                    break
            if alive:
                _until_through(command, count)
            count.lost += command.end() != end
    return count


def full_disk(command: Command, tries: int, dice: random.Random, undisturbed: tuple[Any, float]) -> Count:
    """No file may grow beyond a random size: one line, and once there is room the run goes on."""
    count = Count()
    for _ in range(tries):
        with _somewhere():
            process = _start(command.go_on, largest=round(LEAST * (MOST / LEAST) ** dice.random()))
            process.join()
            count.tried += 1
            count.failed += _badly_ended(process.exitcode, 0, BAD_INPUT)
            _until_through(command, count)
            count.lost += command.end() != undisturbed[0]
    return count


def two_at_once(command: Command, tries: int, dice: random.Random, undisturbed: tuple[Any, float]) -> Count:
    """A second process at the same folder, a moment later: refused where only one may be there, and nothing lost."""
    count = Count()
    for _ in range(tries):
        with _somewhere():
            first = _start(command.go_on)
            time.sleep(dice.uniform(0, undisturbed[1]))
            second = _start(command.go_on)
            for process in (first, second):
                process.join()
            count.tried += 1
            count.failed += {first.exitcode, second.exitcode} - {0, BAD_INPUT} != set() or first.exitcode != 0 != (
                second.exitcode
            )
            count.lost += command.end() != undisturbed[0]
    return count


FAULTS = {"killed": kills, "disk full": full_disk, "two at once": two_at_once}


class _somewhere(tempfile.TemporaryDirectory[str]):  # noqa: N801 - reads as the function it is
    """An empty working directory, and back."""

    def __enter__(self) -> str:
        self._before = os.getcwd()
        os.chdir(super().__enter__())
        return self.name

    def __exit__(self, *raised: Any) -> None:
        os.chdir(self._before)
        super().__exit__(*raised)


def measure(name: str, fault: str, tries: int, seed: int) -> Count:
    """One row of the table."""
    command, dice = COMMANDS[name], random.Random(f"{name} {fault} {seed}")
    with _somewhere():
        started = time.monotonic()
        process = _start(command.go_on)
        process.join()
        if process.exitcode:
            raise RuntimeError(f"{name} does not run undisturbed: {Path('errors').read_text()}")
        undisturbed = command.end(), time.monotonic() - started
    return FAULTS[fault](command, tries, dice, undisturbed)


def table(file: Path) -> Table:
    """All that was found so far, a row for each command and fault."""
    rows: dict[tuple[str, str], Count] = {}
    for line in Log(file).read():
        row = rows.setdefault((line["command"], line["fault"]), Count())
        for name in asdict(row):
            setattr(row, name, getattr(row, name) + line[name])
    cells = [[*key, *map(str, asdict(row).values())] for key, row in sorted(rows.items())]
    return Table("Faults", ["command", "fault", "tried", "ended badly", "lost"], cells)


app = typer.Typer(add_completion=False)


@app.command()
def faults(
    commands: Annotated[list[str] | None, typer.Option("--command", help="Only these; may be repeated.")] = None,
    kinds: Annotated[list[str] | None, typer.Option("--fault", help="Only these; may be repeated.")] = None,
    tries: Annotated[int, typer.Option(help="Of each, seconds apiece.", min=1)] = 30,
    seed: Annotated[int, typer.Option(help="Of the moments; another one adds to what was found.")] = 0,
    out: Annotated[Path, typer.Option(help="What was found, which grows: a line of JSON a row.")] = Path(
        "results/faults.jsonl"
    ),
    readme: Page = None,
) -> None:
    """What is lost when processes are killed, disks fill, and two share a folder. reproduce needs LRPILOT_DATA."""
    commands = [choose("--command", name, {each: each for each in COMMANDS}) for name in commands or COMMANDS]
    kinds = [choose("--fault", name, {each: each for each in FAULTS}) for name in kinds or FAULTS]
    torch.set_num_threads(1)
    import_module("lrpilot.commands.app")  # once, before processes are forked
    console, out = Console(), out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    for name in commands:
        for fault in kinds:
            say(console, f"{name}, {fault}")  # no spinner: processes are forked from a single thread
            found = measure(name, fault, tries, seed)
            Log(out).append({"command": name, "fault": fault, "seed": seed, **asdict(found)})
    found = table(out)
    show(console, found)
    if readme is not None:
        fill(readme, "faults", found.to_markdown())


if __name__ == "__main__":
    app(prog_name="python -m benchmarks.faults")
