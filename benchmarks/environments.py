"""``python -m benchmarks.environments``: steps a second of the learning rate environments, single and batched."""

from __future__ import annotations

import time
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from benchmarks.costs import one_thread
from lrpilot.commands.terminal import show
from lrpilot.experiments.report.tables import Table
from lrpilot.integrations.gymnasium import LearningRateVectorEnv

app = typer.Typer(add_completion=False)


def speed(envs: Any, seconds: float) -> float:
    """Steps of all environments in a second of processor time, whole episodes with their beginnings included."""
    random = np.random.default_rng(0)
    envs.reset(seed=0)
    steps, begun = 0, time.process_time()
    while time.process_time() - begun < seconds:
        envs.step(random.uniform(-1, 1, (envs.num_envs, 1)).astype(np.float32))
        steps += envs.num_envs
    return steps / (time.process_time() - begun)


@app.command()
def environments(
    seconds: Annotated[float, typer.Option(help="For each number of trainings.")] = 20.0,
    shortest: Annotated[int, typer.Option(help="Steps of a training, at least.")] = 100,
    longest: Annotated[int, typer.Option(help="At most.")] = 1000,
) -> None:
    """Steps a second for batches of 1 to 256 trainings, on one core."""
    with one_thread():
        rows = [
            [str(count), f"{speed(LearningRateVectorEnv(count, shortest=shortest, longest=longest), seconds):,.0f}"]
            for count in (1, 16, 64, 256)
        ]
    show(Console(), Table("Environment steps a second", ["trainings at once", "steps"], rows))


if __name__ == "__main__":
    app()
