"""Signals to end: Ctrl-C, the end of a job, a terminal that goes away. Needs no torch."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

Answer = Callable[[int, FrameType | None], object]
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextmanager
def answering(answer: Answer) -> Generator[None]:
    """Call ``answer`` at such a signal; one that is ignored (nohup) stays so. In the main thread alone."""
    here = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in SIGNALS if here}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, answer)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def stopped_by_signals(ask: Callable[[], object]) -> Generator[None]:
    """The first signal calls ``ask``, to stop where it does no harm; a second one does what it did before."""
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def stop(number: int, _: FrameType | None) -> None:
        ask()
        signal.signal(number, before[signal.Signals(number)])

    with answering(stop):
        yield
