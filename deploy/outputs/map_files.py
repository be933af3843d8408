"""Importance maps into files: one .npz, one .npz a segment of time, or JSON lines."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from deploy.core.errors import OptionError
from deploy.core.grid import Grid
from deploy.inputs.video import Frame
from deploy.outputs.map_spool import MapSpool
from deploy.prediction.predictor import Prediction

MapFormat = Literal["npz", "jsonl"]


@dataclass(frozen=True)
class MapOptions:
    """How maps are written.

    Raises:
        OptionError: a segment length that is not positive, or segments of JSON lines.
    """

    format: MapFormat = "npz"
    """``importance.npz``, or ``importance.jsonl`` with one line a frame."""
    segment_seconds: Fraction | None = None
    """Start a new ``importance-000000.npz`` each time so many seconds have passed since the first frame; None writes
    one file."""

    def __post_init__(self) -> None:
        if self.segment_seconds is None:
            return
        if self.segment_seconds <= 0 or self.format != "npz":
            raise OptionError(
                f"segments of {float(self.segment_seconds)} s as {self.format}: only .npz has them, longer than 0 s",
                hint="Use --segment-seconds 60, or omit it.",
            )


class MapFiles:
    """Writes the maps of one stream, frame by frame.

    Args:
        folder: where the files go.
        options: how.
    """

    def __init__(self, folder: Path, options: MapOptions) -> None:
        self._folder, self._options = folder, options
        self._segment: int | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            if self._options.format == "jsonl":
                self._lines = stack.enter_context((self._folder / "importance.jsonl").open("w", encoding="utf-8"))
            self._stack = stack.pop_all()
        return self

    def append(self, frame: Frame, prediction: Prediction, selected: NDArray[np.bool_], *, predicted: bool) -> None:
        """Add the maps of one frame."""
        if self._options.format == "jsonl":
            self._lines.write(_line(frame, prediction, predicted=predicted) + "\n")
            return
        length = self._options.segment_seconds
        segment = 0 if length is None else math.floor(frame.seconds / length)
        if segment != self._segment:
            self._begin(segment, prediction.grid)
        self._spool.append(frame, prediction, selected, predicted=predicted)
        if frame.image_name:
            self._names.append(frame.image_name)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def _begin(self, segment: int, grid: Grid) -> None:
        """End the segment before, if there is one, and begin another."""
        self._stack.close()
        name = "importance.npz" if self._options.segment_seconds is None else f"importance-{segment:06d}.npz"
        self._segment, self._names = segment, list[str]()
        self._spool = self._stack.enter_context(_saved_spool(self._folder, grid, name, self._names))


@contextmanager
def _saved_spool(folder: Path, grid: Grid, name: str, image_names: list[str]) -> Iterator[MapSpool]:
    """A spool that is saved when the context ends without an error."""
    with MapSpool(folder, grid) as spool:
        yield spool
        spool.save(folder / name, tuple(image_names))


def _line(frame: Frame, prediction: Prediction, *, predicted: bool) -> str:
    """One frame as JSON: importance to four digits, which is finer than a predictor knows it."""
    return json.dumps(
        {
            "index": frame.index,
            "pts": [frame.pts_seconds.numerator, frame.pts_seconds.denominator],
            "predicted": predicted,
            "importance": np.round(prediction.importance.astype(float), 4).tolist(),
            "levels": prediction.levels.tolist(),
        }
    )
