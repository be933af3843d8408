"""Importance maps into files: one .npz, one .npz a segment of time, or JSON lines."""

from __future__ import annotations

import json
import math
from contextlib import ExitStack
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
    """Start a new ``importance-000000.npz`` each time so many seconds have passed; None writes one file."""

    def __post_init__(self) -> None:
        if self.segment_seconds is None:
            return
        if self.segment_seconds <= 0 or self.format != "npz":
            raise OptionError(
                f"segments of {float(self.segment_seconds)} s as {self.format}: only .npz has them, longer than 0 s",
                hint="Use --segment-seconds 60, or leave it out.",
            )


class MapFiles:
    """Writes the maps of one stream, frame by frame.

    Args:
        folder: where the files go.
        grid: the macroblock grid of all maps.
        options: how.
    """

    def __init__(self, folder: Path, grid: Grid, options: MapOptions) -> None:
        self._folder, self._grid, self._options = folder, grid, options
        self._spool: MapSpool | None = None
        self._segment = 0
        self._names: list[str] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            if self._options.format == "jsonl":
                self._lines = stack.enter_context((self._folder / "importance.jsonl").open("w", encoding="utf-8"))
            else:
                self._spool = MapSpool(self._folder, self._grid).__enter__()
                stack.push(self._finish)
            self._stack = stack.pop_all()
        return self

    def append(
        self,
        frame: Frame,
        prediction: Prediction,
        selected: NDArray[np.bool_],
        *,
        predicted: bool,
        image_name: str | None,
    ) -> None:
        """Add the maps of one frame."""
        if self._spool is None:
            self._lines.write(_line(frame, prediction, predicted=predicted) + "\n")
            return
        length = self._options.segment_seconds
        segment = math.floor(frame.pts_seconds / length) if length is not None else 0
        if segment != self._segment and self._spool.num_frames:
            self._save()
            self._spool.__exit__(None, None, None)
            self._spool = MapSpool(self._folder, self._grid).__enter__()
            self._names = []
        self._segment = segment
        self._spool.append(frame, prediction, selected, predicted=predicted)
        if image_name is not None:
            self._names.append(image_name)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def _save(self) -> None:
        segmented = self._options.segment_seconds is not None
        name = f"importance-{self._segment:06d}.npz" if segmented else "importance.npz"
        if self._spool is not None:
            self._spool.save(self._folder / name, tuple(self._names))

    def _finish(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._save()
        finally:
            if self._spool is not None:
                self._spool.__exit__(kind, error, trace)


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
