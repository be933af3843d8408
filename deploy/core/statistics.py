"""Intervals of means over frames that depend on their neighbors: whole segments are resampled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


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


def segments_of(videos: Sequence[str], per_video: int) -> NDArray[np.int64]:
    """Group of each frame: every video's frames cut into contiguous parts of nearly equal length.

    Args:
        videos: the video of each frame, the frames of a video being neighbors.
        per_video: number of parts.
    """
    groups: list[int] = []
    for video in dict.fromkeys(videos):
        count = list(videos).count(video)
        first = max(groups, default=-1) + 1
        groups += [first + position * min(per_video, count) // count for position in range(count)]
    return np.array(groups, np.int64)
