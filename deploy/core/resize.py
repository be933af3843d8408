"""Reduction of frames: by area, where each pixel is the mean of the area it covers, or by antialiased filters.

One function serves labeling, training of the upscaler and the deployment of images, so that all see the same
low-resolution frame; FFmpeg scales videos in deployment likewise (`deploy.inputs.video.Upright`).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Reduction = Literal["area", "bicubic", "lanczos"]
REDUCTIONS: tuple[Reduction, ...] = get_args(Reduction)
_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}
MAX_ASPECT_CHANGE = 0.02
"""By which two aspect ratios may differ and still be taken for one shape."""
_LARGEST_PERIOD = 16
"""Input pixels after which the pattern of coverage repeats, up to which a product of small matrices is the fastest."""


def same_shape(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two sizes, each of height and width, have about the same aspect ratio."""
    change = (one[1] * other[0]) / (one[0] * other[1])
    return max(change, 1 / change) - 1 <= MAX_ASPECT_CHANGE


def reduce_frame(
    image: NDArray[np.uint8], *, height_px: int, width_px: int, reduction: Reduction = "area"
) -> NDArray[np.uint8]:
    """Resize (H, W, 3) uint8 to (height_px, width_px, 3); what has that size already is returned as it is.

    Args:
        image: the frame.
        height_px: wanted.
        width_px: wanted.
        reduction: "area", or Pillow's bicubic or Lanczos filter, which are antialiased.
    """
    if image.shape[:2] == (height_px, width_px):
        return image
    if reduction == "area":
        return area_resize(image, height_px=height_px, width_px=width_px)
    return np.asarray(Image.fromarray(image).resize((width_px, height_px), _FILTERS[reduction]))


def area_resize(image: NDArray[np.uint8], *, height_px: int, width_px: int) -> NDArray[np.uint8]:
    """Resize (H, W, 3) uint8 to (height_px, width_px, 3) by area filtering, at any ratio."""
    height, width = image.shape[:2]
    if (height, width) == (height_px, width_px):
        return image
    if height % height_px == 0 and width % width_px == 0:  # the same figures, many times faster
        return np.asarray(Image.fromarray(image).reduce((width // width_px, height // height_px)))
    periods = height // math.gcd(height, height_px), width // math.gcd(width, width_px)
    small = (_periodic if max(periods) <= _LARGEST_PERIOD else _by_taps)(image, height_px, width_px)
    small += 0.5  # rounds: the cast cuts off
    return small.astype(np.uint8)


def _periodic(image: NDArray[np.uint8], height_px: int, width_px: int) -> NDArray[np.float32]:
    """For ratios such as 3 : 2: every group of 3 pixels becomes 2, by the same small matrix."""
    height, width = image.shape[:2]
    row_groups, col_groups = math.gcd(height, height_px), math.gcd(width, width_px)
    rows = _coverage(height // row_groups, height_px // row_groups)
    cols = np.kron(_coverage(width // col_groups, width_px // col_groups), np.eye(3, dtype=np.float32))
    shorter = rows @ image.reshape(row_groups, len(rows[0]), width * 3).astype(np.float32)
    small: NDArray[np.float32] = shorter.reshape(height_px * col_groups, len(cols[0])) @ cols.T
    return small.reshape(height_px, width_px, 3)


@lru_cache(maxsize=16)
def _coverage(size_px: int, out_px: int) -> NDArray[np.float32]:
    """(out_px, size_px): which part of an output pixel each input pixel covers."""
    taps, weights = _taps(size_px, out_px)
    matrix = np.zeros((out_px, size_px), np.float32)
    np.add.at(matrix, (np.arange(out_px), taps), weights)
    return matrix


def _by_taps(image: NDArray[np.uint8], height_px: int, width_px: int) -> NDArray[np.float32]:
    rows, row_weights = _taps(image.shape[0], height_px)
    cols, col_weights = _taps(image.shape[1], width_px)
    shorter = _weighted_sum([image[row] for row in rows], row_weights[:, :, None, None])
    return _weighted_sum([shorter[:, col] for col in cols], col_weights[:, None, :, None])


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
