"""What an importance map is worth: accuracy when only its top blocks are enhanced (docs/algorithm.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IOU_THRESHOLD = 0.5
LEAST_GAIN = 0.005
"""Gain in F1 below which a share of it means nothing."""


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
    return middle_95(resampled_means(values[:, None], groups, draws=draws, seed=seed)[:, 0])


def resampled_means(
    values: NDArray[np.float64], groups: NDArray[np.int64], *, draws: int = 2000, seed: int = 0
) -> NDArray[np.float64]:
    """Means of the columns over whole groups drawn with replacement, the same groups for every column.

    Args:
        values: (N, M) M values a frame.
        groups: (N,) the group of each frame.
        draws: number of resamples.
        seed: of the resampling.

    Returns:
        (draws, M).
    """
    labels = np.unique(groups)
    sums = np.stack([values[groups == label].sum(axis=0) for label in labels])
    counts = np.array([(groups == label).sum() for label in labels])
    picks = np.random.default_rng(seed).integers(len(labels), size=(draws, len(labels)))
    means: NDArray[np.float64] = sums[picks].sum(axis=1) / counts[picks].sum(axis=1)[:, None]
    return means


def middle_95(draws: NDArray[np.float64]) -> tuple[float, float]:
    """The 2.5th and the 97.5th percentile."""
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)


def recovery(f1_k: float, f1_none: float, f1_all: float) -> float | None:
    """(F1_k - F1_0) / (F1_100 - F1_0); None where enhancing everything gains less than `LEAST_GAIN`."""
    gain = f1_all - f1_none
    return (f1_k - f1_none) / gain if gain >= LEAST_GAIN else None


def recoveries(f1: NDArray[np.float64]) -> NDArray[np.float64]:
    """Recovery of each resampled curve.

    Args:
        f1: (draws, K) mean F1 at K budgets, the first 0 and the last 1.

    Returns:
        (D, K); empty if enhancing everything gains less than `LEAST_GAIN` in more than one draw of forty: then neither
        end of a 95 % interval is known.
    """
    gain = f1[:, -1] - f1[:, 0]
    clear = gain >= LEAST_GAIN
    if clear.mean() < 0.975:
        return f1[:0]
    result: NDArray[np.float64] = (f1[clear] - f1[clear, :1]) / gain[clear, None]
    return result


def area(budgets: Sequence[float], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean height of curves from budget 0 to the last one below 1, by the trapezoidal rule.

    Args:
        budgets: K increasing shares of the blocks.
        values: (..., K) heights at them.
    """
    inner = np.array([budget for budget in budgets if budget < 1])
    heights = values[..., : len(inner)]
    steps = (heights[..., 1:] + heights[..., :-1]) / 2 * np.diff(inner)
    mean: NDArray[np.float64] = steps.sum(axis=-1) / (inner[-1] - inner[0])
    return mean


def edge_density(gray: NDArray[np.float32]) -> NDArray[np.float32]:
    """Gradient magnitude of (H, W) intensities by central differences."""
    dy, dx = np.gradient(gray)
    magnitude: NDArray[np.float32] = np.hypot(dx, dy).astype(np.float32)
    return magnitude
