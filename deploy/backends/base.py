"""The interface of inference backends."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any, Protocol, Self

from numpy.typing import NDArray

from deploy.core.ranges import require_range


class Backend(Protocol):
    """Runs an exported predictor.

    Factories in the registry take the keywords ``model: Path``, ``card: ModelCard``, ``threads: int | None`` and
    ``spinning: bool`` (whether idle threads keep polling, where the runtime has the choice). They raise WeightsError
    for a file that they cannot load or that differs from its card.
    """

    name: str
    """The registry's name."""
    description: str
    """For people: library, version, device, threads, precision."""
    precision: str
    """Arithmetic of the network: "fp32", "bf16", "fp16", "int8"."""
    threads: int
    """CPU threads in use."""

    def run(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Compute the file's output.

        Args:
            batch: (N, *card.input_shape) of card.input_type.

        Returns:
            (N, *card.output_shape) of card.output_type. The array is the caller's: later calls leave it alone.
        """
        ...

    def close(self) -> None:
        """Free the backend's resources; it cannot be used afterward. Can be called more than once."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def usable_threads(threads: int | None) -> int:
    """The number of threads asked for, or by default one a CPU that this process may run on.

    Raises:
        OptionError: less than 1.
    """
    if threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    require_range("threads", threads, 1, hint="Omit it to use every CPU of this process.")
    return threads
