"""How well detections of one frame agree with those of another: one-to-one matches, and F1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IOU_THRESHOLD = 0.5


@dataclass(frozen=True, eq=False)
class Boxes:
    """Detections of one frame as arrays, best first."""

    boxes: NDArray[np.float32]
    """(M, 4) x0, y0, x1, y1 in pixels."""
    classes: NDArray[np.int64]
    """(M,) class indices."""


@dataclass(frozen=True)
class MatchCounts:
    """How many detections of a frame match."""

    matched: int
    """Pairs."""
    found: int
    """Detections on the frame under test."""
    wanted: int
    """Detections on the reference frame."""

    @property
    def f1(self) -> float:
        """2 * matched / (found + wanted); 1 when there is nothing on both sides."""
        return 2 * self.matched / (self.found + self.wanted) if self.found + self.wanted else 1.0


def match(found: Boxes, wanted: Boxes, iou_threshold: float = IOU_THRESHOLD) -> MatchCounts:
    """Match one-to-one, greedily by score, same class, IoU >= threshold."""
    overlap = iou(found.boxes, wanted.boxes)
    overlap[found.classes[:, None] != wanted.classes[None, :]] = 0.0
    matched = 0
    for row in overlap:
        if row.size and row.max() >= iou_threshold:
            overlap[:, row.argmax()] = 0.0
            matched += 1
    return MatchCounts(matched, len(found.boxes), len(wanted.boxes))


def iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """Intersection over union of boxes: (M, 4), (N, 4) -> (M, N)."""
    left, right = a.astype(np.float64)[:, None], b.astype(np.float64)[None, :]
    sides = np.minimum(left[..., 2:], right[..., 2:]) - np.maximum(left[..., :2], right[..., :2])
    intersection = sides.clip(min=0).prod(axis=2)
    areas = [(box[..., 2:] - box[..., :2]).clip(min=0).prod(axis=2) for box in (left, right)]
    overlap: NDArray[np.float64] = intersection / np.maximum(areas[0] + areas[1] - intersection, 1e-12)
    return overlap


def mean_f1(frames: Sequence[MatchCounts]) -> float:
    """Mean over frames, each counted once."""
    return float(np.mean([frame.f1 for frame in frames]))


def pooled_f1(frames: Sequence[MatchCounts]) -> float:
    """F1 of all frames' detections taken together."""
    total = MatchCounts(*(sum(getattr(frame, name) for frame in frames) for name in ("matched", "found", "wanted")))
    return total.f1
