"""What a controller costs: training steps of several kinds, side by side in one run, as ratios.

Every round takes a few steps of each kind, so that whatever else the machine does falls on all alike; the ratio is
taken within the round, and the median over the rounds is reported. Time is the process's own processor time.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from lrpilot.experiments.runs.controllers import PlainTraining
from lrpilot.experiments.tasks.catalogue import LoadedTask, loss_of
from lrpilot.online.controller import OnlineActorCritic
from lrpilot.online.settings import PAPER, STABLE, Setting

TRANSCRIPTION = Path(__file__).resolve().parents[1] / "tests" / "oracle.py"
"""The literal transcription of Algorithm 1: part of the repository, not of an installed package."""

LEARNING_RATE = 1e-3  # low enough for every kind to stay sound over the measured steps
EXTRA_PASSES = {"online (stable)": 1 / STABLE.reward().looks_every, "online (paper)": 1.0}
"""The forward passes that a step takes beyond those of plain SGD."""
WARM_UP = 100  # steps of each kind before the first round: an opening sweep is over by then

Step = Callable[[Any], object]


@dataclass(frozen=True)
class Cost:
    """The cost of one kind of step.

    Attributes:
        kind: what takes the step.
        milliseconds: of processor time, median over the rounds.
        ratio: to a plain SGD step of the same round, median over the rounds.
        passes: the share of it that a plain step and the forward passes beyond it take, as measured by themselves in
            the same rounds; None where that is not known.
    """

    kind: str
    milliseconds: float
    ratio: float
    passes: float | None = None


def measure_task(task: LoadedTask, *, rounds: int = 30, steps: int = 4, warm_up: int = WARM_UP) -> list[Cost]:
    """The cost of a step on ``task`` for every kind, plain SGD first. One thread."""
    batch = task.data.train[: task.batch_size]
    example = (batch.inputs, batch.targets)

    def network() -> torch.nn.Module:
        return task.make_network(torch.Generator().manual_seed(0))

    kinds: dict[str, Step] = {}
    net = network()
    kinds["plain SGD"] = partial(PlainTraining(_sgd(net)).step, loss_of(net))
    kinds["a forward pass"] = torch.no_grad()(loss_of(network()))
    for setting in ("stable", "paper"):
        net = network()
        kinds[f"online ({setting})"] = partial(_online(_sgd(net), setting).step, loss_of(net))
    net = network()
    kinds |= _transcription(list(net.parameters()), loss_of(net))
    return _side_by_side(kinds, example, rounds=rounds, steps=steps, warm_up=warm_up)


def measure_arithmetic(*, rounds: int = 40, steps: int = 20, warm_up: int = WARM_UP) -> list[Cost]:
    """The controllers' own arithmetic: the network is one number, so that hardly anything else is measured."""
    w = torch.nn.Parameter(torch.ones(1))

    def loss_fn(batch: torch.Tensor) -> torch.Tensor:
        return (w * w).sum() + batch

    kinds: dict[str, Step] = {"plain SGD": partial(PlainTraining(torch.optim.SGD([w], lr=1e-6)).step, loss_fn)}
    for setting in ("stable", "paper"):
        kinds[f"online ({setting})"] = partial(_online(torch.optim.SGD([w], lr=1e-6), setting).step, loss_fn)
    kinds |= _transcription([w], loss_fn)
    return _side_by_side(kinds, torch.ones(()), rounds=rounds, steps=steps, warm_up=warm_up)


def markdown(costs: dict[str, list[Cost]]) -> str:
    """The measured costs by network, as a table."""
    rows = [f"| {' | '.join([name, *cells(cost)])} |" for name, kinds in costs.items() for cost in kinds]
    return "\n".join(["| network | a step of | ms | x plain SGD | in passes, % |", "|---|---|---|---|---|", *rows])


def cells(cost: Cost) -> list[str]:
    """What the tables say of a cost."""
    share = "-" if cost.passes is None else f"{100 * cost.passes:.0f}"
    return [cost.kind, f"{cost.milliseconds:.2f}", f"{cost.ratio:.2f}", share]


def _sgd(network: torch.nn.Module) -> torch.optim.SGD:
    return torch.optim.SGD(network.parameters(), lr=LEARNING_RATE)


def _online(optimizer: torch.optim.Optimizer, setting: str | Setting) -> OnlineActorCritic:
    """From the same initial weights every time: the literal setting runs away from some."""
    return OnlineActorCritic(optimizer, setting, generator=torch.Generator().manual_seed(0))


def _transcription(parameters: list[torch.nn.Parameter], loss_fn: Callable) -> dict[str, Step]:
    """The transcription as a further kind, where the repository is at hand; it starts as the library's actor does."""
    spec = importlib.util.spec_from_file_location("lrpilot_oracle", TRANSCRIPTION)
    if not TRANSCRIPTION.exists() or spec is None or spec.loader is None:
        return {}
    oracle = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(oracle)
    learner = _online(torch.optim.SGD(parameters, lr=1e-6), PAPER).learner
    literal = oracle.Algorithm1(parameters, loss_fn, *oracle.numbers_of(learner.actor, learner.critic))
    return {"literal transcription": lambda batch: literal.step(batch, batch)}


def _side_by_side(kinds: dict[str, Step], batch: Any, *, rounds: int, steps: int, warm_up: int) -> list[Cost]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    try:
        for step in kinds.values():
            for _ in range(warm_up):
                step(batch)
        for _ in range(rounds):
            for kind, step in kinds.items():
                started = time.process_time()
                for _ in range(steps):
                    step(batch)
                times[kind].append((time.process_time() - started) / steps)
    finally:
        torch.set_num_threads(threads)
    plain, forward = times["plain SGD"], times.get("a forward pass")

    def share(kind: str, taken: list[float]) -> float | None:
        if forward is None or kind not in EXTRA_PASSES:
            return None
        needed = [step + EXTRA_PASSES[kind] * more for step, more in zip(plain, forward, strict=True)]
        return statistics.median(need / mine for need, mine in zip(needed, taken, strict=True))

    return [
        Cost(
            kind,
            1e3 * statistics.median(taken),
            statistics.median(mine / his for mine, his in zip(taken, plain, strict=True)),
            share(kind, taken),
        )
        for kind, taken in times.items()
    ]
