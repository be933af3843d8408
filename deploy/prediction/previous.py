"""Detections of the frame before as a picture: a fourth channel of the network's input, at no cost at run time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def score_map(
    boxes: NDArray[np.floating], confidence: NDArray[np.floating], height_px: int, width_px: int
) -> NDArray[np.uint8]:
    """The highest score of the boxes that cover each pixel.

    Args:
        boxes: (N, 4) left, top, right, bottom in pixels of the map.
        confidence: (N,) in [0, 1].
        height_px: of the map.
        width_px: of the map.

    Returns:
        (height_px, width_px) uint8, 255 for a score of 1, 0 where no box is. A box covers every pixel that it touches.
    """
    scores = np.zeros((height_px, width_px), np.uint8)
    values = np.rint(np.clip(confidence, 0, 1) * 255).astype(np.uint8)
    for (left, top, right, bottom), value in zip(boxes.tolist(), values, strict=True):
        rows = slice(max(0, int(np.floor(top))), max(0, int(np.ceil(bottom))))
        cols = slice(max(0, int(np.floor(left))), max(0, int(np.ceil(right))))
        np.maximum(scores[rows, cols], value, out=scores[rows, cols])
    return scores
