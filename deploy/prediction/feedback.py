"""Detections of any library as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.core.errors import OptionError

Boxes = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]
"""(N, 4) float32 left, top, right and bottom in pixels of the low-resolution frame; (N,) confidence; (N,) class."""


def boxes_of(detections: Any, scale: int) -> Boxes:
    """Read detections.

    Args:
        detections: anything with ``xyxy`` in pixels of the enhanced frame, ``confidence`` and ``class_id``, or those
            three, of which the last two may be None.
        scale: size of the enhanced frame over that of the frame.

    Raises:
        OptionError: the detections have another form.
    """
    parts = (
        detections
        if isinstance(detections, tuple | list)
        else [getattr(detections, name, None) for name in ("xyxy", "confidence", "class_id")]
    )
    try:
        boxes: NDArray[np.float32] = np.asarray(parts[0], np.float32).reshape(-1, 4) / np.float32(scale)
        confidence: NDArray[np.float32] = np.asarray(np.ones(len(boxes)) if parts[1] is None else parts[1], np.float32)
        classes: NDArray[np.int64] = np.asarray(np.zeros(len(boxes)) if parts[2] is None else parts[2], np.int64)
        if not len(boxes) == len(confidence) == len(classes):
            raise ValueError(f"{len(boxes)} boxes, {len(confidence)} confidences, {len(classes)} classes")
    except (IndexError, TypeError, ValueError) as error:
        raise OptionError(
            f"detections {type(detections).__name__} cannot be read: {error}",
            hint="Pass boxes (N, 4), confidence (N,) and class_id (N,), or an object with xyxy, confidence, class_id.",
        ) from None
    return boxes, confidence, classes
