"""Importance maps into files: one .npz, one .npz a segment of time, or JSON lines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from deploy.core.errors import OptionError
from deploy.inputs.video import Frame
from deploy.outputs.growing_files import LineFiles, Segments
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
        lines: writes lines.
    """

    def __init__(self, folder: Path, options: MapOptions, lines: LineFiles) -> None:
        self._options, self._lines = options, lines
        self._segments = Segments(folder / "importance.npz", options.segment_seconds, self._begin)

    def __enter__(self) -> Self:
        return self

    def append(self, frame: Frame, prediction: Prediction, selected: NDArray[np.bool_], *, predicted: bool) -> None:
        """Add the maps of one frame."""
        if self._options.format == "jsonl":
            self._lines.append("importance.jsonl", _line(frame, prediction, predicted=predicted))
            return
        self._grid = prediction.grid
        spool, _ = self._segments.at(frame.seconds)
        spool.append(frame, prediction, selected, predicted=predicted)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._segments.__exit__(kind, error, trace)

    @contextmanager
    def _begin(self, path: Path) -> Iterator[MapSpool]:
        """A spool that is saved when the context ends without an error."""
        with MapSpool(path.parent, self._grid) as spool:
            yield spool
            spool.save(path)


def _line(frame: Frame, prediction: Prediction, *, predicted: bool) -> dict[str, Any]:
    """One frame: importance to four digits, which is finer than a predictor knows it."""
    return {
        "index": frame.index,
        "pts": [frame.pts_seconds.numerator, frame.pts_seconds.denominator],
        "seconds": float(frame.seconds),
        "predicted": predicted,
        "importance": np.round(prediction.importance.astype(float), 4).tolist(),
        "levels": prediction.levels.tolist(),
    }
