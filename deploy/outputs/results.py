"""What inference leaves behind: importance maps, block lists and pictures."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deploy.core.errors import InputError
from deploy.core.files import write_image
from deploy.core.grid import Grid
from deploy.inputs.video import Frame
from deploy.outputs.growing_files import LineFiles, Segments
from deploy.outputs.map_files import MapFiles, MapOptions
from deploy.outputs.overlay import importance_overlay, with_legend
from deploy.outputs.video_writer import VideoWriter
from deploy.prediction.postprocess import block_rectangles
from deploy.prediction.predictor import Prediction


@dataclass(frozen=True)
class PictureOptions:
    """Which overlays to make."""

    video_rate: Fraction | None
    """Frames per second of ``overlay.mp4``; None writes none."""
    num_images: int
    """Maximum number of PNGs."""
    num_frames: int
    """How many frames are expected; the PNGs are spread over them."""

    def wants_image(self, position: int) -> bool:
        """Whether the frame that comes `position`-th, from 0, is made a PNG."""
        if self.num_images == 0:
            return False
        interval = max(self.num_frames // self.num_images, 1)
        return position % interval == 0 and position // interval < self.num_images


class ResultWriter:
    """Streams results into a folder: maps (`MapFiles`), ``blocks.jsonl``, ``overlays/*.png``, ``overlay.mp4``.

    Args:
        folder: of the stream; what it holds stays.
        pictures: which overlays to make.
        maps: how importance maps are written; the overlay video has the same segments.
        num_before: how many frames were written by the run that this one goes on with.
    """

    def __init__(self, folder: Path, pictures: PictureOptions, maps: MapOptions, *, num_before: int = 0) -> None:
        self._folder, self._pictures, self._num_before = folder, pictures, num_before
        self._grid: Grid | None = None
        self._stack = ExitStack()
        self._lines = self._stack.enter_context(LineFiles(folder))
        self._maps = self._stack.enter_context(MapFiles(folder, maps, self._lines))
        self._video: Segments[VideoWriter] | None = None
        if pictures.video_rate is not None:
            begin = partial(VideoWriter, frame_rate=pictures.video_rate)
            self._video = self._stack.enter_context(Segments(folder / "overlay.mp4", maps.segment_seconds, begin))
        self.num_frames = 0
        """Frames written so far, by this run."""
        self.first_pts_seconds = Fraction(0)
        """Time of the source's first frame by its own clock, once a frame was written."""

    def __enter__(self) -> Self:
        return self

    def write(
        self,
        frame: Frame,
        lr: NDArray[np.uint8],
        prediction: Prediction,
        selected: NDArray[np.bool_],
        *,
        predicted: bool = True,
    ) -> dict[str, Any]:
        """Write all that belongs to one frame.

        Args:
            frame: as decoded.
            lr: (height_px, width_px, 3) uint8 RGB, the frame at the grid's size.
            prediction: of that frame, all on one grid.
            selected: (rows, cols) bool, the macroblocks to enhance.
            predicted: whether the prediction is the frame's own, not an earlier one's.

        Returns:
            The frame's line of ``blocks.jsonl``.

        Raises:
            InputError: another grid than before.
        """
        grid = self._require_grid(frame, prediction.grid)
        self.first_pts_seconds = frame.first_pts_seconds
        self._maps.append(frame, prediction, selected, predicted=predicted)
        wants_image = self._pictures.wants_image(self._num_before + self.num_frames)
        if wants_image or self._video:
            overlay = with_legend(importance_overlay(lr, prediction.importance, grid, selected=selected))
            if wants_image:
                write_image(self._folder / "overlays" / f"{frame.index:06d}.png", Image.fromarray(overlay))
            if self._video:
                video, seconds = self._video.at(frame.seconds)
                video.write(overlay, pts_seconds=seconds)
        line = self._line(frame, selected)
        self._lines.append("blocks.jsonl", line)
        self.num_frames += 1
        return line

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def _require_grid(self, frame: Frame, grid: Grid) -> Grid:
        if self._grid is None:
            self._grid, self._rectangles = grid, block_rectangles(grid)
        if grid != self._grid:
            first, name = self._grid, frame.image_name or f"frame {frame.index}"
            raise InputError(
                f"{name} is {grid.width_px} x {grid.height_px} pixels, but the previous frames are "
                f"{first.width_px} x {first.height_px}",
                hint="All maps of an input share one grid: use a separate input for frames of another size.",
            )
        return grid

    def _line(self, frame: Frame, selected: NDArray[np.bool_]) -> dict[str, Any]:
        rectangles = self._rectangles[selected]
        record = {
            "index": frame.index,
            "pts_seconds": float(frame.pts_seconds),
            "seconds": float(frame.seconds),
            "blocks": rectangles[rectangles[:, 2:].all(axis=1)].tolist(),
        }
        return record | ({"image": frame.image_name} if frame.image_name else {})
