"""Whether a run's length was announced in batches, where the optimizer takes a step for several of them."""

from __future__ import annotations

import inspect
import math
import sys
import sysconfig
from itertools import chain
from types import FrameType
from typing import Any

from torch.utils.data import DataLoader, IterableDataset

from lrpilot.core.notices import PACKAGE

from .living import living


def batches_for(steps: int, total_steps: int) -> int | None:
    """How many batches a data loader has given for so many steps, if ``total_steps`` may be a count of its batches.

    None unless the loader is a variable of one of the calling functions, is in the middle of a pass in which it has
    given at least two batches for each step, and gives so many batches that ``total_steps`` are whole passes. None in
    the loop of a trainer, and of a stream, whose passes have no known length.
    """
    if not _loader_in_sight():
        return None
    passes = living(lambda kind: any(base.__name__ == "_BaseDataLoaderIter" for base in kind.__mro__))
    for one in passes:
        given, length = vars(one).get("_num_yielded", 0), _length(one)
        if length is not None and 2 * steps <= given < length and total_steps % length == 0:
            return given
    return None


def _length(batches: Any) -> int | None:
    """How many batches a pass has; None of a stream, which does not know.

    The loader of a stream that knows its length would warn, once asked, if the stream gave more.
    """
    data, sampler, drops = (vars(batches).get(name) for name in ("_dataset", "_index_sampler", "_drop_last"))
    try:
        if not isinstance(data, IterableDataset):
            return len(batches)
        count = len(data) / (getattr(sampler, "batch_size", None) or 1)  # type: ignore[arg-type] - some have a length
        return math.floor(count) if drops else math.ceil(count)
    except (TypeError, NotImplementedError):
        return None


def _loader_in_sight() -> bool:
    frame, installed = inspect.currentframe(), sysconfig.get_path("purelib")
    while frame is not None:
        own = frame.f_globals.get("__name__", "").partition(".")[0] == PACKAGE
        if not own and frame.f_code.co_filename.startswith(installed):
            return False  # the loop of a trainer, which counts its steps rightly
        if any(isinstance(value, DataLoader) for value in chain(_locals(frame), frame.f_globals.values())):
            return True
        frame = frame.f_back
    return False


def _locals(frame: FrameType) -> list[object]:
    """The values of a function's variables; none of them is kept alive for it.

    Before Python 3.13 a frame keeps the dictionary that it is asked for until its function returns.
    """
    held = frame.f_locals
    values = list(held.values())
    if frame.f_code.co_flags & inspect.CO_OPTIMIZED and isinstance(held, dict) and sys.getrefcount(held) <= 3:
        held.clear()  # which nobody else has asked for: not the function's own locals()
    return values
