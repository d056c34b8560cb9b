"""Taking a network back to where it was."""

from __future__ import annotations

import copy
import gc
from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Snapshot:
    """A copy of an optimizer's parameters and state, and of buffers, at the moment of its construction.

    Restoring fills every tensor in place, so that references to them (views, compiled steps, other wrappers) stay
    valid. State that the optimizer has gained since is dropped. Learning rates are not part of it.

    Args:
        optimizer: whose parameters and state are copied: as much memory again as they take.
        buffers: further tensors, such as BatchNorm's running statistics.
    """

    @torch.no_grad()
    def __init__(self, optimizer: torch.optim.Optimizer, buffers: Iterable[Tensor] = ()) -> None:
        self._optimizer = optimizer
        self._values = [(b, b.clone()) for b in buffers]
        self._states: list[tuple[Tensor, dict]] = []
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                self._values.append((parameter, parameter.detach().clone()))
                self._states.append((parameter, copy.deepcopy(optimizer.state.get(parameter, {}))))

    @torch.no_grad()
    def restore(self) -> None:
        """Put everything back. The snapshot stays good for another time."""
        for held, value in self._values:
            held.copy_(value)
        for parameter, saved in self._states:
            state = self._optimizer.state[parameter]
            for key in [key for key in state if key not in saved]:
                del state[key]
            for key, value in saved.items():
                if isinstance(value, Tensor) and isinstance(state.get(key), Tensor):
                    state[key].copy_(value)
                else:
                    state[key] = copy.deepcopy(value)

    def state_dict(self) -> dict[str, list]:
        """The copied tensors, in the optimizer's order."""
        return {
            "values": [value for _, value in self._values],
            "states": [saved for _, saved in self._states],
        }

    def load_state_dict(self, state: dict) -> None:
        """Take up what :meth:`state_dict` gave, for the same optimizer and buffers."""
        self._values = [(held, value) for (held, _), value in zip(self._values, state["values"], strict=True)]
        self._states = [(held, saved) for (held, _), saved in zip(self._states, state["states"], strict=True)]


WIDEST = 14.0
"""The pilot moves the log rate no farther than this from its start, up or down: six decades."""


def buffers_beside(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """The buffers of the networks that hold one of the optimizer's parameters, in an order that only the networks determine.

    An optimizer knows no modules, so they are looked for among all living objects: a tenth of a second, once. That finds
    them whether or not they run compiled, and before their first forward pass.
    """
    place = {parameter: i for i, parameter in enumerate(_parameters(optimizer))}
    networks = []
    for thing in gc.get_objects():
        # Not isinstance(), which would ask proxies; a module that is still being built has no parameters yet.
        if issubclass(type(thing), nn.Module) and "_modules" in vars(thing):
            held = [place[p] for p in thing.parameters() if p in place]
            if held:
                networks.append((min(held), -len(held), -sum(1 for _ in thing.modules()), thing))
    networks.sort(key=lambda network: network[:3])  # outermost first: the order within them is the order
    return list({id(buffer): buffer for *_, network in networks for buffer in network.buffers()}.values())


class Guard:
    """Takes a network back that its learning rate has destroyed: weights, optimizer state and running statistics.

    Holds one copy of them at most: of the network before its first step, until :meth:`close_window`; with ``rollback``
    the last good one from then on.

    Args:
        optimizer: of the network. Buffers are those of :func:`buffers_beside` that the first steps change.
        rollback: go on after the window closes.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, *, rollback: bool) -> None:
        self.rollback = rollback
        self.step: int = 0
        """After how many steps the copy was taken."""
        self.memory: dict[str, Tensor] | None = None
        """What the pilot remembered then; None if the copy is of the start."""
        self._optimizer = optimizer
        self._buffers = buffers_beside(optimizer)
        self._untouched = [buffer.detach().clone() for buffer in self._buffers]
        self._changing: list[int] | None = None
        self._snapshot: Snapshot | None = None

    @property
    def ready(self) -> bool:
        """Whether there is a copy to go back to."""
        return self._snapshot is not None

    @property
    def started(self) -> bool:
        """Whether the first step has been taken."""
        return self._changing is not None

    def remember_start(self, optimizer: torch.optim.Optimizer) -> None:
        """To be called right before the first step, when a forward pass has already moved the running statistics."""
        # By value: BatchNorm's kernels change its statistics without counting up the tensors' versions.
        pairs = zip(self._buffers, self._untouched, strict=True)
        self._changing = [i for i, (now, before) in enumerate(pairs) if not torch.equal(now, before)]
        self._snapshot = Snapshot(optimizer, self._changing_buffers())
        state = self._snapshot.state_dict()
        values = [self._untouched[i] for i in self._changing] + state["values"][len(self._changing) :]
        self._snapshot.load_state_dict({**state, "values": values})
        self._untouched = []

    def keep(self, step: int, memory: dict[str, Tensor]) -> None:
        """Copy the network as it is now, after ``step`` steps, in the place of what is held."""
        self._snapshot = None  # never two copies at a time
        self._snapshot = Snapshot(self._optimizer, self._changing_buffers())
        self.step, self.memory = step, memory

    def take_back(self) -> None:
        """Put the network back to the copy."""
        if self._snapshot is not None:
            self._snapshot.restore()

    def close_window(self) -> None:
        """Free the copy of the start, unless it is to serve until the first good one."""
        if not self.rollback:
            self._snapshot = None

    def close(self) -> None:
        """Free everything."""
        self._snapshot, self._buffers, self._untouched = None, [], []

    def _changing_buffers(self) -> list[Tensor]:
        return [self._buffers[i] for i in self._changing or ()]

    def state_dict(self) -> dict[str, object]:
        """The copy, if there is one, and which buffers belong to it."""
        return {
            "step": self.step,
            "memory": self.memory,
            "changing": self._changing,
            "snapshot": None if self._snapshot is None else self._snapshot.state_dict(),
        }

    def load_state_dict(self, state: dict) -> None:
        """Take up what :meth:`state_dict` gave, for the same network."""
        self.step, self.memory, self._changing = state["step"], state["memory"], state["changing"]
        self._snapshot = None
        if state["snapshot"] is not None:
            self._snapshot = Snapshot(self._optimizer, self._changing_buffers())
            self._snapshot.load_state_dict(state["snapshot"])


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
