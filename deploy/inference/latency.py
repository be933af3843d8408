"""Where the time of each frame goes."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from deploy.core.tables import Table

Item = TypeVar("Item")
_PERCENTILES = (50, 95, 99)


@dataclass
class StageClock:
    """Measures named stages of a loop over frames, by wall clock."""

    _seconds: dict[str, array[float]] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one frame's pass through a stage."""
        started = time.perf_counter()
        yield
        self.add(name, time.perf_counter() - started)

    def add(self, name: str, seconds: float) -> None:
        """Count one frame's pass through a stage that was timed elsewhere."""
        self._seconds.setdefault(name, array("d")).append(seconds)

    def timed(self, items: Iterable[Item], name: str) -> Iterator[Item]:
        """Yield `items`; the time it takes to produce each counts as a stage."""
        iterator = iter(items)
        while True:
            started = time.perf_counter()
            try:
                item = next(iterator)
            except StopIteration:
                return
            self.add(name, time.perf_counter() - started)
            yield item

    def summary(self) -> dict[str, dict[str, float]]:
        """For each stage, in the order first met: mean, p50, p95 and p99 in milliseconds."""
        return {name: _summarise(np.array(seconds) * 1e3) for name, seconds in self._seconds.items()}


def table(stages: dict[str, dict[str, float]]) -> str:
    """A summary as text, one line a stage."""
    columns = [f"p{percentile}" for percentile in _PERCENTILES]
    rows = tuple((name, *(f"{figures[f'{column}_ms']:.2f}" for column in columns)) for name, figures in stages.items())
    return Table("", ("stage", *(f"{column} ms" for column in columns)), rows).text()


def _summarise(milliseconds: np.ndarray[tuple[int], np.dtype[np.float64]]) -> dict[str, float]:
    percentiles = np.percentile(milliseconds, _PERCENTILES)
    figures = {f"p{name}_ms": round(float(value), 4) for name, value in zip(_PERCENTILES, percentiles, strict=True)}
    return {"mean_ms": round(float(milliseconds.mean()), 4), **figures}
