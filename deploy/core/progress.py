"""Progress of long work: one living line on a terminal, a plain line every ten seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def track(items: Iterable[Item], *, total: int, label: str, done: int = 0, unit: str = "frame") -> Iterator[Item]:
    """Yield `items` and report count, speed and time left on standard error.

    Args:
        items: the work that is left.
        total: all items, including those already done; 0 if unknown.
        label: the name of the activity.
        done: how much was done before.
        unit: what one item is.
    """
    started, count, last_report = time.monotonic(), done, -1e9
    interval = 0.2 if sys.stderr.isatty() else 10.0
    try:
        for item in items:
            yield item
            count += 1
            now = time.monotonic()
            if now - last_report >= interval or count == total:
                last_report = now
                _report(label, count, total, (count - done) / max(now - started, 1e-9), unit)
    finally:
        if sys.stderr.isatty() and count > done:
            print(file=sys.stderr)  # ends the living line


def _report(label: str, count: int, total: int, per_second: float, unit: str) -> None:
    line = f"{label}: {count}  {per_second:.2f} {unit}/s"
    if total:
        left_seconds = (total - count) / max(per_second, 1e-9)
        line = f"{label}: {count}/{total}  {per_second:.2f} {unit}/s  {left_seconds:.0f} s left"
    if not sys.stderr.isatty():
        print(line, file=sys.stderr, flush=True)
        return
    print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)
