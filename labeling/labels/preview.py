"""Previews of labels: the frame, an overlay of its importance, and the levels, side by side."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from deploy.outputs.overlay import colors_of, importance_overlay, with_legend
from labeling.labels.options import LabelOptions
from labeling.maths.quantise import Knots, fit_knots, normalise, to_levels

_CAPTION_PX = 16
_LEAST_WIDTH_PX = 320


def preview(
    lr: NDArray[np.uint8],
    importance: NDArray[np.float32],
    options: LabelOptions,
    caption: str,
    knots: Knots | None = None,
) -> Image.Image:
    """Draw a picture of three panels below a caption.

    Args:
        lr: (H, W, 3) uint8 RGB, the LR frame.
        importance: (rows, cols) raw importance.
        options: define the number of levels, the curve and the macroblocks.
        caption: identifies the frame.
        knots: scale of the labels; None (before all frames are labeled) uses the frame's own scale.
    """
    grid = options.make_grid(*lr.shape[:2])
    value = normalise(importance, knots or fit_knots(importance, options.curve))
    levels = to_levels(value, options.levels) / (options.levels - 1)
    panels = [lr, importance_overlay(lr, value.astype(np.float32), grid), colors_of(grid.upsample(levels))]
    zoom = max(1, -(-_LEAST_WIDTH_PX // lr.shape[1]))
    row = with_legend(np.concatenate([panel.repeat(zoom, axis=0).repeat(zoom, axis=1) for panel in panels], axis=1))
    picture = Image.new("RGB", (row.shape[1], row.shape[0] + _CAPTION_PX), "white")
    picture.paste(Image.fromarray(row), (0, _CAPTION_PX))
    scale = "on the scale of the labels" if knots else "on the frame's own scale"
    text = f"{caption}. Frame; importance {scale}; {options.levels} levels"
    ImageDraw.Draw(picture).text((4, _CAPTION_PX // 2), text, fill="black", font=ImageFont.load_default(), anchor="lm")
    return picture
