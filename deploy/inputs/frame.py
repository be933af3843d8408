"""A frame, and a selection of frames of a source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from deploy.core.errors import OptionError
from deploy.core.ranges import require_range

Fit = Callable[[int, int], tuple[int, int]]
"""Maps a frame's height and width in pixels to the size to scale it to."""


@dataclass(frozen=True)
class Frame:
    """One decoded, upright frame."""

    index: int
    """Position in presentation order, from 0, counting every frame of the video; for an image, that in the folder."""
    pts_seconds: Fraction
    """Exact presentation time in seconds by the container's clock; if that jumps back, times continue evenly."""
    image: NDArray[np.uint8]
    """(H, W, 3) uint8 RGB."""
    first_pts_seconds: Fraction = Fraction(0)
    """`pts_seconds` of the video's first frame."""
    image_name: str = ""
    """File name of an image; empty for a frame of a video."""

    @property
    def seconds(self) -> Fraction:
        """Exact time since the video's first frame."""
        return self.pts_seconds - self.first_pts_seconds if self.first_pts_seconds else self.pts_seconds

    def __repr__(self) -> str:
        return f"Frame(index={self.index}, pts_seconds={self.pts_seconds}, image={self.image.shape})"


@dataclass(frozen=True)
class FrameSelection:
    """Which frames of a video to take. Times count from its first frame.

    Raises:
        OptionError: `every` < 1, a negative time, or `stop_seconds` <= `start_seconds`.
    """

    start_seconds: float = 0.0
    """Start time."""
    stop_seconds: float | None = None
    """Stop time (exclusive); None means the end."""
    every: int = 1
    """Take every Nth frame."""
    indices: frozenset[int] | None = None
    """Take only those at these positions in the video; None means all."""

    def __post_init__(self) -> None:
        require_range("every", self.every, 1)
        require_range("start_seconds", self.start_seconds, 0)
        if self.stop_seconds is not None and self.stop_seconds <= self.start_seconds:
            raise OptionError(
                f"stop_seconds={self.stop_seconds} is not after start_seconds={self.start_seconds}",
                hint="Give a later stop.",
            )

    def takes(self, index: int, seconds: Fraction) -> bool:
        """Whether the frame at this position and time since the first frame is taken."""
        if index % self.every or (self.indices is not None and index not in self.indices):
            return False
        return float(seconds) >= self.start_seconds and not self.is_past(seconds)

    def is_past(self, seconds: Fraction) -> bool:
        """Whether this time is at or after the stop."""
        return self.stop_seconds is not None and float(seconds) >= self.stop_seconds


EVERY_FRAME = FrameSelection()
