"""A task: data as a network wants it, the network, and how long to train it.

``load_task("m1")`` gives one by name; :data:`TASKS` holds all names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from lrpilot.errors import InvalidArgument
from lrpilot.experiments.runs.choices import choose
from lrpilot.experiments.tasks import data as data_sets
from lrpilot.experiments.tasks import networks

from .image_folder import read_image_folder
from .tensors import Examples, TensorData

if TYPE_CHECKING:
    from torch import Tensor, nn

Batch = tuple["Tensor", "Tensor"]
IMAGE_FOLDER = "image-folder"
EVALUATION_BATCH = 100  # examples a forward pass when only testing: 1000 take twice the time, out of cache


@dataclass(frozen=True)
class Task:
    """A network to be trained on some data.

    Attributes:
        name: as given, such as ``m1`` or ``image-folder:holiday``.
        data: inputs prepared for the network (``float32``).
        make_network: a fresh network, its weights drawn from the generator given.
        batch_size: examples a step, unless the user says otherwise.
        steps: length of a full run, unless the user says otherwise.
    """

    name: str
    data: TensorData
    make_network: Callable[[torch.Generator], nn.Module]
    batch_size: int
    steps: int


@dataclass(frozen=True)
class _Recipe:
    load: Callable[[Path], TensorData]
    prepare: Callable[[TensorData], TensorData]
    network: Callable[..., nn.Module]
    batch_size: int
    steps: int


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


# Steps: protocol of the paper, 20,000 on MNIST and 10,000 on CIFAR-10; six epochs for M0 to M2 and ours.
TASKS: dict[str, _Recipe] = {
    "digits": _Recipe(data_sets.digits, partial(_scaled, largest=16.0), networks.digits_mlp, 32, 2_000),
    "m0": _Recipe(data_sets.mnist, _centred_vectors, networks.m0, 50, 7_200),
    "m1": _Recipe(data_sets.mnist, _centred_vectors, networks.m1, 50, 7_200),
    "m2": _Recipe(data_sets.mnist, _centred_vectors, networks.m2, 50, 7_200),
    "mnist-batchnorm": _Recipe(data_sets.mnist, _centred_vectors, networks.mnist_batchnorm, 50, 7_200),
    "mnist-lstm": _Recipe(data_sets.mnist, _centred_rows, networks.mnist_lstm, 50, 7_200),
    "mnist-attention": _Recipe(data_sets.mnist, _centred_rows, networks.mnist_attention, 50, 7_200),
    "mnist-cnn": _Recipe(data_sets.mnist, _scaled, networks.mnist_cnn, 50, 20_000),
    "fashion-cnn": _Recipe(data_sets.fashion_mnist, _scaled, networks.mnist_cnn, 50, 20_000),
    "cifar10-cnn": _Recipe(data_sets.cifar10, _centred, networks.cifar10_cnn, 50, 10_000),
}


def load_task(
    name: str,
    *,
    folder: str | Path | None = None,
    validation: int = 0,
    fraction: float = 1.0,
    initialisation: networks.Initialisation | None = None,
) -> Task:
    """The task of that name, its data in memory.

    Args:
        name: one of :data:`TASKS`, or ``image-folder:PATH`` for pictures of one's own (a folder or a zip),
            trained with the network of ``cifar10-cnn``.
        folder: where data sets lie; None: the variable LRPILOT_DATA, or the user's cache.
        validation: how many of the last training examples to hold out as ``data.validation``.
        fraction: the share of the remaining training set that is used, in ``(0, 1]``.
        initialisation: whose initial weights the network gets, of those that have the choice; None: TensorFlow's.

    Raises:
        InvalidArgument: no such task, or a split that leaves nothing.
        DataError: data that is not there or cannot be read.
    """
    check_task(name)
    kind, _, path = name.partition(":")
    recipe = _image_folder_recipe(path) if kind == IMAGE_FOLDER else TASKS[name.lower()]
    data = recipe.load(data_sets.data_folder(folder))
    if validation:
        data = data.hold_out(validation)
    if fraction != 1.0:
        data = data.fraction(fraction)
    return Task(
        name=name,
        data=recipe.prepare(data),
        make_network=partial(recipe.network, **({"initialisation": initialisation} if initialisation else {})),
        batch_size=recipe.batch_size,
        steps=recipe.steps,
    )


def check_task(name: str) -> None:
    """Refuse what is no task, before any data is read; raises :class:`InvalidArgument`."""
    kind, _, path = name.partition(":")
    if kind != IMAGE_FOLDER:
        choose("task", name, TASKS, also=(f"{IMAGE_FOLDER}:PATH",))
    elif not path:
        raise InvalidArgument("task", f"{IMAGE_FOLDER}:PATH, the path of a folder or a zip", name)


def _image_folder_recipe(path: str) -> _Recipe:
    pictures = read_image_folder(path, Path(path).stem)
    network = partial(networks.cifar10_cnn, classes=pictures.classes, size=pictures.train.inputs.shape[-1])
    return _Recipe(lambda _: pictures, _centred, network, 50, 10_000)


def loss_of(network: nn.Module) -> Callable[[Batch], Tensor]:
    """The mean cross entropy of ``network``, whose outputs are logits, on a batch of inputs and classes."""

    def loss_fn(batch: Batch) -> Tensor:
        inputs, targets = batch
        return F.cross_entropy(network(inputs), targets)

    return loss_fn


@torch.no_grad()
def evaluate(network: nn.Module, examples: Examples) -> tuple[float, float]:
    """Mean cross entropy and error in percent over ``examples``, in evaluation mode (restored afterwards)."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    loss = torch.zeros((), dtype=torch.float64)
    wrong = torch.zeros((), dtype=torch.int64)
    for start in range(0, len(examples), EVALUATION_BATCH):
        part = examples[start : start + EVALUATION_BATCH]
        logits = network(part.inputs)
        loss += F.cross_entropy(logits, part.targets, reduction="sum")
        wrong += (logits.argmax(1) != part.targets).sum()
    for module, training in modes:
        module.training = training
    return loss.item() / len(examples), 100 * wrong.item() / len(examples)
