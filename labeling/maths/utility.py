"""What an importance map is worth: accuracy when only its top blocks are enhanced (docs/algorithm.md)."""

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


def bootstrap_interval(
    values: NDArray[np.float64], groups: NDArray[np.int64], *, draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of the mean, resampling whole groups of dependent frames (videos or segments).

    Args:
        values: (N,) one value a frame.
        groups: (N,) the group of each frame.
        draws: number of resamples.
        seed: of the resampling.
    """
    labels = np.unique(groups)
    sums = np.array([values[groups == label].sum() for label in labels])
    counts = np.array([(groups == label).sum() for label in labels])
    picks = np.random.default_rng(seed).integers(len(labels), size=(draws, len(labels)))
    means = sums[picks].sum(axis=1) / counts[picks].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def recovery(f1_k: float, f1_none: float, f1_all: float) -> float | None:
    """(F1_k - F1_0) / (F1_100 - F1_0); None where enhancing everything gains less than 0.005."""
    gain = f1_all - f1_none
    return (f1_k - f1_none) / gain if gain >= 0.005 else None


def edge_density(gray: NDArray[np.float32]) -> NDArray[np.float32]:
    """Gradient magnitude of (H, W) intensities by central differences."""
    dy, dx = np.gradient(gray)
    magnitude: NDArray[np.float32] = np.hypot(dx, dy).astype(np.float32)
    return magnitude
