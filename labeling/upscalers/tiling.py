"""Enlarging a frame in overlapping tiles, so that memory depends on the tile and not on the frame."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def upscale_in_tiles(
    upscale: Callable[[Tensor], Tensor], lr: Tensor, *, scale: int, tile_px: int, overlap_px: int
) -> Tensor:
    """Apply `upscale` to tiles and join the results.

    Equal to ``upscale(lr)`` where `overlap_px` is at least the receptive radius.

    Args:
        upscale: (N, 3, h, w) -> (N, 3, h * scale, w * scale).
        lr: (N, 3, H, W).
        scale: output size over input size.
        tile_px: side of the area a tile contributes, in LR pixels.
        overlap_px: context around that area, in LR pixels.
    """
    batch, channels, height, width = lr.shape
    if height <= tile_px and width <= tile_px:
        return upscale(lr)
    sr = torch.empty(batch, channels, height * scale, width * scale, dtype=lr.dtype, device=lr.device)
    for top in range(0, height, tile_px):
        for left in range(0, width, tile_px):
            bottom, right = min(top + tile_px, height), min(left + tile_px, width)
            y0, x0 = max(top - overlap_px, 0), max(left - overlap_px, 0)
            tile = upscale(lr[:, :, y0 : bottom + overlap_px, x0 : right + overlap_px])
            sr[:, :, top * scale : bottom * scale, left * scale : right * scale] = tile[
                :, :, (top - y0) * scale : (bottom - y0) * scale, (left - x0) * scale : (right - x0) * scale
            ]
    return sr
