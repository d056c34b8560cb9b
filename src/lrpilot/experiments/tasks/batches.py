"""Mini-batches drawn by index from tensors in memory: no loader, no worker process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from lrpilot.errors import InvalidArgument

if TYPE_CHECKING:
    from jaxtyping import Int
    from torch import Tensor

    from .catalogue import Batch
    from .tensors import Examples


class Batches:
    """Batches without end: each epoch in a fresh random order, its last incomplete batch left out.

    Args:
        examples: what to draw from.
        batch_size: examples a batch, at most as many as there are.
        generator: draws the orders; its state is part of :meth:`state_dict`.

    Raises:
        InvalidArgument: ``batch_size`` out of range.
    """

    def __init__(self, examples: Examples, batch_size: int, *, generator: torch.Generator) -> None:
        if not 0 < batch_size <= len(examples):
            allowed = f"a whole number in [1, {len(examples)}], the size of the training set"
            raise InvalidArgument("batch_size", allowed, batch_size)
        self._examples = examples
        self._batch_size = batch_size
        self._generator = generator
        self._shuffle()

    def draw(self) -> Batch:
        """The next batch: inputs ``[batch, ...]`` and targets ``[batch]``, copies."""
        if self._position == len(self._epoch):
            self._shuffle()
        rows = self._epoch[self._position]
        self._position += 1
        return self._examples.inputs.index_select(0, rows), self._examples.targets.index_select(0, rows)

    def _shuffle(self) -> None:
        self._before_epoch = self._generator.get_state()
        order: Int[Tensor, " example"] = torch.randperm(len(self._examples), generator=self._generator)
        whole = len(order) // self._batch_size * self._batch_size
        self._epoch = order[:whole].view(-1, self._batch_size).unbind()
        self._position = 0

    def state_dict(self) -> dict[str, Any]:
        """The generator before this epoch's order was drawn from it, and the place in that order."""
        return {"generator": self._before_epoch, "position": self._position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state_dict` was taken."""
        self._generator.set_state(state["generator"])
        self._shuffle()
        self._position = state["position"]
