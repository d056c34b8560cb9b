"""Networks of some hundred weights on made-up examples: runs of a second, for what needs hundreds of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from lrpilot.online.controller import OnlineActorCritic
from lrpilot.pilot.controller import Pilot

EXAMPLES, INPUTS, CLASSES = 256, 8, 3


@dataclass(frozen=True)
class Problem:
    """A network before its first step, the examples, and the loss of outputs and targets."""

    network: nn.Module
    inputs: Tensor
    targets: Tensor
    loss: Callable[[Tensor, Tensor], Tensor]

    def on(self, chosen: Tensor) -> Tensor:
        """The loss of some examples, with its graph."""
        return self.loss(self.network(self.inputs[chosen]), self.targets[chosen])

    def to(self, device: str) -> Problem:
        """The same elsewhere; the network itself moves."""
        network = self.network.to(device)
        return replace(self, network=network, inputs=self.inputs.to(device), targets=self.targets.to(device))

    def whole(self, *, flipped: bool = False) -> float:
        """The loss on all examples, in evaluation mode; infinite if it is not finite."""
        self.network.eval()
        with torch.no_grad():
            targets = self.flipped(self.targets) if flipped else self.targets
            loss = float(self.loss(self.network(self.inputs), targets))
        self.network.train()
        return loss if math.isfinite(loss) else math.inf

    def flipped(self, targets: Tensor) -> Tensor:
        """Other targets: each number's opposite, each class's mirror."""
        return -targets if targets.is_floating_point() else CLASSES - 1 - targets


def rows(size: int, steps: int, seed: int) -> Iterator[Tensor]:
    """The examples of each batch, drawn anew for each step."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        yield torch.randint(EXAMPLES, (size,), generator=generator)


def _valley() -> Problem:
    """Linear regression, curvatures from 1 to a ten-thousandth; every direction matters alike."""
    scale = torch.logspace(0, -2, INPUTS)
    inputs = torch.randn(EXAMPLES, INPUTS) * scale
    return Problem(nn.Linear(INPUTS, 1), inputs, inputs @ (torch.randn(INPUTS, 1) / scale.unsqueeze(1)), F.mse_loss)


def _relu() -> Problem:
    inputs = torch.randn(EXAMPLES, INPUTS)
    targets = torch.tanh(inputs @ torch.randn(INPUTS, 4)).sum(1, keepdim=True)
    network = nn.Sequential(nn.Linear(INPUTS, 32), nn.ReLU(), nn.Linear(32, 1))
    return Problem(network, inputs, targets, F.mse_loss)


def _deep() -> Problem:
    layers = [part for _ in range(4) for part in (nn.Linear(INPUTS, INPUTS), nn.Tanh())]
    return _classes(nn.Sequential(*layers, nn.Linear(INPUTS, CLASSES)))


def _batch_norm() -> Problem:
    hidden = nn.Linear(INPUTS, 16), nn.BatchNorm1d(16), nn.ReLU()
    return _classes(nn.Sequential(*hidden, nn.Linear(16, CLASSES)))


def _random_labels() -> Problem:
    """Labels that say nothing: whatever is learned of them is learned by heart."""
    network = nn.Sequential(nn.Linear(INPUTS, 16), nn.ReLU(), nn.Linear(16, CLASSES))
    return Problem(network, torch.randn(EXAMPLES, INPUTS), torch.randint(CLASSES, (EXAMPLES,)), F.cross_entropy)


def _no_biases() -> Problem:
    """For Muon too, which takes matrices alone."""
    hidden = nn.Linear(INPUTS, 32, bias=False), nn.ReLU()
    return _classes(nn.Sequential(*hidden, nn.Linear(32, CLASSES, bias=False)))


def _classes(network: nn.Module) -> Problem:
    """The largest of some random directions is the class, and one label in ten is another's."""
    inputs = torch.randn(EXAMPLES, INPUTS)
    targets = (inputs @ torch.randn(INPUTS, CLASSES)).argmax(1)
    wrong = torch.rand(EXAMPLES) < 0.1
    return Problem(network, inputs, torch.where(wrong, targets.roll(1), targets), F.cross_entropy)


_PROBLEMS = {
    "valley": _valley,
    "relu": _relu,
    "deep tanh": _deep,
    "batch norm": _batch_norm,
    "random labels": _random_labels,
    "no biases": _no_biases,
}
PROBLEMS = tuple(_PROBLEMS)


def problem(name: str, seed: int) -> Problem:
    """One of `PROBLEMS`, its weights and examples drawn."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _PROBLEMS[name]()


Step = Callable[[Tensor], object]
"""A step of training on the examples of these numbers."""


def plain(task: Problem, optimizer: Optimizer) -> Callable[[Tensor], Tensor]:
    """Steps at whatever rate stands there; each returns its loss."""

    def step(chosen: Tensor) -> Tensor:
        loss = task.on(chosen)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def piloted(task: Problem, pilot: Pilot) -> Step:
    """The same steps, of which the pilot is told."""
    step = plain(task, pilot.optimizer)
    return lambda chosen: pilot.step(step(chosen))


def online(task: Problem, controller: OnlineActorCritic) -> Step:
    """Steps that the controller takes."""
    return lambda chosen: controller.step(task.on, chosen)
