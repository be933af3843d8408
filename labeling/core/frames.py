"""Low-resolution frames and their true high-resolution references, from one video."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from deploy.core.resize import area_resize
from deploy.inputs.report import DEFAULT_READING, ReadOptions, SourceReport
from deploy.inputs.sources import read_source
from deploy.inputs.video import Frame, FrameSelection, VideoInfo

if TYPE_CHECKING:
    from torch import Tensor


class Sized(Protocol):
    """What has the size of a picture: a probed video, or a manifest's record of one."""

    @property
    def height_px(self) -> int: ...  # noqa: D102
    @property
    def width_px(self) -> int: ...  # noqa: D102


@dataclass(frozen=True)
class FrameSize:
    """Sizes that one video, or one folder of images, is worked on at."""

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
        """Sizes for a video, given the LR frame's."""
        has_reference = source.height_px >= height_px * scale and source.width_px >= width_px * scale
        return cls(height_px, width_px, scale, has_reference)


@dataclass(frozen=True, eq=False)
class FramePair:
    """One frame at low resolution, and the true frame at the super-resolved size."""

    frame: Frame
    """As decoded."""
    lr: NDArray[np.uint8]
    """(H, W, 3) RGB, reduced by area filtering."""
    reference: NDArray[np.uint8] | None
    """(H * scale, W * scale, 3) RGB; None where the video is smaller than that."""


def frame_size(video: VideoInfo, height_px: int, scale: int) -> FrameSize:
    """LR size of a video: `height_px` high, or the video's own height if that is less."""
    height = min(height_px, video.height_px)
    width = max(1, round(video.width_px * height / video.height_px))
    return FrameSize.of(height, width, scale, video)


def read_pairs(
    path: Path, size: FrameSize, selection: FrameSelection, reading: ReadOptions = DEFAULT_READING
) -> Iterator[FramePair]:
    """Decode the selected frames of a video or a folder of images at both sizes, one at a time.

    What is lost was told when the source was probed.
    """
    for frame in read_source(path, selection, reading, SourceReport(str(path))):
        reference = None
        if size.has_reference:
            reference = area_resize(
                frame.image, height_px=size.height_px * size.scale, width_px=size.width_px * size.scale
            )
        yield FramePair(frame, area_resize(frame.image, height_px=size.height_px, width_px=size.width_px), reference)


def to_tensor(image: NDArray[Any], device: str) -> Tensor:
    """(H, W, 3) uint8 -> (1, 3, H, W) float32 in [0, 1]."""
    import torch

    return torch.from_numpy(np.array(image)).to(device).permute(2, 0, 1)[None].float() / 255.0
