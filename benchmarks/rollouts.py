"""``python -m benchmarks.rollouts``: what batching is worth, in steps a second against a loop of single trainings."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import torch
import torch.nn.functional as F
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.costs import one_thread
from lrpilot.learning.population.data import load_sources
from lrpilot.learning.population.draw import Group, draw_group, draw_tasks
from lrpilot.learning.population.trainings import Pool, Trainings
from lrpilot.learning.pretrain_config import PretrainConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from lrpilot.learning.population.data import Source
    from lrpilot.learning.population.optimizers import Rule


app = typer.Typer(add_completion=False)


@app.command()
def rollouts(
    groups: Annotated[int, typer.Option(help="How many groups are drawn, some seconds each.", min=1)] = 24,
    seed: Annotated[int, typer.Option(help="Of the groups.", min=0)] = 0,
) -> None:
    """Training steps a second of the population's groups, batched and one by one, in one thread."""
    console = Console()
    with console.status(f"measuring {groups} groups"), one_thread():
        speeds = measure(load_sources(0, mnist=False), groups=groups, seed=seed)
    table = Table(title="Training steps a second", caption=f"Over the whole mix: {whole_mix(speeds):.1f} times.")
    for place, heading in enumerate(("network", "optimizer", "batch size", "batched", "single", "times")):
        table.add_column(heading, justify="left" if place < 2 else "right")
    for speed in sorted(speeds, key=lambda speed: -speed.factor):
        numbers = (str(speed.batch_size), f"{speed.batched:,.0f}", f"{speed.single:,.0f}", f"{speed.factor:.1f}")
        table.add_row(speed.network, speed.optimizer, *numbers)
    console.print(table)


@dataclass(frozen=True)
class Speed:
    """Training steps a second of one group, whose runs are ``steps`` long: batched, and in a loop over single ones."""

    network: str
    optimizer: str
    batch_size: int
    steps: int
    batched: float
    single: float

    @property
    def factor(self) -> float:
        """How many times as fast the batched program is."""
        return self.batched / self.single


def measure(sources: list[Source], *, groups: int, runs: int = 192, seed: int = 0) -> list[Speed]:
    """The speeds of groups drawn like the population's, one after the other in this process."""
    generator, pool, config = torch.Generator().manual_seed(seed), Pool(sources), PretrainConfig()
    speeds: list[Speed] = []
    for _ in range(groups):
        group = draw_group(generator, shortest=config.shortest, longest=config.longest)
        batched = _batched(group, pool, runs, generator)
        single = _single(group, pool, generator)
        speeds.append(Speed(group.network.name, group.rule.kind, group.batch_size, group.steps, batched, single))
    return speeds


def whole_mix(speeds: list[Speed]) -> float:
    """How many times as fast the batched program trains a run of each group."""
    return sum(s.steps / s.single for s in speeds) / sum(s.steps / s.batched for s in speeds)


def _per_second(train: Callable[[int], object], steps: int, runs: int) -> float:
    train(max(steps // 4, 2))  # warm up
    begin = time.perf_counter()
    train(steps)
    return steps * runs / (time.perf_counter() - begin)


def _batched(group: Group, pool: Pool, runs: int, generator: torch.Generator) -> float:
    tasks = draw_tasks(group, runs // 16, generator, training_rows=pool.training, anytime=0.0)
    trainings = Trainings(group, tasks, pool, replicas=16, generator=generator)
    log_rate = tasks.usual.repeat_interleave(16) - 3
    return _per_second(lambda steps: trainings.advance(steps, log_rate), 24, trainings.runs)


def _single(group: Group, pool: Pool, generator: torch.Generator) -> float:
    """An ordinary loop: a module, an optimizer of torch's, a batch, a step."""
    model = group.network.plain()
    optimizer = plain_optimizer(group.rule, model, rate=1e-3)
    rows = len(pool.inputs)

    def train(steps: int) -> None:
        for _ in range(steps):
            picked = torch.randint(rows, (group.batch_size,), generator=generator)
            loss = _loss(group, model(pool.inputs[picked]), pool, picked)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return _per_second(train, 120, 1)


def _loss(group: Group, outputs: Tensor, pool: Pool, picked: Tensor) -> Tensor:
    if group.goal == "classify":
        return F.cross_entropy(outputs, pool.labels[picked])
    return F.mse_loss(outputs, pool.targets[picked] if group.goal == "regress" else pool.inputs[picked])


def plain_optimizer(rule: Rule, model: nn.Module, *, rate: float) -> torch.optim.Optimizer:
    """The optimizer of torch's that a rule stands for."""
    decay, betas = rule.weight_decay, (rule.momentum, rule.second)
    parameters = list(model.parameters())
    if rule.kind == "adam":
        return torch.optim.Adam(parameters, rate, betas=betas, weight_decay=decay)
    if rule.kind == "adamw":
        return torch.optim.AdamW(parameters, rate, betas=betas, weight_decay=decay)
    if rule.kind == "rmsprop":
        return torch.optim.RMSprop(parameters, rate, alpha=rule.second, weight_decay=decay)
    if rule.kind == "adagrad":
        return torch.optim.Adagrad(parameters, rate, weight_decay=decay)
    momentum = rule.momentum if rule.kind == "momentum" else 0.0
    return torch.optim.SGD(parameters, rate, momentum=momentum, weight_decay=decay)


if __name__ == "__main__":
    app()
