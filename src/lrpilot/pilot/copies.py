"""A network as it was: weights, optimizer state, running statistics, and what the pilot remembered then."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from lrpilot.core.snapshot import Snapshot
from lrpilot.core.state import StateDict
from lrpilot.errors import InvalidArgument

from .buffers import Buffers
from .memory import Memory
from .optimizers import members_of


class Copy(NamedTuple):
    """A network as it was.

    Attributes:
        step: after how many steps.
        memory: what the pilot remembered then; None of the start.
        snapshots: weights and optimizer state, of each optimizer.
        buffers: copies by number (see `Buffers`).
        loss: its loss when it was left for an earlier copy; NaN if it was not.
    """

    step: int
    memory: dict[str, float] | None
    snapshots: list[Snapshot]
    buffers: dict[int, Tensor]
    loss: float = math.nan

    @classmethod
    def taken(
        cls, step: int, memory: Memory | None, optimizer: torch.optim.Optimizer, buffers: dict[int, Tensor]
    ) -> Copy:
        """The network as it is now; ``buffers`` are copies already."""
        return cls(step, None if memory is None else memory._asdict(), _snapshots(optimizer), buffers)

    def restore(self, buffers: Buffers) -> None:
        """Put the network back to it."""
        for snapshot in self.snapshots:
            snapshot.restore()
        buffers.restore(self.buffers)

    def state_dict(self, buffers: Buffers) -> StateDict:
        """The copy in plain values."""
        now = buffers.tensors()
        reshaped = [n for n, buffer in self.buffers.items() if n in now and now[n].shape != buffer.shape]
        snapshots = [snapshot.state_dict() for snapshot in self.snapshots]
        return {**self._asdict(), "snapshots": snapshots, "reshaped": reshaped}

    @classmethod
    def of(cls, state: StateDict, optimizer: torch.optim.Optimizer, buffers: Buffers) -> Copy:
        """The copy that gave a state, of the same network.

        Raises:
            InvalidArgument: it is of another network.
        """
        now = buffers.tensors()
        shapes = {n: tensor.shape for n, tensor in now.items()}
        shapes |= {n: state["buffers"][n].shape for n in state.get("reshaped", ()) if n in now}
        wrong = [n for n, copy in state["buffers"].items() if shapes.get(n) != copy.shape]
        if wrong:
            raise InvalidArgument("the saved copy's buffers", f"{len(now)} of the shapes that they have here", wrong)
        # Up to version 0.2 one snapshot was taken of all optimizers together.
        saved = state["snapshots"] if "snapshots" in state else [state["snapshot"]]
        snapshots = _snapshots(optimizer) if len(saved) > 1 else [Snapshot(optimizer)]
        for snapshot, values in zip(snapshots, saved, strict=True):
            snapshot.load_state_dict(values)
        return cls(state["step"], state["memory"], snapshots, dict(state["buffers"]), state.get("loss", math.nan))


def _snapshots(optimizer: torch.optim.Optimizer) -> list[Snapshot]:
    return [Snapshot(member) for member in members_of(optimizer)]
