"""What is drawn of a task of each kind: its data, its network and its batch, at a size that one core can afford."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from .task import BankTask, StepCost, TaskDice


def _task(
    data: str,
    data_options: dict[str, Any],
    network: str,
    options: dict[str, Any],
    batch_size: int,
    dice: TaskDice,
    **rest: Any,
) -> BankTask:
    initial = dice.pick(("torch", "truncated", "kaiming", "xavier"), (0.7, 0.1, 0.1, 0.1))
    if network in ("transformer", "recurrent"):
        initial = "torch"
    known = {"initial": initial, "loss": "cross entropy", **rest}
    return BankTask(
        index=0,
        kind="",
        data=data,
        data_options={**data_options, "seed": dice.randrange(10_000)},
        network=network,
        network_options=options,
        optimizer="",
        optimizer_options={},
        usual=0.0,
        batch_size=batch_size,
        steps=0,
        seed=0,
        **known,
    )


def _dense_cost(sizes: Sequence[int], batch_size: int) -> StepCost:
    parameters = sum(a * b for a, b in pairwise(sizes))
    return StepCost(2e-4 + parameters * (1e-9 + batch_size * 1.2e-10), 2 * (len(sizes) - 1))


def _batch(dice: TaskDice) -> int:
    return dice.pick((8, 16, 32, 50, 64, 100, 128), (0.1, 0.15, 0.25, 0.15, 0.15, 0.1, 0.1))


def _glyphs(dice: TaskDice, *, flat: bool) -> dict[str, Any]:
    return {
        "classes": dice.pick((10, 20, 49)),
        "rows": round(dice.log_uniform(500, 10_000)),
        "noise": dice.pick((0.0, 0.1, 0.3), (0.7, 0.2, 0.1)),
        "standardised": dice.chance(0.5),
        "flat": flat,
    }


def _mlp(dice: TaskDice, widen: float) -> tuple[BankTask, StepCost]:
    data = _glyphs(dice, flat=True)
    depth = dice.pick((0, 1, 2, 3), (0.12, 0.38, 0.33, 0.17))
    widths = [max(round(widen * dice.pick((64, 100, 128, 200, 256, 400))), 12) for _ in range(depth)]
    options: dict[str, Any] = {
        "inputs": 784,
        "widths": widths,
        "outputs": data["classes"],
        "activation": dice.pick(("relu", "tanh", "gelu", "silu"), (0.5, 0.25, 0.15, 0.1)),
        "norm": dice.pick(("", "batch", "layer"), (0.65, 0.2, 0.15)),
        "dropout": dice.pick((0.0, 0.2, 0.5), (0.7, 0.15, 0.15)),
    }
    size = _batch(dice)
    cost = _dense_cost([784, *widths, data["classes"]], size)
    return _task("glyphs", data, "mlp", options, size, dice), cost


def _cnn(dice: TaskDice, widen: float) -> tuple[BankTask, StepCost]:
    data = _glyphs(dice, flat=False)
    channels = [max(round(widen * c), 3) for c in dice.pick(((8, 16), (16, 32), (8, 16, 32), (12, 12)))]
    options: dict[str, Any] = {
        "channels": channels,
        "kernel": dice.pick((3, 5)),
        "dense": dice.pick((0, 64, 256)),
        "outputs": data["classes"],
        "activation": dice.pick(("relu", "tanh", "gelu"), (0.7, 0.15, 0.15)),
        "norm": dice.chance(0.35),
        "dropout": dice.pick((0.0, 0.5), (0.75, 0.25)),
    }
    size = min(_batch(dice), 64)
    square, work, fan_in = 784, 0.0, 1
    for channel in channels:
        work += square * channel * (fan_in * options["kernel"] ** 2 + 20)
        square, fan_in = square // 4, channel
    parameters = square * fan_in * max(options["dense"], 10)
    seconds = 4e-4 + size * (work * 1.2e-10 + parameters * 1.2e-10) + parameters * 1e-9
    return _task("glyphs", data, "cnn", options, size, dice), StepCost(seconds, 2 * len(channels) + 4)


def _resnet(dice: TaskDice, widen: float) -> tuple[BankTask, StepCost]:
    data = _glyphs(dice, flat=False)
    width = max(round(widen * dice.pick((6, 8, 12))), 4)
    options: dict[str, Any] = {
        "width": width,
        "blocks": dice.pick((1, 2, 3)),
        "outputs": data["classes"],
        "norm": dice.chance(0.7),
    }
    size = min(_batch(dice), 50)
    work = 196 * width * width * 9 * (1 + options["blocks"]) * 2.0
    seconds = 6e-4 * options["blocks"] + size * (work * 8e-11 + 196 * width * 1e-8)
    return _task("glyphs", data, "resnet", options, size, dice), StepCost(seconds, 8 + 8 * options["blocks"])


def _autoencoder(dice: TaskDice, widen: float) -> tuple[BankTask, StepCost]:
    data: dict[str, Any] = {"rows": round(dice.log_uniform(1000, 9000))}
    width, code = max(round(widen * dice.pick((64, 128, 256))), 24), dice.pick((4, 16, 32))
    options: dict[str, Any] = {
        "width": width,
        "code": code,
        "activation": dice.pick(("relu", "tanh", "sigmoid", "gelu")),
    }
    size, loss = _batch(dice), dice.pick(("cross entropy", "square"))
    cost = _dense_cost([784, width, code, width, 784], size)
    return _task("reconstruction", data, "autoencoder", options, size, dice, loss=loss), cost


def _transformer(dice: TaskDice, widen: float) -> tuple[BankTask, StepCost]:
    length, heads = dice.pick((16, 32, 48)), dice.pick((2, 4))
    width = max(round(widen * dice.pick((32, 48, 64)) / heads), 4) * heads
    data: dict[str, Any] = {"length": length, "rows": round(dice.log_uniform(1000, 20_000))}
    options: dict[str, Any] = {
        "tokens": 96,
        "length": length,
        "width": width,
        "layers": dice.pick((1, 2)),
        "heads": heads,
    }
    options["before"] = dice.chance(0.7)
    size = dice.pick((8, 16, 32))
    work = options["layers"] * 12 * width * width + 96 * width
    seconds = 8e-4 * options["layers"] + size * length * (work * 1.1e-10 + width * 8e-9)
    return _task("text", data, "transformer", options, size, dice), StepCost(seconds, 4 + 12 * options["layers"])


def _language(dice: TaskDice, widen: float) -> tuple[BankTask, StepCost]:
    length, width = dice.pick((16, 24)), max(round(widen * dice.pick((32, 64))), 12)
    data: dict[str, Any] = {"length": length, "rows": round(dice.log_uniform(1000, 20_000))}
    options = _recurrent(dice, tokens=96, width=width, last=False)
    size = dice.pick((8, 16, 32))
    return _task("text", data, "recurrent", options, size, dice), _recurrent_cost(width, length, size)


def _recurrent(dice: TaskDice, *, tokens: int, width: int, last: bool) -> dict[str, Any]:
    return {"tokens": tokens, "width": width, "layers": 1, "cell": dice.pick(("LSTM", "GRU")), "last": last}


def _recurrent_cost(width: int, length: int, size: int) -> StepCost:
    return StepCost(3e-4 + length * (3e-5 + size * width * (width + 60) * 5e-10), 7)


def _regression(dice: TaskDice, widen: float) -> tuple[BankTask, StepCost]:
    data: dict[str, Any] = {
        "inputs": dice.pick((8, 16, 64, 256)),
        "outputs": dice.pick((1, 4, 10)),
        "rows": round(dice.log_uniform(300, 8000)),
        "offset": dice.pick((0.0, dice.uniform(-3, 3)), (0.4, 0.6)),
        "scale": dice.pick((1.0, 10 ** dice.uniform(-1, 3)), (0.5, 0.5)),
        "noise": dice.pick((0.0, 0.1, 0.5)),
    }
    widths = [max(round(widen * dice.pick((32, 64, 128, 200))), 8) for _ in range(dice.pick((1, 2, 3)))]
    options: dict[str, Any] = {"inputs": data["inputs"], "widths": widths, "outputs": data["outputs"]}
    options["activation"] = dice.pick(("relu", "tanh", "gelu", "silu"))
    size = min(_batch(dice), data["rows"])
    cost = _dense_cost([data["inputs"], *widths, data["outputs"]], size)
    return _task("regression", data, "mlp", options, size, dice, loss="square"), cost


def _recall(dice: TaskDice, widen: float) -> tuple[BankTask, StepCost]:
    length, symbols = dice.pick((6, 10, 16, 24)), dice.pick((4, 8, 16))
    width = max(round(widen * dice.pick((24, 32, 64))), 12)
    data: dict[str, Any] = {"length": length, "symbols": symbols, "rows": 5000}
    options = _recurrent(dice, tokens=symbols, width=width, last=True)
    size = dice.pick((16, 32, 50))
    return _task("recall", data, "recurrent", options, size, dice), _recurrent_cost(width, length, size)


def _parity(dice: TaskDice, widen: float) -> tuple[BankTask, StepCost]:
    bits = dice.pick((2, 3))
    data: dict[str, Any] = {"inputs": dice.pick((8, 12, 20)), "bits": bits, "rows": dice.pick((1000, 4000))}
    widths = [max(round(widen * dice.pick((32, 64, 128))), 12) for _ in range(dice.pick((1, 2)))]
    options: dict[str, Any] = {"inputs": data["inputs"], "widths": widths, "outputs": 2}
    options["activation"] = dice.pick(("relu", "tanh", "gelu"))
    size = dice.pick((16, 32, 64, 100))
    cost = _dense_cost([data["inputs"], *widths, 2], size)
    return _task("parity", data, "mlp", options, size, dice), cost


def _deep(dice: TaskDice, widen: float) -> tuple[BankTask, StepCost]:
    depth, width = dice.pick((3, 4, 5, 6)), max(round(widen * dice.pick((32, 64, 100))), 12)
    activation = dice.pick(("sigmoid", "tanh", "relu"), (0.5, 0.25, 0.25))
    data: dict[str, Any]
    if dice.chance(0.5):
        data, source, inputs = _glyphs(dice, flat=True), "glyphs", 784
    else:
        inputs, source = dice.pick((16, 64)), "teacher"
        data = {"inputs": inputs, "classes": dice.pick((3, 10)), "rows": 4000, "noise": dice.pick((0.0, 0.1))}
    options: dict[str, Any] = {
        "inputs": inputs,
        "widths": [width] * depth,
        "outputs": data["classes"],
        "activation": activation,
    }
    size = _batch(dice)
    cost = _dense_cost([inputs, *[width] * depth, data["classes"]], size)
    return _task(source, data, "mlp", options, size, dice), cost


def _tiny(dice: TaskDice, widen: float) -> tuple[BankTask, StepCost]:
    """Small tables and points of the plane, often in one batch, for 20 to 2,500 steps."""
    if dice.chance(0.5):
        name = dice.pick(("iris", "wine", "breast_cancer", "diabetes"))
        data, source = {"name": name}, "table"
        inputs, rows = {"iris": (4, 120), "wine": (13, 142), "breast_cancer": (30, 455), "diabetes": (10, 353)}[name]
        outputs = {"iris": 3, "wine": 3, "breast_cancer": 2, "diabetes": 1}[name]
    else:
        rows = dice.pick((100, 200, 500))
        data = {"shape": dice.pick(("circles", "chequers", "spirals")), "rows": rows, "noise": dice.pick((0.05, 0.15))}
        source, inputs, outputs = "plane", 2, 3 if data["shape"] == "spirals" else 2
    widths = [max(round(widen * dice.pick((4, 8, 16, 32))), 4) for _ in range(dice.pick((0, 1, 2), (0.1, 0.6, 0.3)))]
    options: dict[str, Any] = {
        "inputs": inputs,
        "widths": widths,
        "outputs": outputs,
        "activation": dice.pick(("relu", "tanh")),
    }
    size = rows if dice.chance(0.5) else dice.pick((8, 16, 32))
    loss = "square" if data.get("name") == "diabetes" else "cross entropy"
    return _task(source, data, "mlp", options, size, dice, loss=loss), _dense_cost([inputs, *widths, outputs], size)


DRAWN = {
    "mlp": _mlp,
    "cnn": _cnn,
    "resnet": _resnet,
    "autoencoder": _autoencoder,
    "transformer": _transformer,
    "language": _language,
    "regression": _regression,
    "recall": _recall,
    "parity": _parity,
    "deep": _deep,
    "tiny": _tiny,
}
