"""Detection in overlapping slices of a frame, each enlarged into the whole network (the idea of SAHI, ICIP 2022)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from deploy.detectors.detections import Detections

OVERLAP = 0.2
"""Share of a slice that its neighbor has as well; SAHI's default."""
SAME_OBJECT = 0.5
"""Share of the smaller box that lies in a better one of its class, from which on both are one object."""


def detect_in_slices(
    image: NDArray[np.uint8], detector: Callable[[NDArray[np.uint8]], Detections], parts: int = 2
) -> Detections:
    """Detect in the whole frame and in its slices.

    Args:
        image: (H, W, 3) uint8 RGB.
        detector: called once for the frame and once a slice.
        parts: slices along each side.
    """
    found = [detector(image)]
    for rows, cols in slices(image.shape[0], image.shape[1], parts):
        inside = detector(np.ascontiguousarray(image[rows, cols]))
        found.append(inside.moved((1, 1), (cols.start, rows.start)))
    return merged(found)


def slices(height_px: int, width_px: int, parts: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of the slices, which cover the frame."""
    for rows in _along(height_px, parts):
        for cols in _along(width_px, parts):
            yield rows, cols


def merged(found: list[Detections]) -> Detections:
    """Everything found, best first, without what lies in a better box of its class."""
    boxes = np.concatenate([part.xyxy for part in found])
    scores = np.concatenate([part.confidence for part in found])
    classes = np.concatenate([part.class_id for part in found])
    left, kept = np.argsort(-scores, kind="stable"), []
    while len(left):
        first, left = left[0], left[1:]
        kept.append(first)
        same = (_share_inside(boxes[first], boxes[left]) > SAME_OBJECT) & (classes[left] == classes[first])
        left = left[~same]
    return Detections(boxes[kept], scores[kept], classes[kept], found[0].class_names)


def _along(length: int, parts: int) -> list[slice]:
    side = min(length, int(np.ceil(length / (parts - OVERLAP * (parts - 1)))))
    starts = np.linspace(0, length - side, parts).round().astype(int)
    return [slice(start, start + side) for start in starts.tolist()]


def _share_inside(box: NDArray[np.float32], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Overlap of a box with (K, 4) others, over the smaller area of the two."""
    sides = (np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])).clip(min=0)
    areas = np.minimum((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), (box[2:] - box[:2]).prod())
    shares: NDArray[np.float32] = sides.prod(axis=1) / np.maximum(areas, 1e-9)
    return shares
