"""How many pixels of surroundings a region needs to be super-resolved as in the whole frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deploy.cards.upscaler_card import LARGEST_RADIUS_PX
from deploy.enhancement.upscaler import Margins, Upscaler

MOST_DIFFERENCE = 1
"""Of 255: rounding may go either way."""
REGIONS_PER_FRAME = 24
_BLOCK_PX = 16
_PROBES_PX = (49, 121, 265, 553)


@torch.no_grad()
def receptive_radius_px(enlarge: Callable[[Tensor], Tensor]) -> int | None:
    """How far around a pixel its result looks, exactly: NaN at one pixel spreads to all that depends on it.

    Args:
        enlarge: (1, 3, H, W) -> (1, 3, H * scale, W * scale), without clipping.

    Returns:
        Pixels, or None if that is the whole frame or more than cards know.
    """
    for size in _PROBES_PX:
        probe = torch.full((1, 3, size, size), 0.5)
        probe[:, :, size // 2, size // 2] = torch.nan
        spoilt = enlarge(probe).isnan().any(dim=1)[0]
        scale = len(spoilt) // size
        radius = max(int((torch.nonzero(spoilt.any(dim=axis)) // scale - size // 2).abs().max()) for axis in (0, 1))
        if radius < size // 2:
            return radius if radius <= LARGEST_RADIUS_PX else None
    return None


def halo_error(upscaler: Upscaler, frames: Sequence[NDArray[np.uint8]], halo_px: int, seed: int = 0) -> int:
    """The largest difference of 255 between random regions, of 1 to 4 blocks a side, and the same of whole frames.

    Args:
        upscaler: the exported file.
        frames: (H, W, 3) uint8 RGB.
        halo_px: the surroundings that the regions get; none beyond the frame's border.
        seed: of the regions.
    """
    return _halo_error(upscaler, frames, _wholes(upscaler, frames), halo_px, seed)


def _wholes(upscaler: Upscaler, frames: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.int16]]:
    return [upscaler(frame[None])[0].astype(np.int16) for frame in frames]


def _halo_error(
    upscaler: Upscaler,
    frames: Sequence[NDArray[np.uint8]],
    wholes: Sequence[NDArray[np.int16]],
    halo_px: int,
    seed: int = 0,
) -> int:
    rng, worst = np.random.default_rng(seed), 0
    for frame, whole in zip(frames, wholes, strict=True):
        for _ in range(REGIONS_PER_FRAME):
            spans = [_random_span(rng, size) for size in frame.shape[:2]]
            (top, bottom), (left, right) = spans
            margins: Margins = (
                min(top, halo_px),
                min(left, halo_px),
                min(frame.shape[0] - bottom, halo_px),
                min(frame.shape[1] - right, halo_px),
            )
            padded = frame[top - margins[0] : bottom + margins[2], left - margins[1] : right + margins[3]]
            found = upscaler(np.ascontiguousarray(padded)[None], margins)[0]
            s = upscaler.scale
            there = whole[top * s : bottom * s, left * s : right * s]
            worst = max(worst, int(np.abs(found - there).max()))
    return worst


def _random_span(rng: np.random.Generator, size_px: int) -> tuple[int, int]:
    blocks = -(-size_px // _BLOCK_PX)
    length = int(rng.integers(1, min(4, blocks) + 1))
    first = int(rng.integers(0, blocks - length + 1))
    return first * _BLOCK_PX, min((first + length) * _BLOCK_PX, size_px)


def fast_halo_px(upscaler: Upscaler, frames: Sequence[NDArray[np.uint8]], radius_px: int) -> tuple[int, dict[str, int]]:
    """The least surroundings with which regions differ by at most `MOST_DIFFERENCE`.

    Returns:
        That, and the differences by surroundings. If even the radius is not enough, -1.
    """
    errors, wholes = dict[str, int](), _wholes(upscaler, frames)
    for halo_px in range(radius_px + 1):
        errors[str(halo_px)] = _halo_error(upscaler, frames, wholes, halo_px)
        if errors[str(halo_px)] <= MOST_DIFFERENCE:
            return halo_px, errors
    return -1, errors
