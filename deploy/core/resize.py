"""Resizing by area: each output pixel is the mean of what it covers, pixels on its border counted by their part.

One function serves labelling, training of the upscaler and deployment, so that all see the same low-resolution frame.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def area_resize(image: NDArray[np.uint8], *, height_px: int, width_px: int) -> NDArray[np.uint8]:
    """Resize (H, W, 3) uint8 to (height_px, width_px, 3) by area filtering, at any ratio."""
    height, width = image.shape[:2]
    if (height, width) == (height_px, width_px):
        return image
    if height % height_px == 0 and width % width_px == 0:  # the same figures, many times faster
        return np.asarray(Image.fromarray(image).reduce((width // width_px, height // height_px)))
    rows, row_weights = _taps(height, height_px)
    cols, col_weights = _taps(width, width_px)
    shorter = _weighted_sum([image[row] for row in rows], row_weights[:, :, None, None])
    small = _weighted_sum([shorter[:, col] for col in cols], col_weights[:, None, :, None])
    small += 0.5  # rounds: the cast cuts off
    return small.astype(np.uint8)


def _weighted_sum(parts: list[NDArray[np.generic]], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    total: NDArray[np.float32] = parts[0] * weights[0]
    for part, weight in zip(parts[1:], weights[1:], strict=True):
        total += part * weight
    return total


@lru_cache(maxsize=16)
def _taps(size_px: int, out_px: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Along one axis: (taps, out_px) input positions, and how much of each output pixel they cover."""
    edges = np.arange(out_px + 1) * size_px / out_px
    low, high = edges[:-1], edges[1:]
    first = np.floor(low).astype(np.intp)
    position = first + np.arange(int((np.ceil(high) - first).max()))[:, None]
    covered = np.minimum(position + 1, high) - np.maximum(position, low)
    weights = covered.clip(min=0) / (high - low)
    return np.minimum(position, size_px - 1), weights.astype(np.float32)
