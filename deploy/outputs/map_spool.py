"""Importance maps of a long video into one .npz, without holding them in memory."""

from __future__ import annotations

from array import array
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from deploy.core.files import write_npz
from deploy.core.grid import Grid
from deploy.inputs.video import Frame
from deploy.prediction.predictor import Prediction

SCHEMA_VERSION = 1
_TYPES: dict[str, type[np.generic]] = {"importance": np.float32, "levels": np.uint8, "selected": np.bool_}


class MapSpool:
    """Collects block values in scratch files, then packs them.

    Args:
        folder: where the scratch files lie while the context is open, named as temporary files are.
        grid: the macroblock grid of all maps.
    """

    def __init__(self, folder: Path, grid: Grid) -> None:
        self._grid = grid
        self._paths = {name: folder / f".tmp-{name}.raw" for name in _TYPES}
        # Numbers, not objects: a stream may be long.
        self._indices, self._numerators, self._denominators = array("q"), array("q"), array("q")
        self._predicted = array("b")
        self._image_names: list[str] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._files = {name: stack.enter_context(path.open("wb")) for name, path in self._paths.items()}
            self._stack = stack.pop_all()
        return self

    @property
    def num_frames(self) -> int:
        """Frames added so far."""
        return len(self._indices)

    def append(self, frame: Frame, prediction: Prediction, selected: NDArray[np.bool_], *, predicted: bool) -> None:
        """Add the maps of one frame; `predicted` says whether they are its own or an earlier frame's."""
        maps: tuple[NDArray[Any], ...] = (prediction.importance, prediction.levels, selected)
        for (name, dtype), values in zip(_TYPES.items(), maps, strict=True):
            self._files[name].write(values.astype(dtype, copy=False).tobytes())
        self._indices.append(frame.index)
        self._numerators.append(frame.pts_seconds.numerator)
        self._denominators.append(frame.pts_seconds.denominator)
        self._predicted.append(predicted)
        if frame.image_name:
            self._image_names.append(frame.image_name)

    def save(self, path: Path) -> None:
        """Write all maps of N frames as one .npz.

        Its arrays: ``importance`` (N, rows, cols) float32 in [0, 1], ``levels`` (N, rows, cols) uint8, ``selected``
        (N, rows, cols) bool; ``frame_index`` (N,) int64, ``pts_numerator`` and ``pts_denominator`` (N,) int64, the
        exact times in seconds; ``predicted`` (N,) bool, False where an earlier frame's maps are reused;
        ``image_names`` (N,) text, or (0,) for a video; and the scalars ``schema_version``, ``grid_name``,
        ``block_px``, ``scale``, ``height_px`` and ``width_px``.

        Args:
            path: the .npz file.
        """
        for file in self._files.values():
            file.flush()
        grid, shape = self._grid, (len(self._indices), self._grid.rows, self._grid.cols)
        maps = {name: np.memmap(self._paths[name], dtype, "r", shape=shape) for name, dtype in _TYPES.items()}
        write_npz(
            path,
            schema_version=np.array(SCHEMA_VERSION),
            **maps,
            predicted=np.array(self._predicted, np.bool_),
            frame_index=np.array(self._indices, np.int64),
            pts_numerator=np.array(self._numerators, np.int64),
            pts_denominator=np.array(self._denominators, np.int64),
            grid_name=np.array(grid.name),
            block_px=np.array(grid.block_px),
            scale=np.array(grid.scale),
            height_px=np.array(grid.height_px),
            width_px=np.array(grid.width_px),
            image_names=np.array(self._image_names, np.str_),
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        for path in self._paths.values():
            path.unlink(missing_ok=True)
