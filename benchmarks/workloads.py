"""The networks that costs are measured on, with made-up data of the right shapes: no data set is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lrpilot.experiments.tasks import networks

BATCH_SIZE, CLASSES = 50, 10
LEARNING_RATE = 1e-3
FLATNESS = 1e-3
"""What a network's outputs are multiplied by: the loss is then so flat that a literal controller, which may go to any
rate, cannot make it infinite while it is measured."""

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Workload:
    """A network and what it takes.

    Attributes:
        network: of ten outputs, from a generator that draws its weights.
        inputs: the shape of one example.
        device: where both are.
    """

    network: Callable[[torch.Generator], nn.Module]
    inputs: tuple[int, ...]
    device: str = "cpu"

    def build(self) -> tuple[Callable[[Batch], Tensor], torch.optim.SGD]:
        """The loss of a network, always of the same weights, on a batch, and plain SGD on that network."""
        network = self.network(torch.Generator().manual_seed(0)).to(self.device)

        def loss_fn(batch: Batch) -> Tensor:
            inputs, targets = batch
            return nn.functional.cross_entropy(FLATNESS * network(inputs), targets)

        return loss_fn, torch.optim.SGD(network.parameters(), lr=LEARNING_RATE)

    def batches(self, count: int) -> list[Batch]:
        """Noise as pictures, and random classes."""
        generator = torch.Generator().manual_seed(0)
        return [
            (
                torch.randn(BATCH_SIZE, *self.inputs, generator=generator).to(self.device),
                torch.randint(CLASSES, (BATCH_SIZE,), generator=generator).to(self.device),
            )
            for _ in range(count)
        ]


WORKLOADS = {
    "m0": Workload(networks.m0, (784,)),
    "m1": Workload(networks.m1, (784,)),
    "m2": Workload(networks.m2, (784,)),
    "mnist-cnn": Workload(networks.mnist_cnn, (1, 28, 28)),
    "cifar10-cnn": Workload(networks.cifar10_cnn, (3, 32, 32)),
}
