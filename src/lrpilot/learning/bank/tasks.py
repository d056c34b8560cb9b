"""Drawing the bank's tasks: what people train, at a size that one core can afford."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from .kinds import DRAWN
from .task import BLOCK, BankTask, TaskDice

CHEAPEST, COSTLIEST = 0.4, 9.0
"""Seconds that one run takes on one core, roughly."""
SHORTEST, LONGEST = 100, 15_000
JUDGED_LENGTHS = (2000, 3000, 4000, 6000, 12_000)
"""Lengths, in steps, of the tasks that the pilot is judged on; no task of the bank has one of them."""

KINDS = {
    "mlp": 0.20,
    "cnn": 0.12,
    "resnet": 0.06,
    "autoencoder": 0.08,
    "transformer": 0.09,
    "language": 0.05,
    "regression": 0.12,
    "recall": 0.06,
    "parity": 0.05,
    "deep": 0.06,
    "tiny": 0.11,
}
"""Kinds of tasks and their shares. The last but one four rest on a plateau before their loss falls."""

OPTIMIZERS: dict[str, tuple[float, float]] = {
    "sgd": (0.20, -0.5),
    "momentum": (0.12, -1.5),
    "nesterov": (0.10, -1.5),
    "adam": (0.17, -2.6),
    "adamw": (0.21, -2.6),
    "rmsprop": (0.08, -2.9),
    "nadam": (0.05, -2.6),
    "adagrad": (0.07, -1.6),
}
"""Kinds of optimizers: share, and log10 of the peak at which the search begins."""


def draw_task(index: int, seed: int = 0) -> BankTask:
    """The bank's task of this index, a function of both arguments alone."""
    sibling = index % BLOCK == BLOCK - 1
    dice = TaskDice(f"{seed}/{index - (BLOCK - 1) * sibling}")
    kind = dice.pick(list(KINDS), list(KINDS.values()))
    widen = 1.0
    if sibling:
        widen = TaskDice(f"{seed}/{index}").pick((1 / 3, 3.0))
    task, cost = DRAWN[kind](dice, widen)
    optimizer, options, usual = _draw_optimizer(dice)
    seconds = dice.log_uniform(CHEAPEST, COSTLIEST)
    overhead = 5e-5 * cost.tensors * (1.0 if optimizer == "SGD" else 2.0)
    step = overhead + cost.seconds
    steps = min(max(round(seconds / step), round(dice.log_uniform(SHORTEST, 3 * SHORTEST))), LONGEST)
    if kind == "tiny":
        steps = round(dice.log_uniform(20, 2500))
    steps += steps in JUDGED_LENGTHS
    return replace(
        task,
        index=index,
        kind=kind,
        optimizer=optimizer,
        optimizer_options=options,
        usual=usual - (_log_scale(task) if optimizer == "SGD" else 0.0),
        steps=steps,
        seed=1000 + index,
    )


def _log_scale(task: BankTask) -> float:
    """Plain gradients grow with the square of the targets' scale; the best peak falls with it."""
    return 2 * math.log10(task.data_options.get("scale", 1.0))


def _draw_optimizer(dice: TaskDice) -> tuple[str, dict[str, Any], float]:
    """The class in `torch.optim`, its options but the rate, and log10 of a usual peak."""
    kind = dice.pick(list(OPTIMIZERS), [share for share, _ in OPTIMIZERS.values()])
    decay = dice.pick((0.0, 1e-4, 5e-4, 1e-3), (0.5, 0.2, 0.2, 0.1))
    second = dice.pick((0.999, 0.99, 0.95), (0.6, 0.25, 0.15))
    momentum = dice.pick((0.9, 0.95, 0.8), (0.75, 0.15, 0.1))
    usual = OPTIMIZERS[kind][1]
    if kind == "sgd":
        return "SGD", {"weight_decay": decay}, usual
    if kind in ("momentum", "nesterov"):
        options = {"momentum": momentum, "nesterov": kind == "nesterov", "weight_decay": decay}
        return "SGD", options, usual + math.log10((1 - momentum) / 0.1)
    if kind == "adamw":
        return "AdamW", {"betas": [0.9, second], "weight_decay": dice.pick((0.0, 0.01, 0.1, 0.3))}, usual
    if kind in ("adam", "nadam"):
        name = "Adam" if kind == "adam" else "NAdam"
        return name, {"betas": [0.9, second], "weight_decay": decay if dice.chance(0.3) else 0.0}, usual
    if kind == "rmsprop":
        return "RMSprop", {"alpha": dice.pick((0.99, 0.9)), "momentum": dice.pick((0.0, 0.9), (0.8, 0.2))}, usual
    return "Adagrad", {}, usual
