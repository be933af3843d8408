"""Agreement of predicted importance levels with labels, as pure functions."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from deploy.prediction.postprocess import best, count_of
from labeling.dataset.layout import IGNORE_LEVEL

Confusion = NDArray[np.int64]
"""(L, L): number of macroblocks with label level = row and predicted level = column."""


def confusion_of(labels: NDArray[np.integer], predicted: NDArray[np.integer], num_levels: int) -> Confusion:
    """Count pairs of levels.

    Args:
        labels: any shape, values in 0..num_levels - 1, or `IGNORE_LEVEL` for pixels to ignore.
        predicted: the same shape, values in 0..num_levels - 1.
        num_levels: L.
    """
    known = labels != IGNORE_LEVEL
    index = labels[known].astype(np.int64) * num_levels + predicted[known].astype(np.int64)
    return np.bincount(index, minlength=num_levels**2).reshape(num_levels, num_levels)


def mean_iou(confusion: Confusion) -> float:
    """Mean intersection over union of the levels that occur in the labels or the prediction.

    PaddleSeg 2.8 counts a level that occurs in neither as 0, which penalizes a dataset that lacks a rare level.
    """
    both = np.diag(confusion)
    union = confusion.sum(0) + confusion.sum(1) - both
    return float(np.mean(both[union > 0] / union[union > 0])) if union.any() else math.nan


def level_recall(confusion: Confusion) -> tuple[float, ...]:
    """Share of each level's macroblocks that are predicted correctly; nan for a level that does not occur."""
    totals = confusion.sum(1)
    return tuple(
        float(hit / total) if total else math.nan for hit, total in zip(np.diag(confusion), totals, strict=True)
    )


def pixel_accuracy(confusion: Confusion) -> float:
    """Share of macroblocks whose level is predicted correctly."""
    total = confusion.sum()
    return float(np.trace(confusion) / total) if total else math.nan


def mean_level_error(confusion: Confusion) -> float:
    """Mean absolute difference of levels, over macroblocks."""
    total = confusion.sum()
    return float((confusion * np.abs(_distance(len(confusion)))).sum() / total) if total else math.nan


def quadratic_kappa(confusion: Confusion) -> float:
    """Cohen's kappa with quadratic weights (Cohen 1968): agreement beyond chance, with higher costs for larger errors.

    0 is chance, 1 is perfect. Returns 0 if it is undefined, when labels and prediction all have the same level.
    """
    total = confusion.sum()
    if not total:
        return math.nan
    weights = _distance(len(confusion)).astype(np.float64) ** 2
    expected = np.outer(confusion.sum(1), confusion.sum(0)) / total
    by_chance = (weights * expected).sum()
    return float(1 - (weights * confusion).sum() / by_chance) if by_chance else 0.0


def top_block_recall(label: NDArray[np.floating], predicted: NDArray[np.floating], share: float = 0.2) -> float:
    """Share of the most important blocks that a model would select.

    The `share` of the blocks with the highest predictions is selected. Labels have many ties: all blocks above the
    level at which the best `share` ends must be selected; of the blocks at that level, any will do.

    Args:
        label: levels of a frame's blocks, any shape.
        predicted: expected levels of the same blocks.
        share: share of the blocks to select, rounded up to whole blocks.

    Returns:
        0 to 1; nan if all blocks have the same label, since every selection is then correct.
    """
    truth, guess = label.ravel(), predicted.ravel()
    if truth.min() == truth.max():
        return math.nan
    count = count_of(share, len(truth))
    limit = np.sort(truth)[-count]
    chosen = truth[best(guess, count)]
    tied_needed = count - int((truth > limit).sum())
    return (int((chosen > limit).sum()) + min(int((chosen == limit).sum()), tied_needed)) / count


def _distance(num_levels: int) -> NDArray[np.int64]:
    levels = np.arange(num_levels)
    return levels[:, None] - levels[None, :]
