"""Pad frames and labels of different videos to a common size, at the bottom and at the right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pad_to(pixels: NDArray[Any], height_px: int, width_px: int, fill: ArrayLike) -> NDArray[Any]:
    """Pad (H, W, ...) to (height_px, width_px, ...); returns the same array if it has that size.

    Macroblocks stay where they are, so the upper left blocks of a padded frame's map are those of the frame.

    Args:
        pixels: no larger than that.
        height_px: wanted.
        width_px: wanted.
        fill: a value, or one a channel, for the pixels that are added.
    """
    height, width = pixels.shape[:2]
    if (height, width) == (height_px, width_px):
        return pixels
    padded = np.empty((height_px, width_px, *pixels.shape[2:]), pixels.dtype)
    padded[...] = fill
    padded[:height, :width] = pixels
    return padded


def mean_color(mean: Sequence[float]) -> NDArray[np.uint8]:
    """(3,) uint8 RGB: a model's mean color as a picture can hold it, which normalizing makes nearly zero.

    Args:
        mean: of colors in [0, 1].
    """
    return np.rint(255 * np.broadcast_to(np.asarray(mean, np.float64), 3)).astype(np.uint8)
