"""Decoding ahead and writing behind, each in a thread: errors arrive where the result is waited for."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")
_END = object()
_POLL_SECONDS = 0.1


class Ahead(Generic[Item]):
    """An iterator that a thread runs ahead of its consumer, by at most `depth` items.

    Use it as a context: leaving it stops the thread, whatever is left.

    Args:
        items: what to iterate over; only the thread touches it.
        depth: how many items may wait.
        drop_oldest: drop the oldest item of a full queue instead of waiting: for a camera, which does not wait.
    """

    def __init__(self, items: Iterable[Item], depth: int, *, drop_oldest: bool = False) -> None:
        self._items, self._queue, self.drops_oldest = items, queue.Queue[object](depth), drop_oldest
        self.num_dropped = 0
        """Items dropped so far."""
        self._stopped = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __iter__(self) -> Iterator[Item]:
        while (item := self._next()) is not _END:
            yield item  # type: ignore[misc]  # everything else in the queue is an item
        if self._error is not None:
            raise self._error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._thread.join()

    @property
    def num_waiting(self) -> int:
        """Items that wait now."""
        return self._queue.qsize()

    def stop(self) -> None:
        """End the iteration after the items that wait already."""
        self._stopped.set()

    def _next(self) -> object:
        while True:
            try:
                return self._queue.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                if self._stopped.is_set():
                    return _END

    def _work(self) -> None:
        try:
            for item in self._items:
                self._make_room()
                if not self._put(item):
                    return
        except BaseException as error:  # whatever it is, the consumer has to see it
            self._error = error
        finally:
            self._put(_END)

    def _make_room(self) -> None:
        if self.drops_oldest and self._queue.full():
            with suppress(queue.Empty):
                self._queue.get_nowait()
                self.num_dropped += 1

    def _put(self, item: object) -> bool:
        """Wait for a place in the queue; False if nobody wants it any more."""
        while not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=_POLL_SECONDS)
                return True
            except queue.Full:
                continue
        return False


class Behind(Generic[Item]):
    """Hands items to a function in a thread, in order.

    Leaving the context waits until all is done. What is left is dropped after an error of the function, and when the
    process is to end at once (Ctrl-C).

    Args:
        work: called with each item, in the thread.
        depth: how many items may wait.
    """

    def __init__(self, work: Callable[[Item], None], depth: int) -> None:
        self._work_on, self._queue = work, queue.Queue[object](depth)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def put(self, item: Item) -> None:
        """Hand over an item, waiting for a place; an earlier item's error is raised here."""
        if self._error is not None:
            raise self._error
        self._queue.put(item)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and not issubclass(kind, Exception):
            self._error = self._error or error
        self._queue.put(_END)
        self._thread.join()
        if kind is None and self._error is not None:
            raise self._error

    def _work(self) -> None:
        while (item := self._queue.get()) is not _END:
            if self._error is None:
                try:
                    self._work_on(item)  # type: ignore[arg-type]  # everything else in the queue is an item
                except BaseException as error:  # whatever it is, the producer has to see it
                    self._error = error
