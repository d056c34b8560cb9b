"""Training steps of several kinds, side by side in one run, as ratios.

Every round takes some steps of each kind, so that whatever else the machine does falls on all alike; the ratio is
taken within the round, and the median over the rounds is reported. Time is the process's own processor time.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.costs import Cost, one_thread
from benchmarks.workloads import Workload
from lrpilot.online.controller import OnlineActorCritic
from lrpilot.online.settings import PAPER, STABLE, Setting

TRANSCRIPTION = Path(__file__).resolve().parents[1] / "tests" / "oracle.py"
"""The literal transcription of Algorithm 1."""

SETTINGS = {
    "stable": replace(STABLE, opening=None),
    "paper": PAPER,
    "paper, a sliding window": replace(PAPER, unroll="sliding"),
}
"""The stable setting as it is after its opening, which lasts for 200 steps at most."""
EXTRA_PASSES = {
    "online (stable)": 0.0,
    "online (paper)": 1.0,
    "online (paper, a sliding window)": 1.0,
}
"""The forward passes that a step takes beyond those of plain SGD."""
ROUND = PAPER.unroll_steps
"""Steps of each kind in a round: a whole chunk, since the actor then learns once in so many."""
WARM_UP = 30
"""Steps of each kind before the first round: the actor's twenty unrolled steps are full by then."""

Loss = Callable[[Any], torch.Tensor]
Step = Callable[[Any], object]


def measure_network(workload: Workload, *, rounds: int, steps: int = ROUND, warm_up: int = WARM_UP) -> list[Cost]:
    """The cost of a step for every kind, plain SGD first."""
    kinds: dict[str, Step] = {"plain SGD": _plain(*workload.build())}
    loss_fn, _ = workload.build()
    kinds["a forward pass"] = torch.no_grad()(loss_fn)
    for name, setting in SETTINGS.items():
        kinds[f"online ({name})"] = _online(*workload.build(), setting)
    if workload.device == "cpu":  # where alone the transcription computes
        kinds["literal transcription"] = _transcription(*workload.build())
    return _side_by_side(kinds, workload.batches(1)[0], rounds=rounds, steps=steps, warm_up=warm_up)


def measure_arithmetic(*, rounds: int, steps: int = ROUND, warm_up: int = WARM_UP) -> list[Cost]:
    """The controllers' own arithmetic: the network is one number, so that hardly anything else is measured."""
    w = torch.nn.Parameter(torch.ones(1))

    def loss_fn(batch: torch.Tensor) -> torch.Tensor:
        return (w * w).sum() + batch

    def optimizer() -> torch.optim.SGD:
        return torch.optim.SGD([w], lr=1e-6)

    kinds: dict[str, Step] = {"plain SGD": _plain(loss_fn, optimizer())}
    for name, setting in SETTINGS.items():
        kinds[f"online ({name})"] = _online(loss_fn, optimizer(), setting)
    kinds["literal transcription"] = _transcription(loss_fn, optimizer())
    return _side_by_side(kinds, torch.ones(()), rounds=rounds, steps=steps, warm_up=warm_up)


def _plain(loss_fn: Loss, optimizer: torch.optim.Optimizer) -> Step:
    def step(batch: Any) -> None:
        loss = loss_fn(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def _controller(optimizer: torch.optim.Optimizer, setting: Setting) -> OnlineActorCritic:
    """From the same initial weights every time: the literal setting runs away from some."""
    return OnlineActorCritic(optimizer, setting, generator=torch.Generator().manual_seed(0))


def _online(loss_fn: Loss, optimizer: torch.optim.Optimizer, setting: Setting) -> Step:
    controller = _controller(optimizer, setting)
    return lambda batch: controller.step(loss_fn, batch)


def _transcription(loss_fn: Loss, optimizer: torch.optim.Optimizer) -> Step:
    """The transcription, which starts from the weights that the library's actor and critic start from."""
    spec = importlib.util.spec_from_file_location("lrpilot_oracle", TRANSCRIPTION)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(TRANSCRIPTION)
    oracle = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(oracle)
    parameters, learner = optimizer.param_groups[0]["params"], _controller(optimizer, PAPER).learner
    literal = oracle.Algorithm1(parameters, loss_fn, *oracle.numbers_of(learner.actor, learner.critic))
    return lambda batch: literal.step(batch, batch)


def _side_by_side(kinds: dict[str, Step], batch: Any, *, rounds: int, steps: int, warm_up: int) -> list[Cost]:
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    with one_thread():
        for step in kinds.values():
            for _ in range(warm_up):
                step(batch)
        for _ in range(rounds):
            for kind, step in kinds.items():
                started = time.process_time()
                for _ in range(steps):
                    step(batch)
                seconds[kind].append((time.process_time() - started) / steps)
    plain, forward = seconds["plain SGD"], seconds.get("a forward pass")

    def passes(kind: str) -> float | None:
        if forward is None or kind not in EXTRA_PASSES:
            return None
        needed = [step + EXTRA_PASSES[kind] * more for step, more in zip(plain, forward, strict=True)]
        return statistics.median(need / taken for need, taken in zip(needed, seconds[kind], strict=True))

    return [Cost.of(kind, taken, plain, passes(kind)) for kind, taken in seconds.items()]
