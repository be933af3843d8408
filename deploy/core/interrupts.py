"""Ctrl-C that waits for the current step, so that saved results are consistent."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def on_interrupt(stop: Callable[[], object]) -> Iterator[None]:
    """Call `stop` at the first SIGINT; a second one interrupts at once. Only the main thread gets signals.

    Args:
        stop: requests the end; called in the main thread at any point.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.getsignal(signal.SIGINT)
    if previous in (None, signal.SIG_IGN):  # another handler, or ignored on purpose
        yield
        return

    def note(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, previous)
        stop()
        os.write(2, b"\nstopping; press Ctrl-C again to stop at once\n")  # print may be what was interrupted

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
