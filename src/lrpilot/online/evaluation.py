"""Evaluating a loss without leaving a trace in the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

LossFunction = Callable[[Any], Tensor]
"""``loss_fn(batch) -> loss``, a scalar that carries the graph to the parameters."""


class Evaluator:
    """Calls a loss function, and calls it again without disturbing running statistics.

    Forward passes in training mode change buffers (BatchNorm's means, a counter). The first training pass shows which
    modules the loss function calls; their buffers are put back after each :meth:`extra_pass`. No module has to be
    named by the user. A module that is called for the first time later in the run is not noticed.

    Args:
        shared_masks: let an extra pass draw the same random numbers as the training pass of its step (so that dropout
            masks are shared within a step) instead of fresh ones.
    """

    def __init__(self, *, shared_masks: bool = False) -> None:
        self.shared_masks = shared_masks
        self._modules: list[nn.Module] | None = None
        self._random_states: tuple[Tensor, list[tuple[torch.device, Tensor]]] | None = None

    def training_pass(self, loss_fn: LossFunction, batch: Any) -> Tensor:
        """``loss_fn(batch)`` with gradients; running statistics move as they always do."""
        if self.shared_masks:
            self._random_states = _random_states()
        if self._modules is not None:
            return loss_fn(batch)
        with _called_modules() as called:
            loss = loss_fn(batch)
        self._modules = [part for part in {p: None for m in called for p in m.modules()} if part._buffers]
        return loss

    @property
    def buffers(self) -> list[Tensor]:
        """The buffers of the modules that the loss function calls; none before the first training pass."""
        return [b for module in self._modules or () for b in module._buffers.values() if b is not None]

    @torch.no_grad()
    def extra_pass(self, loss_fn: LossFunction, batch: Any) -> Tensor:
        """``loss_fn(batch)`` without gradients (detached); running statistics and the random stream stay as they were.

        With fresh masks the random stream moves on, as it must.
        """
        kept = [(buffer, buffer.clone()) for buffer in self.buffers]
        after = _random_states() if self.shared_masks else None
        if self._random_states is not None:
            _set_random_states(self._random_states)
        try:
            return loss_fn(batch).detach()
        finally:
            for buffer, value in kept:
                buffer.copy_(value)
            if after is not None:
                _set_random_states(after)


class Displacement:
    """How the last step of an optimizer moved the parameters, and what that was worth to the next batch.

    Holds as much memory as the parameters take.

    Args:
        optimizer: whose parameters are watched.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer
        self._moved: list[Tensor] = []

    @torch.no_grad()
    def begin(self) -> None:
        """Remember the parameters as they are: called right before the step."""
        if self._moved:
            for held, parameter in zip(self._moved, self._parameters(), strict=True):
                held.copy_(parameter)
        else:
            self._moved = [parameter.detach().clone() for parameter in self._parameters()]

    @torch.no_grad()
    def end(self) -> None:
        """Keep how they moved instead: called right after the step."""
        for held, parameter in zip(self._moved, self._parameters(), strict=True):
            held.sub_(parameter)

    @torch.no_grad()
    def decrement(self) -> Tensor:
        """``-(w_{t+1} - w_t) . g``: how much the step lowers the loss whose gradients are in ``.grad``, to first order.

        Right after the step these are the gradients of its own batch at its start; after the next backward pass those
        of the next batch at its end. A scalar; no forward pass is needed for it.
        """
        gains = [
            torch.dot(moved.flatten(), parameter.grad.flatten())
            for moved, parameter in zip(self._moved, self._parameters(), strict=True)
            if parameter.grad is not None
        ]
        return torch.stack(gains).sum()

    def _parameters(self) -> list[Tensor]:
        return [p for group in self._optimizer.param_groups for p in group["params"] if p.requires_grad]

    def state_dict(self) -> dict[str, object]:
        """How the parameters moved with the last step."""
        return {"moved": self._moved}

    def load_state_dict(self, state: dict) -> None:
        """Take up what :meth:`state_dict` gave."""
        self._moved = state["moved"]


@contextmanager
def _called_modules() -> Iterator[list[nn.Module]]:
    """The modules called within, in order (outermost ones included)."""
    called: list[nn.Module] = []
    handle = register_module_forward_pre_hook(lambda module, _: called.append(module))
    try:
        yield called
    finally:
        handle.remove()


def _random_states() -> tuple[Tensor, list[tuple[torch.device, Tensor]]]:
    """The state of the random generators of the CPU and of each accelerator in use."""
    accelerators = []
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        device = torch.device("cuda", torch.cuda.current_device())
        accelerators.append((device, torch.cuda.get_rng_state(device)))
    return torch.get_rng_state(), accelerators


def _set_random_states(states: tuple[Tensor, list[tuple[torch.device, Tensor]]]) -> None:
    cpu, accelerators = states
    torch.set_rng_state(cpu)
    for device, state in accelerators:
        torch.cuda.set_rng_state(state, device)
