"""What the pilot costs: whole runs with and without it, side by side, as ratios.

A pilot's decisions are rare, so that no single step shows what it costs. A bare run and a piloted one advance in turns
of a fiftieth, on the same data and through the same numbers: the piloted one decides as ever, but its rate stays. Time
is the process's own processor time.
"""

from __future__ import annotations

import time

from torch import Tensor, zeros_like

from benchmarks.costs import Cost, one_thread
from benchmarks.workloads import Batch, Workload
from lrpilot.pilot.controller import Pilot
from lrpilot.pilot.policy import Policy

BATCHES = 100
TURNS = 50


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
        return zeros_like(step), memory


class _Run:
    """A run under way, and the processor time that it has taken."""

    def __init__(self, workload: Workload, steps: int, *, piloted: bool) -> None:
        self._loss_fn, self._optimizer = workload.build()
        self._step = 0
        self.seconds = 0.0
        started = time.process_time()
        self._pilot = Pilot(self._optimizer, total_steps=steps, policy=Still()) if piloted else None
        self.making = time.process_time() - started

    def advance(self, steps: int, data: list[Batch]) -> None:
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


def measure_run(workload: Workload, steps: int, *, pairs: int = 3) -> list[Cost]:
    """A step of a bare run, one of a piloted run on the average, and the making of a pilot.

    Ratios are to the bare run of the same pair; the median over the pairs.
    """
    data = workload.batches(BATCHES)
    with one_thread():
        runs = [_pair(workload, steps, data) for _ in range(pairs)]
    plain = [bare.seconds / steps for bare, _ in runs]
    return [
        Cost.of("plain SGD", plain, plain),
        Cost.of("the pilot, on the average", [piloted.seconds / steps for _, piloted in runs], plain),
        Cost.of("making a pilot, once", [piloted.making for _, piloted in runs], plain),
    ]


def _pair(workload: Workload, steps: int, data: list[Batch]) -> tuple[_Run, _Run]:
    bare, piloted = _Run(workload, steps, piloted=False), _Run(workload, steps, piloted=True)
    done = 0
    for turn in range(1, TURNS + 1):
        share = round(steps * turn / TURNS) - done
        for run in (bare, piloted) if turn % 2 else (piloted, bare):
            run.advance(share, data)
        done += share
    return bare, piloted
