"""Things that must be closed, as contexts."""

from __future__ import annotations

from types import TracebackType
from typing import Self


class Closing:
    """A base for classes with a ``close``: ``with`` calls it."""

    def close(self) -> None:
        """Free all resources. Can be called more than once."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
