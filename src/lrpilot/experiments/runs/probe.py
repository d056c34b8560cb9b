"""The probe of `lrpilot.suggest` on a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lrpilot.experiments.tasks.catalogue import loss_of
from lrpilot.experiments.tasks.tensors import Batches
from lrpilot.suggestion import Suggestion, suggest

from .controllers import PlainTraining
from .optimizers import make_optimizer

if TYPE_CHECKING:
    from lrpilot.experiments.tasks.catalogue import LoadedTask

    from .configuration import Configuration


def suggested(asked: Configuration, task: LoadedTask, *, steps: int = 100) -> Suggestion:
    """A rate for what is asked: its optimizer, momentum, batch size and seed; ``steps`` as of `suggest`."""
    asked = asked.complete(task)
    generator = torch.Generator().manual_seed(asked.seed or 0)
    network = task.make_network(generator)
    optimizer = make_optimizer(asked.optimizer or "", network.parameters(), momentum=asked.momentum)
    batches = Batches(task.data.train, asked.batch_size or task.batch_size, generator=generator)
    loss_fn, training = loss_of(network), PlainTraining(optimizer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(asked.seed or 0)  # dropout
        return suggest(optimizer, lambda: training.step(loss_fn, batches.draw()), steps=steps, network=network)
