"""The suite's tasks: networks, optimizers and lengths as people take them, to judge by and never to choose by.

None is among the trainings that the pilot's policy learns from, in data, network or length.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import suite_data as data
from . import suite_networks as networks
from .catalogue import LoadedTask
from .tensors import TensorData


@dataclass(frozen=True)
class SuiteTask:
    """A network to be trained on some data by an optimizer whose rate is open."""

    name: str
    data: Callable[[], TensorData]
    network: Callable[[], nn.Module]  # its weights drawn from torch's own generator
    optimizer: Mapping[str, str | float]  # a setting: a name of OPTIMIZERS, and what else is said of it
    _: KW_ONLY
    steps: int
    batch_size: int
    cost: float  # of a step beside one of M0's (0.2 ms), roughly
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy  # a mean; square error where there are no classes


_FLAT, _PICTURES = partial(data.shapes, 8000, flat=True), partial(data.shapes, 8000, flat=False)
_PROSE = partial(data.prose, 20_000)
_DECAYED = {"optimizer": "momentum", "weight_decay": 5e-4}
_ADAMW = {"optimizer": "adamw", "weight_decay": 0.1}
_READER = partial(networks.Reader, nn.GRU, width=48)
_ALL = (
    SuiteTask(
        "mlp-batchnorm",
        _FLAT,
        partial(networks.dense, 400, 200, 200, 10, activation=nn.ReLU, norm=nn.BatchNorm1d),
        _DECAYED,
        steps=4000,
        batch_size=64,
        cost=6.0,
    ),
    SuiteTask(
        "mlp-dropout",
        _FLAT,
        partial(networks.dense, 400, 256, 256, 10, activation=nn.GELU, norm=nn.LayerNorm, dropout=0.2),
        _ADAMW,
        steps=3000,
        batch_size=64,
        cost=9.0,
    ),
    SuiteTask(
        "cnn-batchnorm",
        _PICTURES,
        partial(networks.convolutional, (8, 16), norm=True),
        _DECAYED,
        steps=2000,
        batch_size=32,
        cost=15.0,
    ),
    SuiteTask("resnet", _PICTURES, partial(networks.residual, 8), _DECAYED, steps=2000, batch_size=32, cost=30.0),
    SuiteTask(
        "transformer",
        _PROSE,
        partial(networks.CausalTransformer, width=32, blocks=2),
        _ADAMW,
        steps=2000,
        batch_size=16,
        cost=35.0,
    ),
    SuiteTask(
        "lstm",
        _PROSE,
        partial(networks.Reader, nn.LSTM, tokens=data.VOCABULARY, width=64, classes=data.VOCABULARY, last=False),
        {"optimizer": "adam"},
        steps=2000,
        batch_size=16,
        cost=30.0,
    ),
    SuiteTask(
        "autoencoder",
        partial(data.patches, 10_000),
        partial(networks.autoencoder, data.PATCH**2, 128, 16),
        {"optimizer": "adam"},
        steps=4000,
        batch_size=64,
        cost=6.0,
        loss=F.mse_loss,
    ),
    SuiteTask(
        "sgd-long",
        _FLAT,
        partial(networks.dense, 400, 100, 10, activation=nn.Tanh),
        {"optimizer": "sgd"},
        steps=12_000,
        batch_size=32,
        cost=2.0,
    ),
    SuiteTask(
        "recall",
        partial(data.marked, 8000),
        partial(_READER, tokens=2 * data.SYMBOLS, classes=data.SYMBOLS, last=True),
        {"optimizer": "adam"},
        steps=3000,
        batch_size=32,
        cost=15.0,
    ),
    SuiteTask(
        "parity",
        partial(data.running_parity, 1000),
        partial(_READER, tokens=2, classes=2, last=False),
        {"optimizer": "momentum"},
        steps=3000,
        batch_size=32,
        cost=12.0,
    ),
    SuiteTask(
        "offset",
        partial(data.friedman, 1000),
        partial(networks.dense, 10, 64, 64, 1, activation=nn.ReLU),
        {"optimizer": "adam"},
        steps=3000,
        batch_size=32,
        cost=3.0,
        loss=F.mse_loss,
    ),
    SuiteTask(
        "deep-sigmoid",
        _FLAT,
        partial(networks.dense, 400, 64, 64, 64, 10, activation=nn.Sigmoid),
        {"optimizer": "momentum"},
        steps=6000,
        batch_size=50,
        cost=4.0,
    ),
    SuiteTask(
        "two-moons",
        partial(data.moons, 200),
        partial(networks.dense, 2, 16, 2, activation=nn.ReLU),
        {"optimizer": "sgd"},
        steps=300,
        batch_size=200,
        cost=1.0,
    ),
    SuiteTask(
        "20-steps",
        _FLAT,
        partial(networks.dense, 400, 128, 10, activation=nn.ReLU),
        {"optimizer": "sgd"},
        steps=20,
        batch_size=64,
        cost=2.0,
    ),
    SuiteTask(
        "100-steps",
        _PICTURES,
        partial(networks.convolutional, (8, 16), norm=False),
        {"optimizer": "rmsprop"},
        steps=100,
        batch_size=32,
        cost=12.0,
    ),
    SuiteTask(
        "300-steps",
        _PROSE,
        partial(networks.CausalTransformer, width=48, blocks=1),
        _ADAMW,
        steps=300,
        batch_size=32,
        cost=40.0,
    ),
)
SUITE: Mapping[str, SuiteTask] = {task.name: task for task in _ALL}


def load_suite_task(name: str) -> LoadedTask:
    """The task of that name of :data:`SUITE`, its data in memory."""
    task = SUITE[name]

    def network(generator: torch.Generator) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
            return task.network()

    return LoadedTask(name, task.data(), network, task.batch_size, task.steps, task.loss)
