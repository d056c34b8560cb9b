"""Evaluating a loss without leaving a trace in the network."""

# Buffers are read where modules keep them: in every step, torch's own iterators take too long.
# pyright: reportPrivateUsage=false
from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, nullcontext
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from lrpilot.errors import InvalidArgument

OWN_GRADIENTS = (
    "The loss is computed once more without gradients: one that takes gradients of its own, such as a gradient "
    "penalty, computes them under torch.enable_grad()."
)

LossFunction = Callable[[Any], Tensor]
"""``loss_fn(batch) -> loss``, a scalar that carries the graph to the parameters."""


class Evaluator:
    """Calls a loss function, and calls it again without disturbing running statistics.

    Forward passes in training mode change buffers (BatchNorm's means, a counter). The first training pass shows which
    modules the loss function calls; their buffers are put back after each :meth:`extra_pass`. No module has to be
    named by the user. A module that is called for the first time later in the run is not noticed.

    Args:
        shared_masks: whether an extra pass draws the same random numbers as the training pass of its step (so that
            dropout masks are shared within a step), or fresh ones.
    """

    def __init__(self, *, shared_masks: bool) -> None:
        self.shared_masks = shared_masks
        self._modules: list[nn.Module] | None = None
        self._random_states: tuple[Tensor, list[tuple[torch.device, Tensor]]] | None = None

    def training_pass(self, loss_fn: LossFunction, batch: Any) -> Tensor:
        """``loss_fn(batch)`` with gradients; running statistics move as they always do."""
        if self.shared_masks:
            self._random_states = _random_states()
        if self._modules is not None:
            return loss_fn(batch)
        with _called_modules() as called, _uncompiled():
            loss = loss_fn(batch)
        self._modules = [part for part in {p: None for m in called for p in m.modules()} if _buffers_of(part)]
        return loss

    def buffers(self) -> list[Tensor]:
        """The buffers of the modules that the loss function calls; none before the first training pass."""
        return [buffer for *_, buffer in self._named_buffers()]

    def _named_buffers(self) -> Iterator[tuple[nn.Module, str, Tensor]]:
        for module in self._modules or ():
            for name, buffer in _buffers_of(module).items():
                if buffer is not None:
                    yield module, name, buffer

    @torch.no_grad()
    def extra_pass(self, loss_fn: LossFunction, batch: Any) -> Tensor:
        """``loss_fn(batch)`` without gradients (detached); running statistics and the random stream stay as they were.

        With fresh masks the random stream moves on, as it must.
        """
        kept = [(module, name, buffer, buffer.clone()) for module, name, buffer in self._named_buffers()]
        after = _random_states() if self.shared_masks else None
        if self._random_states is not None:
            _set_random_states(self._random_states)
        try:
            return loss_fn(batch).detach()
        except RuntimeError as error:
            if "does not require grad" in str(error):
                error.add_note(OWN_GRADIENTS)
            raise
        finally:
            for module, name, buffer, value in kept:
                _buffers_of(module)[name] = buffer.copy_(value)  # which the pass may have replaced by another tensor
            if after is not None:
                _set_random_states(after)


def number_of(loss: object) -> float:
    """A loss as a number, which may be infinite or NaN.

    Raises:
        InvalidArgument: it is no real tensor of one element.
    """
    if not (isinstance(loss, Tensor) and loss.numel() == 1):
        came = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise InvalidArgument("the loss", "a tensor of one element", came)
    if loss.is_meta:
        raise InvalidArgument("the loss", "a tensor that holds a number", "one on the meta device")
    if not loss.is_floating_point():
        raise InvalidArgument("the loss", "a tensor of a floating-point dtype", loss.dtype)
    return float(loss.detach())


@contextmanager
def _called_modules() -> Generator[list[nn.Module]]:
    """The modules called within by this thread, in order (outermost ones included)."""
    called: list[nn.Module] = []
    thread = get_ident()

    def note(module: nn.Module, _: object) -> None:
        if get_ident() == thread:
            called.append(module)

    handle = register_module_forward_pre_hook(note)
    try:
        yield called
    finally:
        handle.remove()


@contextmanager
def _uncompiled() -> Generator[None]:
    """Within, compiled networks run as they were written, from torch 2.6 on: a trace would include the hook."""
    eager = torch.compiler.set_stance("force_eager") if hasattr(torch.compiler, "set_stance") else nullcontext()
    with eager, warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*global hooks on modules")  # our own, which may fire twice
        yield


def _buffers_of(module: nn.Module) -> dict[str, Tensor | None]:
    return module._buffers  # pyright: ignore[reportPrivateUsage] - named_buffers() gives no place to put one back


def _random_states() -> tuple[Tensor, list[tuple[torch.device, Tensor]]]:
    """The state of the random generators of the CPU and of each accelerator in use."""
    accelerators: list[tuple[torch.device, Tensor]] = []
    if torch.cuda.is_initialized():
        device = torch.device("cuda", torch.cuda.current_device())
        accelerators.append((device, torch.cuda.get_rng_state(device)))
    return torch.get_rng_state(), accelerators


def _set_random_states(states: tuple[Tensor, list[tuple[torch.device, Tensor]]]) -> None:
    cpu, accelerators = states
    torch.set_rng_state(cpu)
    for device, state in accelerators:
        torch.cuda.set_rng_state(state, device)
