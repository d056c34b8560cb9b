"""Signals that ask a run to stop: Ctrl-C, the end of a job, a terminal that goes away."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextmanager
def stopped_by_signals(ask: Callable[[], None]) -> Generator[None]:
    """The first signal calls ``ask``; a second one does what it did before. One that is ignored (nohup) stays so."""
    here = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in SIGNALS if here}

    def stop(number: int, _: FrameType | None) -> None:
        ask()
        signal.signal(number, before[number])

    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
