"""What a run leaves behind of one stream: blocks.jsonl, maps, video in segments, images, raw frames."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from deploy.cards.model_card import ModelCard
from deploy.core.files import write_image
from deploy.detectors.detections import Detections
from deploy.enhancement.frames import EnhancedFrame
from deploy.enhancement.regions import Region
from deploy.inputs.frame import Frame
from deploy.outputs.growing_files import LineFiles, Segments
from deploy.outputs.map_files import MapFiles, MapFormat, MapOptions
from deploy.outputs.video_writer import VideoWriter
from deploy.prediction.postprocess import block_rectangles, levels_of
from deploy.prediction.predictor import Prediction

BLOCKS_SCHEMA_VERSION = 2
_BLOCKS = "blocks.jsonl"
_BOX_COLOR = "#facc15"


@dataclass(frozen=True)
class Wanted:
    """Which results of a stream are written."""

    video_rate: Fraction | None
    """Frames a second of ``enhanced.mp4``; None makes none."""
    segment_seconds: Fraction | None
    """Start a new ``enhanced-000000.mp4`` each time so many seconds have passed since the first frame; its times count
    from there. None writes one file."""
    images: bool
    """Whether each frame becomes ``enhanced/000000.png``."""
    raw: bool
    """Whether each frame goes to standard output."""
    maps: MapFormat | None = None
    """Format of the importance maps; None writes none."""


class EnhancedWriter:
    """Streams results into a folder.

    Args:
        folder: of the stream, where results go; what it holds stays. None for raw frames alone.
        wanted: which.
        about: what the first line of ``blocks.jsonl`` says besides sizes.
        card: of the predictor, for maps: their levels are those nearest to the importance.
    """

    def __init__(
        self, folder: Path | None, wanted: Wanted, about: dict[str, Any], card: ModelCard | None = None
    ) -> None:
        self._folder, self._wanted, self._about = folder, wanted, about
        self._stack = ExitStack()
        if folder is not None:
            self._lines = self._stack.enter_context(LineFiles(folder))
            self._is_empty = not (folder / _BLOCKS).exists()
        self._maps: MapFiles | None = None
        if folder is not None and wanted.maps is not None and card is not None:
            kind = MapOptions(wanted.maps, wanted.segment_seconds if wanted.maps == "npz" else None)
            self._maps, self._card = self._stack.enter_context(MapFiles(folder, kind, self._lines)), card
        if folder is not None and wanted.video_rate is not None:
            begin = partial(VideoWriter, frame_rate=wanted.video_rate)
            self._video = self._stack.enter_context(Segments(folder / "enhanced.mp4", wanted.segment_seconds, begin))
        self.num_frames = 0
        """Frames written so far, by this run."""

    def __enter__(self) -> Self:
        return self

    def write(
        self, frame: Frame, source_size: tuple[int, int], enhanced: EnhancedFrame, found: Detections | None
    ) -> None:
        """Write all that belongs to one frame.

        Args:
            frame: as it was enhanced.
            source_size: height and width of the source's frames.
            enhanced: the result.
            found: what a detector found in it; that is drawn.
        """
        image = enhanced.image if found is None else drawn(enhanced.image, found)
        if self._folder is not None:
            if self._maps is not None:
                levels = levels_of(enhanced.importance, self._card)
                prediction = Prediction(enhanced.importance, levels, enhanced.grid)
                self._maps.append(frame, prediction, enhanced.selected, predicted=enhanced.is_predicted)
            if self._wanted.video_rate is not None:
                video, seconds = self._video.at(frame.seconds)
                video.write(image, pts_seconds=seconds)
            if self._wanted.images:
                write_image(self._folder / "enhanced" / f"{frame.index:06d}.png", Image.fromarray(image))
            if self._is_empty:
                self._lines.append(_BLOCKS, _header(source_size, enhanced) | self._about)
                self._is_empty = False
            self._lines.append(_BLOCKS, _line(frame, enhanced))
            if found is not None:
                self._lines.append("detections.jsonl", _found_line(frame, found))
        if self._wanted.raw:
            sys.stdout.buffer.write(np.ascontiguousarray(image).data)
            sys.stdout.buffer.flush()
        self.num_frames += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)


def _header(source_size: tuple[int, int], enhanced: EnhancedFrame) -> dict[str, Any]:
    grid = enhanced.grid
    return {
        "schema_version": BLOCKS_SCHEMA_VERSION,
        "width_px": grid.width_px,
        "height_px": grid.height_px,
        "scale": grid.scale,
        "block_px": grid.block_px,
        "source_width_px": source_size[1],
        "source_height_px": source_size[0],
    }


def _line(frame: Frame, enhanced: EnhancedFrame) -> dict[str, Any]:
    """Rectangles are x, y, width, height in pixels of the frame that was enhanced, whose size the first line says."""
    record = {
        "index": frame.index,
        "pts_seconds": float(frame.pts_seconds),
        "seconds": float(frame.seconds),
        "blocks": block_rectangles(enhanced.grid)[enhanced.selected].tolist(),
        "regions": [_rectangle(region, padded=False) for region in enhanced.regions],
        "padded_regions": [_rectangle(region, padded=True) for region in enhanced.regions],
    }
    return record | ({"image": frame.image_name} if frame.image_name else {})


def _rectangle(region: Region, *, padded: bool) -> list[int]:
    rows, cols = region.padded if padded else region.enlarged(1)
    return [cols.start, rows.start, cols.stop - cols.start, rows.stop - rows.start]


def _found_line(frame: Frame, found: Detections) -> dict[str, Any]:
    """Boxes are left, top, right, bottom in pixels of the enhanced frame."""
    return {
        "index": frame.index,
        "pts_seconds": float(frame.pts_seconds),
        "seconds": float(frame.seconds),
        "boxes": np.round(found.xyxy.astype(float), 2).tolist(),
        "confidence": np.round(found.confidence.astype(float), 4).tolist(),
        "classes": [found.class_names[index] for index in found.class_id],
    }


def drawn(image: NDArray[np.uint8], found: Detections) -> NDArray[np.uint8]:
    """The enhanced frame with what a detector found."""
    picture = Image.fromarray(image)
    draw, width = ImageDraw.Draw(picture), max(1, image.shape[0] // 360)
    for box, index in zip(found.xyxy.tolist(), found.class_id, strict=True):
        draw.rectangle(box, outline=_BOX_COLOR, width=width)
        draw.text((box[0] + 2 * width, box[1] + width), found.class_names[index], fill=_BOX_COLOR)
    return np.asarray(picture)
