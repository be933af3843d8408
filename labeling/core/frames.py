"""Read low-resolution frames and their high-resolution references from one video."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from deploy.core.errors import InputError
from deploy.core.resize import Reduction, area_resize, reduce_frame
from deploy.inputs.report import DEFAULT_READING, ReadOptions, SourceReport
from deploy.inputs.sources import read_source
from deploy.inputs.video import Frame, FrameSelection, VideoInfo, read_frames

if TYPE_CHECKING:
    from torch import Tensor


class Sized(Protocol):
    """Anything with a frame size: a probed video, or a video's record in a manifest."""

    @property
    def height_px(self) -> int: ...  # noqa: D102
    @property
    def width_px(self) -> int: ...  # noqa: D102


@dataclass(frozen=True)
class FrameSize:
    """Frame sizes used for one video or folder of images."""

    height_px: int
    """Height of the LR frame."""
    width_px: int
    """Width of the LR frame."""
    scale: int
    """SR size over LR size."""
    has_reference: bool
    """Whether the video is large enough for a true frame of the SR size."""

    @classmethod
    def of(cls, height_px: int, width_px: int, scale: int, source: Sized) -> FrameSize:
        """Return the sizes for a video, given the size of the LR frame."""
        has_reference = source.height_px >= height_px * scale and source.width_px >= width_px * scale
        return cls(height_px, width_px, scale, has_reference)


@dataclass(frozen=True, eq=False)
class FramePair:
    """One frame at low resolution, and the original frame at the super-resolved size."""

    frame: Frame
    """As decoded."""
    lr: NDArray[np.uint8]
    """(H, W, 3) RGB: the frame reduced, or as a stream of such frames has it."""
    reference: NDArray[np.uint8] | None
    """(H * scale, W * scale, 3) RGB; None where the video is smaller than that."""


def frame_size(video: VideoInfo, height_px: int, scale: int) -> FrameSize:
    """Return the LR size of a video: `height_px` high, or the video's own height if that is smaller."""
    height = min(height_px, video.height_px)
    width = max(1, round(video.width_px * height / video.height_px))
    return FrameSize.of(height, width, scale, video)


@dataclass(frozen=True)
class LrStream:
    """A video that contains the low-resolution frames of another video."""

    path: Path
    """The video."""
    positions: dict[int, int]
    """Index of a frame in the source -> position of its twin here; both increase."""


def read_pairs(
    path: Path,
    size: FrameSize,
    selection: FrameSelection,
    reading: ReadOptions = DEFAULT_READING,
    *,
    reduction: Reduction = "area",
    lr_stream: LrStream | None = None,
) -> Iterator[FramePair]:
    """Decode the selected frames of a video or a folder of images at both sizes, one at a time.

    Losses are reported when the source is probed, not here.

    Args:
        path: the source.
        size: the two sizes.
        selection: the frames to read.
        reading: how the source is read.
        reduction: how low-resolution frames are made.
        lr_stream: a video to take them from instead.

    Raises:
        InputError: the source or the stream cannot be read, or the stream ends too early.
    """
    twins = None if lr_stream is None else _twins(lr_stream, size)
    for frame in read_source(path, selection, reading, SourceReport(str(path))):
        reference = None
        if size.has_reference:
            reference = area_resize(
                frame.image, height_px=size.height_px * size.scale, width_px=size.width_px * size.scale
            )
        if twins is None:
            lr = reduce_frame(frame.image, height_px=size.height_px, width_px=size.width_px, reduction=reduction)
        else:
            lr = twins(frame.index)
        yield FramePair(frame, lr, reference)


def _twins(stream: LrStream, size: FrameSize) -> Callable[[int], NDArray[np.uint8]]:
    """Return a function from frame index to low-resolution frame; indices must increase."""
    frames = read_frames(stream.path)
    last: list[Frame] = []

    def twin(index: int) -> NDArray[np.uint8]:
        while not last or last[0].index < stream.positions[index]:
            found = next(frames, None)
            if found is None:
                raise InputError(f"{stream.path} ends before frame {index}", hint="Check that it plays to the end.")
            last[:] = [found]
        # Crop the padding that the encoder, which needs even sides, required.
        return np.ascontiguousarray(last[0].image[: size.height_px, : size.width_px])

    return twin


def to_tensor(image: NDArray[Any], device: str) -> Tensor:
    """(H, W, 3) uint8 -> (1, 3, H, W) float32 in [0, 1]."""
    import torch

    return torch.from_numpy(np.array(image)).to(device).permute(2, 0, 1)[None].float() / 255.0
