"""Enlarging a frame in overlapping tiles, so that memory depends on the tile and not on the frame."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional


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


def upscale_in_fixed_tiles(
    upscale: Callable[[Tensor], Tensor], lr: Tensor, *, scale: int, size: tuple[int, int], overlap_px: int
) -> Tensor:
    """Apply what takes frames of one size alone, and join the results.

    A frame that fits in goes through at once. Edges are continued by replication.

    Args:
        upscale: (N, C, *size) -> (N, C, size[0] * scale, size[1] * scale).
        lr: (N, C, H, W), any H and W.
        scale: output size over input size.
        size: height and width that `upscale` takes.
        overlap_px: context on each side of what a tile contributes, in LR pixels; less than half of both sides.
    """
    height, width = lr.shape[2:]
    if height <= size[0] and width <= size[1]:
        return upscale(pad_to(lr, size))[:, :, : height * scale, : width * scale]
    step_y, step_x = size[0] - 2 * overlap_px, size[1] - 2 * overlap_px
    tops, lefts = range(0, height, step_y), range(0, width, step_x)
    surrounded = functional.pad(lr, (overlap_px, 0, overlap_px, 0), mode="replicate")
    surrounded = pad_to(surrounded, (tops[-1] + size[0], lefts[-1] + size[1]))
    inner = slice(overlap_px * scale, -overlap_px * scale or None)
    rows = [
        torch.cat([upscale(surrounded[..., y : y + size[0], x : x + size[1]])[..., inner, inner] for x in lefts], dim=3)
        for y in tops
    ]
    return torch.cat(rows, dim=2)[:, :, : height * scale, : width * scale]


def pad_to(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """Continue (N, C, H, W) frames at the bottom and at the right by replication, to a height and a width."""
    bottom, right = size[0] - frames.shape[2], size[1] - frames.shape[3]
    return functional.pad(frames, (0, right, 0, bottom), mode="replicate") if bottom or right else frames
