"""Simple rankings of macroblocks: the baselines that a predictor must beat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deploy.core.grid import Grid

Blocks = NDArray[np.float64]


def difference_ranking(interpolated: NDArray[np.float32], super_resolved: NDArray[np.float32], grid: Grid) -> Blocks:
    """Sum of |SR - IN| over each block; both (3, H, W)."""
    return grid.sum_sr(np.abs(super_resolved - interpolated).sum(axis=0))


def edge_ranking(interpolated: NDArray[np.float32], grid: Grid) -> Blocks:
    """Sum of the gradient magnitude of the interpolated frame (3, H, W) over each block."""
    return grid.sum_sr(edge_density(interpolated.mean(axis=0)))


def box_ranking(boxes: NDArray[np.float32], grid: Grid) -> Blocks:
    """Blocks inside detector boxes first, the others by their distance to the nearest box.

    Args:
        boxes: (M, 4) x0, y0, x1, y1 in SR pixels.
        grid: the blocks.
    """
    centre_y = _centres(grid.rows, grid.block_sr_px, grid.height_px * grid.scale)[:, None, None]
    centre_x = _centres(grid.cols, grid.block_sr_px, grid.width_px * grid.scale)[None, :, None]
    if len(boxes) == 0:
        return np.zeros((grid.rows, grid.cols))
    x0, y0, x1, y1 = boxes.astype(np.float64).T
    outside_x = np.maximum(np.maximum(x0 - centre_x, centre_x - x1), 0.0)
    outside_y = np.maximum(np.maximum(y0 - centre_y, centre_y - y1), 0.0)
    nearest: Blocks = np.hypot(outside_x, outside_y).min(axis=2)
    return -nearest


def grown_box_ranking(boxes: NDArray[np.float32], grid: Grid, margin_px: float) -> Blocks:
    """As `box_ranking`, with boxes that are `margin_px` SR pixels larger on every side."""
    margins = np.array([-margin_px, -margin_px, margin_px, margin_px], np.float32)
    return box_ranking(boxes + margins, grid)


def shuffle_ties(ranking: NDArray[np.generic], seed: tuple[int, ...]) -> Blocks:
    """Ranks 0 .. n - 1 in the order of `ranking`; blocks of equal value in random order."""
    flat = np.asarray(ranking, np.float64).ravel()
    order = np.lexsort((np.random.default_rng(seed).random(flat.size), flat))
    ranks = np.empty(flat.size)
    ranks[order] = np.arange(flat.size)
    return ranks.reshape(np.shape(ranking))


def edge_density(gray: NDArray[np.float32]) -> NDArray[np.float32]:
    """Gradient magnitude of (H, W) intensities by central differences."""
    dy, dx = np.gradient(gray)
    magnitude: NDArray[np.float32] = np.hypot(dx, dy).astype(np.float32)
    return magnitude


def _centres(count: int, side_px: int, size_px: int) -> Blocks:
    """Middles of the blocks along an axis; of a partial block, the middle of what lies in the frame."""
    borders = np.minimum(np.arange(count + 1) * side_px, size_px)
    middles: Blocks = (borders[:-1] + borders[1:]) / 2
    return middles
