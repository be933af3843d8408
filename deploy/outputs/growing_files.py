"""Files of a stream that can be read while they grow: lines that are whole, segments that are closed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TextIO, TypeVar

from deploy.core.closeable import Closing

Writer = TypeVar("Writer")


def segment_of(seconds: Fraction, length: Fraction | None) -> int:
    """The number of the segment that a time since a stream's first frame belongs to; all are 0 without segments."""
    return 0 if length is None else math.floor(seconds / length)


class LineFiles(Closing):
    """JSON lines, each there for others as soon as it is written. A file begins with its first line.

    Args:
        folder: where the files lie; what they hold stays.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, TextIO] = {}

    def append(self, name: str, record: dict[str, Any]) -> None:
        """Write one line to a file."""
        if name not in self._open:
            self._open[name] = (self._folder / name).open("a", encoding="utf-8")
        self._open[name].write(json.dumps(record) + "\n")
        self._open[name].flush()

    def close(self) -> None:
        """Close every file."""
        while self._open:
            self._open.popitem()[1].close()


class Segments(Generic[Writer]):
    """One file, or one a segment of time: each gets its name when it is closed.

    Args:
        path: of one file; of segments ``maps.npz`` stands for ``maps-000000.npz`` and so on.
        length: of a segment, in seconds; None writes one file.
        begin: opens a writer of a file that gets its name when the context ends without an error.
    """

    def __init__(
        self, path: Path, length: Fraction | None, begin: Callable[[Path], AbstractContextManager[Writer]]
    ) -> None:
        self._path, self._length, self._begin = path, length, begin
        self._stack = ExitStack()
        self._number: int | None = None

    def __enter__(self) -> Self:
        return self

    def at(self, seconds: Fraction) -> tuple[Writer, Fraction]:
        """The writer of the segment that this time belongs to, and the time since the segment's start.

        Args:
            seconds: since the stream's first frame; never less than before.
        """
        number = segment_of(seconds, self._length)
        if number != self._number:
            self._stack.close()
            path = self._path
            if self._length is not None:
                path = path.with_name(f"{path.stem}-{number:06d}{path.suffix}")
            self._writer = self._stack.enter_context(self._begin(path))
            self._number = number
        return self._writer, seconds - number * (self._length or 0)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
