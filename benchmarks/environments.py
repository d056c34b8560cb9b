"""``python -m benchmarks.environments``: steps a second of the learning rate environments, DACBench's SGD beside them.

Whole episodes under random actions, beginnings and ends included, in processor time of one thread and one process.
An episode is a training of 100 steps, as DACBench has it by default; where its action is for an epoch, two epochs.
How long a step takes hangs on the network drawn: the same seeds draw the same networks for any number of trainings.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from torch import nn

from benchmarks.costs import one_thread
from lrpilot.commands.options import Page
from lrpilot.commands.terminal import say, show
from lrpilot.experiments.report.readme import fill
from lrpilot.experiments.report.tables import Table
from lrpilot.experiments.tasks.data import data_folder
from lrpilot.integrations.gymnasium import LearningRateEnv, LearningRateVectorEnv

STEPS = 100
"""Of a training."""
EPOCHS = 2
"""Of one in which DACBench's step is an epoch."""
BATCH, TRAINED_ON = 64, 0.8
"""Of DACBench's trainings: the mini-batch, and the share of the training set, as in its own instances."""

Episode = Callable[[int], tuple[int, int]]
"""Plays the episode of a seed; how many steps the environment made in it, and its trainings."""
app = typer.Typer(add_completion=False)


@dataclass(frozen=True)
class Speed:
    """Steps a second of processor time, of all trainings that one environment makes at once.

    Attributes:
        environment: its name.
        trainings: at once.
        steps: of the environment; for many trainings, each one's count.
        training_steps: updates of networks.
    """

    environment: str
    trainings: int
    steps: float
    training_steps: float

    @classmethod
    def of(cls, environment: str, trainings: int, episode: Episode, episodes: int) -> Speed:
        """Over so many episodes together."""
        begun = time.process_time()
        counts = np.sum([episode(seed) for seed in range(episodes)], axis=0)
        steps, training_steps = counts / (time.process_time() - begun)
        return cls(environment, trainings, float(steps), float(training_steps))

    def cells(self) -> list[str]:
        """What the table says of it."""
        rates = [f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}" for rate in (self.steps, self.training_steps)]
        return [self.environment, str(self.trainings), *rates]


def of_one() -> Episode:
    """Episodes of `LearningRateEnv`."""
    env, random = LearningRateEnv(shortest=STEPS, longest=STEPS), np.random.default_rng(0)

    def episode(seed: int) -> tuple[int, int]:
        env.reset(seed=seed)
        steps, over = 0, False
        while not over:
            _, _, over, _, _ = env.step(random.uniform(-1, 1, 1).astype(np.float32))
            steps += 1
        return steps, STEPS

    return episode


def of_many(trainings: int) -> Episode:
    """Episodes of `LearningRateVectorEnv`."""
    envs, random = LearningRateVectorEnv(trainings, shortest=STEPS, longest=STEPS), np.random.default_rng(0)

    def episode(seed: int) -> tuple[int, int]:
        envs.reset(seed=seed)
        steps, over = 0, np.zeros(trainings, bool)
        while not over.all():
            _, _, over, _, _ = envs.step(random.uniform(-1, 1, (trainings, 1)).astype(np.float32))
            steps += trainings
        return steps, trainings * STEPS

    return episode


def of_dacbench(folder: Path, *, epochs: bool) -> Episode:
    """Episodes of DACBench's SGD environment: a 784-64-10 network on MNIST, which lies in ``folder``."""
    sgd: Any = import_module("dacbench.envs.sgd")
    benchmark: Any = import_module("dacbench.benchmarks").SGDBenchmark()
    layers = [nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10), nn.LogSoftmax(1)]
    instance = sgd.SGDInstance(
        model=lambda: nn.Sequential(*layers),
        optimizer_type="AdamW",
        optimizer_params={},
        dataset_path=str(folder),
        dataset_name="MNIST",
        batch_size=BATCH,
        fraction_of_dataset=1.0,
        train_validation_ratio=TRAINED_ON,
        seed=0,
    )
    benchmark.config.update(instance_set={0: instance}, epoch_mode=epochs, cutoff=EPOCHS if epochs else STEPS)
    env, random = benchmark.get_environment(), np.random.default_rng(0)

    def episode(seed: int) -> tuple[int, int]:
        env.reset(seed=seed)
        steps, over = 0, False
        while not over:
            _, _, terminated, truncated, _ = env.step(float(10 ** random.uniform(-4, -2)))
            over = terminated or truncated
            steps += 1
        return steps, steps * len(env.train_loader) if epochs else steps

    return episode


def table(speeds: list[Speed]) -> Table:
    """A row for each environment."""
    header = ["environment", "trainings at once", "environment steps a second", "training steps a second"]
    return Table("Steps a second of one thread", header, [speed.cells() for speed in speeds])


@app.command()
def environments(
    episodes: Annotated[int, typer.Option(help="Of each environment; one of DACBench's, which are alike.", min=1)] = 8,
    data: Annotated[Path | None, typer.Option(help="The folder with MNIST, for DACBench.")] = None,
    out: Annotated[Path | None, typer.Option(help="A JSON file for the numbers.")] = None,
    readme: Page = None,
) -> None:
    """One training at a time and 16, 64, 256 at once; DACBench's SGD environment where ``dacbench`` is installed."""
    console = Console()
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
    versions = {name: version(name) for name in ("torch", "gymnasium")}
    subjects: list[tuple[str, int, Callable[[], Episode]]] = [("LearningRateEnv", 1, of_one)]
    subjects += [("LearningRateVectorEnv", count, lambda count=count: of_many(count)) for count in (16, 64, 256)]
    if find_spec("dacbench") is None:
        say(console, "DACBench is left out: it is not installed (pip install dacbench)")
    else:
        versions["dacbench"] = version("dacbench")
        for epochs, action in ((False, "a mini-batch"), (True, "an epoch")):
            name = f"DACBench {versions['dacbench']} SGD, an action for {action}"
            subjects.append((name, 1, lambda epochs=epochs: of_dacbench(data_folder(data), epochs=epochs)))
    speeds: list[Speed] = []
    with one_thread():
        for name, trainings, make in subjects:
            with console.status(name):
                played = 1 if name.startswith("DACBench") else episodes
                speeds.append(Speed.of(name, trainings, make(), played))
    found = table(speeds)
    show(console, found)
    if out is not None:
        out.write_text(json.dumps({"versions": versions, "speeds": list(map(asdict, speeds))}, indent=2) + "\n")
    if readme is not None:
        fill(readme, "environments", found.to_markdown())


if __name__ == "__main__":
    app()
