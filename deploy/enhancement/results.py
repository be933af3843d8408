"""What a run leaves behind of one stream: blocks.jsonl, video in segments, images, raw frames."""

from __future__ import annotations

import json
import math
import re
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from deploy.core.files import write_image, write_text
from deploy.detectors.detections import Detections
from deploy.enhancement.frames import EnhancedFrame
from deploy.enhancement.regions import Region
from deploy.inputs.frame import Frame
from deploy.outputs.video_writer import VideoWriter
from deploy.prediction.postprocess import block_rectangles

BLOCKS_SCHEMA_VERSION = 2
_BOX_COLOR = "#facc15"
_SEGMENT = re.compile(r"enhanced-(\d{6,})\.mp4")


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


class EnhancedWriter:
    """Streams results into a folder.

    Args:
        folder: where they go; None for raw frames alone.
        wanted: which.
        about: what the first line of ``blocks.jsonl`` says besides sizes.
    """

    def __init__(self, folder: Path | None, wanted: Wanted, about: dict[str, Any]) -> None:
        self._folder, self._wanted, self._about = folder, wanted, about
        self._video = ExitStack()
        self._segment: int | None = None
        self._lines: dict[str, TextIO] = {}
        self._is_empty = True
        self.num_frames = 0
        """Frames written so far, by this run."""
        self.start_seconds = self._go_on()
        """Since the first frame: what comes before is done."""

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
            if self._wanted.video_rate is not None:
                self._write_video(frame, image)
            if self._wanted.images:
                write_image(self._folder / "enhanced" / f"{frame.index:06d}.png", Image.fromarray(image))
            self._write_lines(frame, source_size, enhanced)
            if found is not None:
                self._append("detections.jsonl", _found_line(frame, found))
        if self._wanted.raw:
            sys.stdout.buffer.write(np.ascontiguousarray(image).data)
            sys.stdout.buffer.flush()
        self.num_frames += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in self._lines.values():
            stream.close()
        self._video.__exit__(kind, error, trace)

    def _write_video(self, frame: Frame, image: NDArray[np.uint8]) -> None:
        assert self._folder is not None and self._wanted.video_rate is not None  # noqa: S101  # asked before
        length = self._wanted.segment_seconds
        segment = 0 if length is None else math.floor(frame.seconds / length)
        if segment != self._segment:
            self._video.close()
            name = "enhanced.mp4" if length is None else f"enhanced-{segment:06d}.mp4"
            self._writer = VideoWriter(self._folder / name, frame_rate=self._wanted.video_rate)
            self._video.enter_context(self._writer)
            self._segment = segment
        self._writer.write(image, pts_seconds=frame.seconds - segment * (length or 0))

    def _write_lines(self, frame: Frame, source_size: tuple[int, int], enhanced: EnhancedFrame) -> None:
        if self._is_empty:
            self._append("blocks.jsonl", _header(source_size, enhanced) | self._about)
            self._is_empty = False
        self._append("blocks.jsonl", _line(frame, enhanced))

    def _append(self, name: str, record: dict[str, Any]) -> None:
        assert self._folder is not None  # noqa: S101  # asked before
        if name not in self._lines:
            self._lines[name] = (self._folder / name).open("a", encoding="utf-8")
        self._lines[name].write(json.dumps(record) + "\n")
        self._lines[name].flush()

    def _go_on(self) -> Fraction:
        """Keep what closed segments hold of an interrupted run, but for the last one; the rest is done again."""
        if self._folder is None:
            return Fraction(0)
        names = (_SEGMENT.fullmatch(path.name) for path in self._folder.iterdir())
        start = max((int(match[1]) for match in names if match), default=0) * (
            self._wanted.segment_seconds or Fraction(0)
        )
        for lines in self._folder.glob("*.jsonl"):
            kept = [line for line in lines.read_text(encoding="utf-8").splitlines() if _is_before(line, start)]
            write_text(lines, "".join(f"{line}\n" for line in kept))
        blocks = self._folder / "blocks.jsonl"
        self._is_empty = not blocks.exists() or blocks.stat().st_size == 0
        return start


def _is_before(line: str, seconds: Fraction) -> bool:
    """Whether a line is of a frame before this time. The first line, of sizes, stays if any other may."""
    try:
        record = json.loads(line)
    except ValueError:  # cut off in the middle
        return False
    return float(record.get("seconds", 0)) < float(seconds)


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
