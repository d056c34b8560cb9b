"""One training of the bank, from the start to the end, under a schedule or any other driver of the rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .data import Dataset, load
from .networks import build
from .score import LOST, FinalMeasures, Yardstick

if TYPE_CHECKING:
    from .schedules import Schedule
    from .task import BankTask

EXAMINED = 1000
"""Rows on which losses are measured before and after a run."""

Driver = Callable[[torch.optim.Optimizer], Callable[[Tensor], None]]
"""Takes a fresh optimizer and sets its rate; what it returns is called with each step's loss, after the step."""


class BankTraining:
    """A task made ready: its examples are loaded once, for any number of runs."""

    def __init__(self, task: BankTask) -> None:
        self.task = task
        self.examples: Dataset = load(task.data, task.data_options)
        held_out = min(len(self.examples.inputs) - self.examples.training, EXAMINED)
        self.yardstick = Yardstick(
            self._measure(self._network()), _guess(self.examples, task.loss), self.examples.classes, held_out
        )

    def run(self, driver: Driver) -> FinalMeasures:
        """Train a fresh network to the end; losses are infinite if the run ends in numbers that are not finite."""
        task, network = self.task, self._network().train()
        optimizer = make_optimizer(network, task)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(task.seed)  # dropout
            after_step = driver(optimizer)
            for rows in self._batches():
                loss = self._loss(network(self.examples.inputs[rows]), self.examples.targets[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                after_step(loss.detach())
        return self._measure(network)

    def follow(self, schedule: Schedule) -> FinalMeasures:
        """:meth:`run` under a schedule; it stops at the first loss that is not finite."""
        steps = self.task.steps

        def driver(optimizer: torch.optim.Optimizer) -> Callable[[Tensor], None]:
            done = 0

            def write() -> None:
                for group in optimizer.param_groups:
                    group["lr"] = schedule.rate(done / steps)

            def after_step(loss: Tensor) -> None:
                nonlocal done
                if not math.isfinite(loss.item()):
                    raise FloatingPointError
                done += 1
                if done < steps:
                    write()

            write()
            return after_step

        try:
            return self.run(driver)
        except FloatingPointError:
            return LOST

    def score(self, measured: FinalMeasures) -> float:
        """How a run ended, lower is better: :meth:`Yardstick.score`."""
        return self.yardstick.score(measured)

    @property
    def worst(self) -> float:
        """The score of a run that is lost."""
        return self.score(LOST)

    def _network(self) -> nn.Module:
        return build(self.task.network, self.task.network_options, initial=self.task.initial, seed=self.task.seed)

    def _batches(self) -> list[Tensor]:
        """Rows for each step: shuffled epochs."""
        generator, rows, size = torch.Generator().manual_seed(self.task.seed), self.examples.training, 0
        order: list[Tensor] = []
        while size < self.task.steps * self.task.batch_size:
            order.append(torch.randperm(rows, generator=generator))
            size += rows
        whole = torch.cat(order)[: self.task.steps * self.task.batch_size]
        return list(whole.view(self.task.steps, self.task.batch_size))

    def _loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if self.examples.classes:
            return F.cross_entropy(outputs.reshape(-1, outputs.shape[-1]), targets.reshape(-1))
        if self.task.loss == "cross entropy":
            return F.binary_cross_entropy_with_logits(outputs, targets)
        return F.mse_loss(outputs, targets)

    @torch.no_grad()
    def _measure(self, network: nn.Module) -> FinalMeasures:
        network.eval()
        numbers = []
        training = self.examples.training
        for rows in (slice(0, min(training, EXAMINED)), slice(training, training + EXAMINED)):
            losses, errors, count = 0.0, 0.0, 0
            inputs, targets = self.examples.inputs[rows], self.examples.targets[rows]
            for x, y in zip(inputs.split(100), targets.split(100), strict=True):
                outputs = network(x)
                losses += self._loss(outputs, y).item() * len(x)
                if self.examples.classes:
                    errors += (outputs.argmax(-1) != y).float().mean().item() * len(x)
                count += len(x)
            numbers += [losses / count, errors / count if self.examples.classes else math.nan]
        return FinalMeasures(numbers[0], numbers[2], numbers[3])


def make_optimizer(network: nn.Module, task: BankTask) -> torch.optim.Optimizer:
    """The task's optimizer, at a rate that is to be overwritten."""
    return getattr(torch.optim, task.optimizer)(network.parameters(), lr=10.0**task.usual, **task.optimizer_options)


def _guess(examples: Dataset, loss: str) -> float:
    targets = examples.targets[: examples.training]
    if examples.classes:
        share = torch.bincount(targets.reshape(-1), minlength=examples.classes) / targets.numel()
        return float(-(share * (share + 1e-12).log()).sum())
    mean = targets.mean(0)
    if loss == "cross entropy":
        mean = mean.clamp(1e-6, 1 - 1e-6)
        return float(-(mean * mean.log() + (1 - mean) * (1 - mean).log()).mean())
    return float((targets - mean).square().mean())
