"""Several processes that decide alike."""

from __future__ import annotations

import weakref
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch.distributed as dist
from torch import Tensor

from lrpilot.errors import InvalidArgument

from .living import living

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

PATIENCE = timedelta(seconds=10)
"""How long the first decision waits for ranks on which no pilot has been made yet."""

_made: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
"""How many pilots this process has made for each group."""


class Ranks:
    """The ranks of a process group, on each of which a pilot must be made.

    Args:
        group: None for the default one. Where `torch.distributed` is not initialised, this process decides alone.
    """

    def __init__(self, group: ProcessGroup | None) -> None:
        self.group = group
        self._key: str | None = None
        self._met = False
        self._announce()

    def mean(self, numbers: Tensor) -> Tensor:
        """The mean over the ranks of what each gives: one collective.

        Raises:
            InvalidArgument: there are ranks without a pilot, or ranks that may end before others: a collective would
                wait for ever.
        """
        if not (dist.is_available() and dist.is_initialized()):
            return numbers
        if not self._met:
            self._meet()
        dist.all_reduce(numbers, group=self.group)
        return numbers / dist.get_world_size(self.group)

    def _announce(self) -> None:
        """Let the others know, without waiting for them."""
        if self._key is None and dist.is_available() and dist.is_initialized():
            group = self.group or dist.group.WORLD
            number = _made[group] = _made.get(group, 0) + 1
            self._key = f"lrpilot/{number}"
            _store(group).set(f"{self._key}/{dist.get_rank(group)}", "")

    def _meet(self) -> None:
        from torch.distributed.algorithms.join import Joinable

        self._announce()
        if any(thing._join_config.enable for thing in living(lambda kind: issubclass(kind, Joinable))):
            allowed = "one whose ranks take equally many steps (leave Join out, and drop or repeat the last batches)"
            raise InvalidArgument("process_group", allowed, "ranks under torch.distributed's Join")
        size = dist.get_world_size(self.group)
        try:
            _store(self.group or dist.group.WORLD).wait([f"{self._key}/{rank}" for rank in range(size)], PATIENCE)
        except Exception as error:  # the stores have no error in common
            allowed = "one on whose every rank a Pilot is made (for this rank alone: a group of its own)"
            raise InvalidArgument("process_group", allowed, f"{size} ranks, some without one") from error
        self._met = True


def _store(group: Any) -> Any:
    return dist.distributed_c10d._get_process_group_store(group)  # pyright: ignore[reportPrivateUsage]
