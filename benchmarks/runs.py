"""What the pilot costs: whole runs with and without it, side by side, as ratios.

A pilot's decisions are rare, so that no single step shows what it costs. A bare run and a piloted one advance in turns
of a fiftieth, on made-up data and through the same numbers: the piloted one decides as ever, but its rate stays. Time
is the process's own processor time.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.overhead import LEARNING_RATE, Cost
from lrpilot.experiments.tasks import networks
from lrpilot.experiments.tasks.catalogue import loss_of
from lrpilot.pilot.controller import Pilot
from lrpilot.pilot.policy import Policy

BATCH, BATCHES, CLASSES = 50, 100, 10
TURNS = 50


@dataclass(frozen=True)
class Shape:
    """A network, what it takes, and how long its run is."""

    network: Callable[[torch.Generator], nn.Module]
    inputs: tuple[int, ...]
    steps: int


SHAPES = {
    "m1, a run of 2,000 steps": Shape(networks.m1, (784,), 2_000),
    "m1, a run of 12,000 steps": Shape(networks.m1, (784,), 12_000),
    "m2, a run of 12,000 steps": Shape(networks.m2, (784,), 12_000),
    "mnist-cnn, a run of 1,000 steps": Shape(networks.mnist_cnn, (1, 28, 28), 1_000),
}


class Still:
    """Decides as the shipped policy does, and leaves the rate alone."""

    def __init__(self) -> None:
        self._policy = Policy.load()

    def initial_memory(self) -> Tensor:
        """The policy's."""
        return self._policy.initial_memory()

    def act(self, features: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """A step of 0, and the policy's memory."""
        step, memory = self._policy.act(features, memory)
        return torch.zeros_like(step), memory


class _Run:
    """A run under way, and the processor time that it has taken."""

    def __init__(self, shape: Shape, *, piloted: bool) -> None:
        self._network = shape.network(torch.Generator().manual_seed(0))
        self._loss_fn = loss_of(self._network)
        self._optimizer = torch.optim.SGD(self._network.parameters(), lr=LEARNING_RATE)
        self._step = 0
        self.seconds = 0.0
        started = time.process_time()
        self._pilot = Pilot(self._optimizer, total_steps=shape.steps, policy=Still()) if piloted else None
        self.making = time.process_time() - started

    def advance(self, steps: int, data: list[tuple[Tensor, Tensor]]) -> None:
        started = time.process_time()
        for _ in range(steps):
            loss = self._loss_fn(data[self._step % len(data)])
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
            if self._pilot is not None:
                self._pilot.step(loss)
            self._step += 1
        self.seconds += time.process_time() - started


def measure_flight(shape: Shape, *, runs: int = 3) -> list[Cost]:
    """A step of a bare run, one of a piloted run on the average, and the making of a pilot. One thread.

    Milliseconds and ratios to the bare run of the same pair, the median over ``runs`` pairs.
    """
    generator = torch.Generator().manual_seed(0)
    data = [
        (torch.randn(BATCH, *shape.inputs, generator=generator), torch.randint(CLASSES, (BATCH,), generator=generator))
        for _ in range(BATCHES)
    ]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        pairs = [_pair(shape, data) for _ in range(runs)]
    finally:
        torch.set_num_threads(threads)
    times = [(bare.seconds / shape.steps, flown.seconds / shape.steps, flown.making) for bare, flown in pairs]
    kinds = ("plain SGD", "the pilot, on the average", "making a pilot, once")
    return [
        Cost(
            kind,
            1e3 * statistics.median(each[place] for each in times),
            statistics.median(each[place] / each[0] for each in times),
        )
        for place, kind in enumerate(kinds)
    ]


def _pair(shape: Shape, data: list[tuple[Tensor, Tensor]]) -> tuple[_Run, _Run]:
    bare, flown = _Run(shape, piloted=False), _Run(shape, piloted=True)
    done = 0
    for turn in range(1, TURNS + 1):
        steps = round(shape.steps * turn / TURNS) - done
        for run in (bare, flown) if turn % 2 else (flown, bare):
            run.advance(steps, data)
        done += steps
    return bare, flown
