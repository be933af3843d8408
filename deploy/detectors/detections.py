"""A detector's detections in a frame, in NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deploy.core.errors import WeightsError
from deploy.detectors.matching import iou

Floats = NDArray[np.float32]
MAX_CANDIDATES = 5000
"""Boxes above the threshold that are looked at, the best ones."""
SCORE_TOLERANCE = 1e-3
"""By which scores may leave [0, 1]."""


@dataclass(frozen=True, eq=False)
class Detections:
    """Detections in one frame, best first."""

    xyxy: Floats
    """(M, 4) x0, y0, x1, y1 in pixels of the frame."""
    confidence: Floats
    """(M,) in [0, 1]."""
    class_id: NDArray[np.int64]
    """(M,) index into `class_names`."""
    class_names: tuple[str, ...]
    """Of all classes that the detector knows."""

    @classmethod
    def nothing(cls, class_names: tuple[str, ...]) -> Detections:
        """No detection at all."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), class_names)

    def __len__(self) -> int:
        return len(self.xyxy)

    def from_score(self, least: float) -> Detections:
        """Those of at least that score."""
        kept = self.confidence >= least
        return Detections(self.xyxy[kept], self.confidence[kept], self.class_id[kept], self.class_names)

    def clipped(self, frame: tuple[int, int]) -> Detections:
        """Without what lies outside of a frame of this height and width."""
        xyxy = np.clip(self.xyxy, 0, np.array([*frame[::-1], *frame[::-1]], np.float32))
        kept = (xyxy[:, 2:] > xyxy[:, :2]).all(axis=1)
        return Detections(xyxy[kept], self.confidence[kept], self.class_id[kept], self.class_names)

    def moved(self, scale: tuple[float, float], shift: tuple[float, float] = (0.0, 0.0)) -> Detections:
        """In other pixels: x and y times `scale`, plus `shift`."""
        xyxy = self.xyxy * np.array([*scale, *scale], np.float32) + np.array([*shift, *shift], np.float32)
        return Detections(xyxy, self.confidence, self.class_id, self.class_names)


def require_scores(low: float, high: float) -> None:
    """Raise WeightsError unless the least and the greatest score lie between 0 and 1."""
    if np.isnan(low) or np.isnan(high):
        raise WeightsError("the detector's scores are not numbers", hint="Try --precision float32; check its weights.")
    if not (low >= -SCORE_TOLERANCE and high <= 1 + SCORE_TOLERANCE):
        raise WeightsError(
            f"the detector's scores range from {low:.3g} to {high:.3g}, not from 0 to 1",
            hint="End the model in a sigmoid or softmax.",
        )


def best_boxes(
    boxes: Floats, scores: Floats, frame: tuple[int, int], least_score: float, nms_iou: float
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Threshold, clip to the frame, and suppress what overlaps a better box of its class.

    Args:
        boxes: (K, 4) x0, y0, x1, y1 in pixels of the frame.
        scores: (K, C) in [0, 1].
        frame: its height and width in pixels.
        least_score: drop detections with a lower score.
        nms_iou: overlap of the same class that is too much.

    Returns:
        (M, 4) boxes, (M,) scores and (M,) columns of `scores`, best first.

    Raises:
        WeightsError: scores outside [0, 1].
    """
    if scores.size:
        require_scores(float(scores.min()), float(scores.max()))
    box, column = (scores >= least_score).nonzero()
    best = np.argsort(-scores[box, column], kind="stable")[:MAX_CANDIDATES]
    box, column = box[best], column[best]
    corners = np.clip(boxes[box], 0, np.array([*frame[::-1], *frame[::-1]], np.float32)).astype(np.float32)
    kept = suppress(corners, column, nms_iou)
    kept = kept[(corners[kept, 2:] > corners[kept, :2]).all(axis=1)]
    return corners[kept], scores[box, column][kept].astype(np.float32), column[kept]


def suppress(boxes: Floats, classes: NDArray[np.int64], nms_iou: float) -> NDArray[np.intp]:
    """Greedy non-maximum suppression by class.

    Args:
        boxes: (K, 4), best first.
        classes: (K,).
        nms_iou: overlap that is too much.

    Returns:
        Indices of the boxes that are kept, best first.
    """
    kept = []
    left = np.arange(len(boxes))
    while len(left):
        first, left = left[0], left[1:]
        kept.append(first)
        overlap = iou(boxes[first][None], boxes[left])[0]
        left = left[(overlap <= nms_iou) | (classes[left] != classes[first])]
    return np.array(kept, np.intp)
