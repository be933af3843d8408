"""Pictures of importance: a perceptually ordered color scale, label palettes, overlays and their legend.

Numpy and Pillow only. The colors follow matplotlib's "inferno" (public domain): lightness rises with the value, so the
order survives grayscale printing and color blindness.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from deploy.core.errors import OptionError
from deploy.core.grid import Grid
from deploy.core.ranges import require_range

_ANCHORS = (
    (0, 0, 4), (27, 12, 66), (75, 12, 107), (120, 28, 109), (165, 44, 96),
    (207, 68, 70), (237, 105, 37), (251, 154, 6), (247, 208, 60), (252, 255, 164),
)  # fmt: skip
_NOT_A_LEVEL = (128, 128, 128)
_OUTLINE = np.array([255, 255, 255], np.uint8)
_LEGEND_PX = 22


@cache
def color_table() -> NDArray[np.uint8]:
    """The color scale as (256, 3) uint8 RGB, dark for 0 and bright for 255. Read-only."""
    anchors = np.array(_ANCHORS, np.float64)
    positions = np.linspace(0, 255, len(anchors))
    channels = [np.interp(np.arange(256), positions, channel) for channel in anchors.T]
    table = np.stack(channels, axis=-1).round().astype(np.uint8)
    table.setflags(write=False)
    return table


def colors_of(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Colors of values in [0, 1]; what lies outside is clipped.

    Args:
        values: (...) float, finite.

    Returns:
        (..., 3) uint8 RGB.
    """
    colors: NDArray[np.uint8] = color_table()[np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)]
    return colors


def level_palette(num_levels: int) -> list[int]:
    """Palette of a "P" PNG whose pixels are importance levels: level 0 dark, the top level bright.

    Args:
        num_levels: 2 to 256.

    Returns:
        768 integers in 0..255: R, G, B of each index. Indices that are no level are gray.
    """
    if not 2 <= num_levels <= 256:
        raise OptionError(f"{num_levels=} must be in 2..256", hint="A palette image has 256 indices.")
    levels = colors_of(np.arange(num_levels) / (num_levels - 1)).ravel().tolist()
    return [*levels, *_NOT_A_LEVEL * (256 - num_levels)]


def importance_overlay(
    frame: NDArray[np.uint8],
    importance: NDArray[np.float32],
    grid: Grid,
    alpha: float = 0.45,
    selected: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """Tint each macroblock by its importance and outline the regions of selected blocks.

    Args:
        frame: (H, W, 3) uint8 RGB of the grid's frame size.
        importance: (rows, cols) float32 in [0, 1].
        grid: which pixels are whose.
        alpha: strength of the tint, 0 (frame only) to 1 (colors only).
        selected: (rows, cols) bool, the blocks to outline.

    Returns:
        (H, W, 3) uint8 RGB, a new array.
    """
    if frame.shape != (grid.height_px, grid.width_px, 3):
        raise OptionError(
            f"overlay: {frame.shape=} does not match the grid's {grid.height_px} x {grid.width_px} pixels",
            hint="Resize the frame to the grid's size.",
        )
    require_range("alpha", alpha, 0, 1, hint="Try 0.45.")
    weight = round(alpha * 256)
    tints = colors_of(importance).astype(np.uint16) * np.uint16(weight)
    picture = frame * np.uint16(256 - weight)
    picture += np.take(np.take(tints, grid.col_of_lr_pixel, axis=1), grid.row_of_lr_pixel, axis=0)
    picture >>= 8
    blended = picture.astype(np.uint8)
    if selected is not None:
        blended[outline_of(grid.upsample(selected))] = _OUTLINE
    return blended


def legend_bar(width_px: int) -> NDArray[np.uint8]:
    """The color scale with its ends named.

    Returns:
        (22, width_px, 3) uint8 RGB.
    """
    ramp = colors_of(np.linspace(0, 1, width_px))
    picture = Image.fromarray(np.repeat(ramp[None], _LEGEND_PX, axis=0))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default()
    middle = _LEGEND_PX // 2
    draw.text((4, middle), "importance 0", fill="white", font=font, anchor="lm")
    draw.text((width_px - 4, middle), "1", fill="black", font=font, anchor="rm")
    return np.asarray(picture)


def with_legend(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 -> (H + 22, W, 3): the picture above its legend."""
    return np.concatenate([picture, legend_bar(picture.shape[1])])


def outline_of(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of a region that have a neighbor outside it; the frame's border counts as outside."""
    padded = np.pad(inside, 1)
    interior = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return inside & ~interior
