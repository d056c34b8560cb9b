"""The suite's tasks: networks, optimizers and lengths as people take them, to judge by and never to choose by.

None is among the trainings that the pilot's policy learns from, in data, network or length.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from . import suite_data as data
from . import suite_networks as networks
from .catalogue import LoadedTask
from .networks import drawn
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


_VECTORS, _PICTURES = partial(data.shapes, 8000, flat=True), partial(data.shapes, 8000, flat=False)
_PROSE, _PATCHES = partial(data.prose, 20_000), partial(data.patches, 10_000)
_MARKED, _PARITY = partial(data.marked, 8000), partial(data.running_parity, 1000)
_FRIEDMAN, _MOONS = partial(data.friedman, 1000), partial(data.moons, 200)
_SGD, _MOMENTUM, _ADAM, _RMSPROP = ({"optimizer": name} for name in ("sgd", "momentum", "adam", "rmsprop"))
_DECAYED, _ADAMW = {**_MOMENTUM, "weight_decay": 5e-4}, {"optimizer": "adamw", "weight_decay": 0.1}
_ALL = (
    SuiteTask("mlp-batchnorm", _VECTORS, networks.mlp_batchnorm, _DECAYED, steps=4000, batch_size=64, cost=6.0),
    SuiteTask("mlp-dropout", _VECTORS, networks.mlp_dropout, _ADAMW, steps=3000, batch_size=64, cost=9.0),
    SuiteTask("cnn-batchnorm", _PICTURES, networks.cnn_batchnorm, _DECAYED, steps=2000, batch_size=32, cost=15.0),
    SuiteTask("resnet", _PICTURES, networks.resnet, _DECAYED, steps=2000, batch_size=32, cost=30.0),
    SuiteTask("transformer", _PROSE, networks.transformer, _ADAMW, steps=2000, batch_size=16, cost=35.0),
    SuiteTask("lstm", _PROSE, networks.lstm, _ADAM, steps=2000, batch_size=16, cost=30.0),
    SuiteTask(
        "autoencoder", _PATCHES, networks.autoencoder, _ADAM, steps=4000, batch_size=64, cost=6.0, loss=F.mse_loss
    ),
    SuiteTask("sgd-long", _VECTORS, networks.mlp_tanh, _SGD, steps=12_000, batch_size=32, cost=2.0),
    SuiteTask("recall", _MARKED, networks.recall, _ADAM, steps=3000, batch_size=32, cost=15.0),
    SuiteTask("parity", _PARITY, networks.parity, _MOMENTUM, steps=3000, batch_size=32, cost=12.0),
    SuiteTask("offset", _FRIEDMAN, networks.regression, _ADAM, steps=3000, batch_size=32, cost=3.0, loss=F.mse_loss),
    SuiteTask("deep-sigmoid", _VECTORS, networks.deep_sigmoid, _MOMENTUM, steps=6000, batch_size=50, cost=4.0),
    SuiteTask("two-moons", _MOONS, networks.plane, _SGD, steps=300, batch_size=200, cost=1.0),
    SuiteTask("20-steps", _VECTORS, networks.mlp_relu, _SGD, steps=20, batch_size=64, cost=2.0),
    SuiteTask("100-steps", _PICTURES, networks.cnn, _RMSPROP, steps=100, batch_size=32, cost=12.0),
    SuiteTask("300-steps", _PROSE, networks.wide_transformer, _ADAMW, steps=300, batch_size=32, cost=40.0),
)
SUITE: Mapping[str, SuiteTask] = {task.name: task for task in _ALL}


def load_suite_task(name: str) -> LoadedTask:
    """The task of that name of :data:`SUITE`, its data in memory."""
    task = SUITE[name]
    return LoadedTask(name, task.data(), drawn(task.network), task.batch_size, task.steps, task.loss)
