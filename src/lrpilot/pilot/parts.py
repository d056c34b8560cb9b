"""What a pilot is made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch.distributed as dist
from torch.optim import Optimizer

from lrpilot.errors import InvalidArgument

from .buffers import Buffers
from .defaults import own_defaults
from .logbook import Decision
from .policy import Drives, Policy

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

Listener = Callable[[Decision], object]


class Parts(NamedTuple):
    """All that a copy of a pilot needs beside its state; the fields are `Pilot`'s arguments."""

    optimizers: tuple[Optimizer, ...]
    buffers: Buffers
    total_steps: int | None
    policy: Drives
    rollback: bool
    process_group: ProcessGroup | None
    on_decision: Listener | None
    on_rollback: Listener | None

    @classmethod
    def checked(
        cls,
        optimizers: tuple[Optimizer, ...],
        buffers: Buffers,
        total_steps: int | None,
        policy: str | Path | Drives,
        rollback: bool,
        process_group: ProcessGroup | None,
        on_decision: Listener | None,
        on_rollback: Listener | None,
    ) -> Parts:
        """The parts, of arguments of the right kinds; the policy is loaded.

        Raises:
            InvalidArgument: an argument of another kind.
        """
        if isinstance(policy, str | Path):
            with own_defaults():
                policy = Policy.load(policy)
        elif isinstance(policy, type) or not (hasattr(policy, "initial_memory") and hasattr(policy, "act")):
            raise InvalidArgument("policy", "'shipped', the path of a policy file, or a Policy", policy)
        try:
            said = rollback in (True, False)
        except (RuntimeError, ValueError):  # of several numbers
            said = False
        if not said:
            raise InvalidArgument("rollback", "True or False", rollback)
        if not (process_group is None or (dist.is_available() and isinstance(process_group, dist.ProcessGroup))):
            raise InvalidArgument("process_group", "a ProcessGroup that this rank is in, or None", process_group)
        for name, listener in (("on_decision", on_decision), ("on_rollback", on_rollback)):
            if not (listener is None or callable(listener)):
                raise InvalidArgument(name, "a function of a Decision, or None", listener)
        return cls(optimizers, buffers, total_steps, policy, rollback, process_group, on_decision, on_rollback)
