"""The tasks, a record each: what is trained on what, for how long, and what tables call it.

A new task is one record here and its network. ``load_task("m1")`` gives one with its data in memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lrpilot.errors import InvalidArgument
from lrpilot.experiments.choices import choose
from lrpilot.experiments.tasks import data as data_sets
from lrpilot.experiments.tasks import networks

from .image_folder import read_image_folder
from .tensors import Batch, Examples, TensorData

IMAGE_FOLDER = "image-folder"
Loss = Callable[[Tensor, Tensor], Tensor]  # of outputs and targets
EVALUATION_BATCH = 100  # examples a forward pass when only testing: 1000 take twice the time, out of cache


def _scaled(data: TensorData, *, largest: float = 255.0) -> TensorData:
    """Values in [0, 1]."""
    return data.with_inputs(lambda inputs: inputs.float().div_(largest))


def _centred(data: TensorData) -> TensorData:
    """Values in [0, 1] less the training set's mean of each pixel."""
    data = _scaled(data)
    mean = data.train.inputs.mean(0)
    return data.with_inputs(lambda inputs: inputs.sub_(mean))  # ours since _scaled: no second copy in memory


def _centred_rows(data: TensorData) -> TensorData:
    """As :func:`_centred`, and one standard deviation wide over all pixels: what recurrence and attention take."""
    data = _centred(data)
    scale = data.train.inputs.std()
    return data.with_inputs(lambda inputs: inputs.div_(scale))


def _centred_vectors(data: TensorData) -> TensorData:
    """Values in [0, 1] less the training set's mean of each pixel, as vectors ``[example, pixel]``."""
    return _centred(data.with_inputs(lambda inputs: inputs.flatten(1)))


@dataclass(frozen=True)
class Task:
    """A network to be trained on some data. What a user may choose is a default."""

    name: str  # by which a user asks for it
    data: Callable[[str | Path | None], TensorData]  # reads the data set from the folder of data sets
    prepare: Callable[[TensorData], TensorData]  # makes of it what the network takes (float32)
    network: Callable[..., nn.Module]  # a fresh one, its weights drawn from the generator given
    _: KW_ONLY
    steps: int  # of a run
    compared: int  # steps of a run of lrpilot compare
    batch_size: int = 50
    cost: float = 1.0  # of a step beside one of M0's, roughly: the time left is estimated from it
    heading: str = ""  # what tables call it
    about: str = ""  # data and network, for those who do not know the name
    table: str | None = None  # the paper's, that it belongs to
    target: float = math.nan  # the test error, percent, that methods' times are measured to


_VECTORS = Task("m0", data_sets.mnist, _centred_vectors, networks.m0, steps=7_200, compared=2_000)  # six epochs
_LAYERED = replace(_VECTORS, compared=12_000, table="table3", target=4.0)
_ROWS = replace(_VECTORS, prepare=_centred_rows)
_MNIST_CNN = Task(  # section 4.2
    "mnist-cnn", data_sets.mnist, _scaled, networks.mnist_cnn, steps=20_000, compared=3_000, cost=130.0
)
_CIFAR10_CNN = Task(  # section 4.3
    "cifar10-cnn", data_sets.cifar10, _centred, networks.cifar10_cnn, steps=10_000, compared=4_000, cost=350.0
)
_DIGITS = Task(
    "digits", data_sets.digits, partial(_scaled, largest=16.0), networks.digits_mlp, steps=2_000, compared=2_000
)
_ALL = (
    replace(_DIGITS, batch_size=32, about="8x8 digits, one hidden layer of 64"),
    replace(_VECTORS, compared=6_000, heading="M0", table="table3", target=8.5, about="MNIST, softmax regression"),
    replace(_LAYERED, name="m1", network=networks.m1, cost=2.0, heading="M1", about="MNIST, one hidden layer of 120"),
    replace(_LAYERED, name="m2", network=networks.m2, cost=8.0, heading="M2", about="MNIST, hidden layers of 500, 300"),
    replace(
        _VECTORS,
        name="mnist-batchnorm",
        network=networks.mnist_batchnorm,
        cost=6.0,
        about="MNIST, two hidden layers with batch normalisation",
    ),
    replace(_ROWS, name="mnist-lstm", network=networks.mnist_lstm, cost=15.0, about="MNIST row by row, an LSTM"),
    replace(
        _ROWS, name="mnist-attention", network=networks.mnist_attention, cost=20.0, about="MNIST, a transformer block"
    ),
    replace(_MNIST_CNN, heading="MNIST CNN", table="table1", target=1.5, about="MNIST, convolutional, dropout"),
    replace(
        _MNIST_CNN, name="fashion-cnn", data=data_sets.fashion_mnist, about="Fashion-MNIST, convolutional, dropout"
    ),
    replace(_CIFAR10_CNN, heading="CIFAR-10 CNN", table="table2", target=40.0, about="CIFAR-10, convolutional"),
)
TASKS = {task.name: task for task in _ALL}
HELP = f"{', '.join(TASKS)}, or {IMAGE_FOLDER}:PATH for your own pictures."
"""For the command line."""
PAPERS = {task.name: task for task in _ALL if task.table}
"""The tasks of the paper's tables."""
MNIST_NETWORKS = tuple(name for name, task in PAPERS.items() if task.table == "table3")
"""M0, M1 and M2."""


def task_named(name: str) -> Task:
    """The task of that name, before any data is read.

    Args:
        name: one of :data:`TASKS`, or ``image-folder:PATH`` for pictures of one's own (a folder or a zip), trained with
            the network of ``cifar10-cnn``.

    Raises:
        InvalidArgument: no such task.
    """
    kind, _, path = name.partition(":")
    if kind != IMAGE_FOLDER:
        return choose("task", name, TASKS, also=(f"{IMAGE_FOLDER}:PATH",))
    if not path:
        raise InvalidArgument("task", f"{IMAGE_FOLDER}:PATH, the path of a folder or a zip", name)
    return replace(_CIFAR10_CNN, name=IMAGE_FOLDER, data=lambda _: read_image_folder(path, Path(path).stem))


@dataclass(frozen=True)
class LoadedTask:
    """A task in memory."""

    name: str  # as given, such as m1 or image-folder:holiday
    data: TensorData  # inputs prepared for the network
    make_network: Callable[[torch.Generator], nn.Module]
    batch_size: int  # unless said otherwise; never more than there are examples
    steps: int
    loss: Loss = F.cross_entropy  # the mean over examples, and over the places of an example that has several


def load_task(name: str, *, folder: str | Path | None = None, validation: int = 0, fraction: float = 1.0) -> LoadedTask:
    """The task of that name, its data in memory.

    Args:
        name: as for :func:`task_named`.
        folder: where data sets lie; None: the variable LRPILOT_DATA, or the user's cache.
        validation: how many of the last training examples to hold out as ``data.validation``.
        fraction: the share of the remaining training set that is used, in ``(0, 1]``.

    Raises:
        InvalidArgument: no such task, or a split that leaves nothing.
        Unusable: data that is not there or cannot be read.
    """
    task = task_named(name)
    data = task.data(folder)
    if validation:
        data = data.hold_out(validation)
    if fraction != 1.0:
        data = data.fraction(fraction)
    shape = {"classes": data.classes, "size": data.train.inputs.shape[-1]} if task.name == IMAGE_FOLDER else {}
    batch_size = min(task.batch_size, len(data.train))
    return LoadedTask(name, task.prepare(data), partial(task.network, **shape), batch_size, task.steps)


def loss_of(network: nn.Module, loss: Loss = F.cross_entropy) -> Callable[[Batch], Tensor]:
    """The mean loss of ``network``, whose outputs are logits or numbers, on a batch of inputs and targets."""
    return lambda batch: loss(network(batch[0]), batch[1])


@torch.no_grad()
def evaluate(network: nn.Module, examples: Examples, loss: Loss = F.cross_entropy) -> tuple[float, float]:
    """Mean loss and error in percent over ``examples``, in evaluation mode (restored afterwards).

    The error is NaN where targets are numbers.
    """
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    total, wrong = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.int64)
    for start in range(0, len(examples), EVALUATION_BATCH):
        part = examples[start : start + EVALUATION_BATCH]
        outputs = network(part.inputs)
        total += loss(outputs, part.targets) * len(part)
        wrong += 0 if part.targets.is_floating_point() else (outputs.argmax(1) != part.targets).sum()
    for module, training in modes:
        module.training = training
    error = math.nan if examples.targets.is_floating_point() else 100 * wrong.item() / examples.targets.numel()
    return total.item() / len(examples), error
