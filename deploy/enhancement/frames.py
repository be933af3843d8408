"""The frames that an `Enhancer` works on and returns."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from deploy.core.grid import Grid
from deploy.enhancement.importance import Importance
from deploy.enhancement.regions import Region


@dataclass(frozen=True)
class PredictedFrame:
    """One frame before its macroblocks are chosen."""

    rgb: NDArray[np.uint8]
    """(H, W, 3) uint8 RGB."""
    importance: Importance
    """(rows, cols) float32 in [0, 1]."""
    grid: Grid
    """Which pixels each macroblock covers."""
    seconds: dict[str, float]
    """Time by stage so far."""
    is_own: bool
    """Whether the importance was predicted for this frame, not reused."""
    pts_seconds: Fraction | None
    """Its time, if known."""
    index: int
    """Number of the call, from 0."""


@dataclass(frozen=True)
class EnhancedFrame:
    """One enhanced frame. The arrays belong to the caller."""

    image: NDArray[np.uint8]
    """(H * scale, W * scale, 3) uint8 RGB: super-resolved in the regions, interpolated elsewhere."""
    selected: NDArray[np.bool_]
    """(rows, cols) bool: the macroblocks selected by the budget. Others inside regions are super-resolved as well."""
    importance: NDArray[np.float32]
    """(rows, cols) float32 in [0, 1]."""
    grid: Grid
    """Which pixels of the low-resolution frame each macroblock covers."""
    regions: tuple[Region, ...]
    """The super-resolved rectangles."""
    seconds: dict[str, float]
    """Time by stage: predict, select, regions, pack, network, paste; with `Enhancer.video` also decode."""
    is_predicted: bool = True
    """Whether the importance was predicted for this frame, not reused."""
    pts_seconds: Fraction | None = None
    """Exact presentation time in seconds, if known."""
    index: int = 0
    """Position in the video, or number of the call, from 0."""

    def __repr__(self) -> str:
        chosen = f"{self.selected.sum()} of {self.selected.size} blocks in {len(self.regions)} regions"
        return f"EnhancedFrame(image={self.image.shape}, {chosen}, pts_seconds={self.pts_seconds})"
