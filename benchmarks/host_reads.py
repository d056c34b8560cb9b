"""Which operations make the host wait for a device: those that read there what a tensor holds."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
READS = {
    aten._local_scalar_dense,  # .item(), float(), bool(), an if
    aten.equal,
    aten.nonzero,
    aten.masked_select,
    aten._unique2,
    aten.unique_consecutive,
    aten.unique_dim,
    aten.repeat_interleave,
}
COPIES = {aten._to_copy, aten.copy_}
INDEXING = {aten.index, aten.index_put, aten.index_put_}  # by a mask, for which the host must count


class HostReads(TorchDispatchMode):
    """Counts, while it is entered, operations that read on the host what a tensor on ``device`` holds.

    Works where the device is the CPU as well, save for copies from there to there: nothing is read by those.

    Attributes:
        seen: the operations, in their order.
    """

    def __init__(self, device: torch.device | str) -> None:
        super().__init__()
        self._device = torch.device(device).type
        self.seen: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if self._waits(func.overloadpacket, args, result):
            self.seen.append(str(func))
        return result

    def _waits(self, operation: Any, args: tuple[Any, ...], result: Any) -> bool:
        given = list(_tensors(args))
        there = any(tensor.device.type == self._device for tensor in given)
        if operation in COPIES:
            return there and isinstance(result, Tensor) and result.device.type == "cpu" != self._device
        masked = operation in INDEXING and any(each.dtype in (torch.bool, torch.uint8) for each in _tensors(args[1]))
        return there and (operation in READS or masked)


def _tensors(values: Iterable[Any]) -> Iterable[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def reads_by_step(step: Callable[[Tensor], object], batches: Iterable[Tensor], device: str) -> list[int]:
    """How often each step makes the host wait for the device.

    On CUDA torch itself is asked too (``torch.cuda.set_sync_debug_mode``), and the larger count is taken.
    """
    counts: list[int] = []
    on_cuda = torch.device(device).type == "cuda"
    if on_cuda:
        torch.cuda.set_sync_debug_mode("warn")
    try:
        for batch in batches:
            with warnings.catch_warnings(record=True) as told, HostReads(device) as reads:
                warnings.simplefilter("always")
                step(batch)
            counts.append(max(len(reads.seen), sum("synchronizing" in str(each.message) for each in told)))
    finally:
        if on_cuda:
            torch.cuda.set_sync_debug_mode("default")
    return counts
