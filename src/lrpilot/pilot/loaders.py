"""Whether a run's length was announced in batches, where the optimizer takes a step for several of them."""

from __future__ import annotations

import inspect
from itertools import chain

from torch.utils.data import DataLoader

from .living import living


def batches_for(steps: int, total_steps: int) -> int | None:
    """How many batches a data loader has given for so many steps, if ``total_steps`` may be a count of its batches.

    None unless the loader is a variable of one of the calling functions, has given at least two batches for each step
    in its present pass, and gives so many batches that ``total_steps`` are whole passes.
    """
    if not _loader_in_sight():
        return None
    passes = living(lambda kind: any(base.__name__ == "_BaseDataLoaderIter" for base in kind.__mro__))
    for one in passes:
        given, length = vars(one).get("_num_yielded", 0), len(one)
        if given >= 2 * steps and length > 0 and total_steps % length == 0:
            return given
    return None


def _loader_in_sight() -> bool:
    frame = inspect.currentframe()
    while frame is not None:
        if any(isinstance(value, DataLoader) for value in chain(frame.f_locals.values(), frame.f_globals.values())):
            return True
        frame = frame.f_back
    return False
