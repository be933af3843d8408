"""Compute utility curves with intervals from matched detections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deploy.core.statistics import middle_95, resampled_means
from deploy.detectors.matching import MatchCounts, mean_f1, pooled_f1
from labeling.maths.utility import area, recoveries, recovery
from labeling.utility.record import Interval, UtilityCurve, UtilityPoint

ReferenceName = Literal["true", "sr"]
Counts = dict[tuple[str, float], MatchCounts]
"""(method, budget) -> how the detections match; every method also has the budgets 0 and 1."""


def make_curve(
    method: str,
    reference: ReferenceName,
    frames: Sequence[Counts],
    segments: NDArray[np.int64],
    budgets: Sequence[float],
) -> UtilityCurve:
    """Compute the curve of a method.

    Args:
        method: name of the method.
        reference: name of the reference detections.
        frames: the results of each frame.
        segments: (N,) group of each frame, which the bootstrap resamples as a whole.
        budgets: increasing, from 0 to 1; the frames may have results for more.
    """
    f1 = np.array([[counts[method, budget].f1 for budget in budgets] for counts in frames])
    draws = resampled_means(f1, segments)
    shares = recoveries(draws)
    means = f1.mean(axis=0)
    points = []
    for column, budget in enumerate(budgets):
        matches = [counts[method, budget] for counts in frames]
        low, high = middle_95(draws[:, column])
        share_low, share_high = middle_95(shares[:, column]) if len(shares) else (None, None)
        points.append(
            UtilityPoint(
                budget=budget,
                f1_mean=mean_f1(matches),
                f1_low=low,
                f1_high=high,
                f1_pooled=pooled_f1(matches),
                recovery=recovery(means[column], means[0], means[-1]),
                recovery_low=share_low,
                recovery_high=share_high,
            )
        )
    return UtilityCurve(
        method=method,
        reference=reference,
        points=tuple(points),
        f1_area=_area_of(budgets, means, draws),
        recovery_area=_area_of(budgets, recoveries(means[None])[0], shares) if len(shares) else None,
        f1_frames=tuple(map(tuple, f1.tolist())),
    )


def _area_of(budgets: Sequence[float], curve: NDArray[np.float64], draws: NDArray[np.float64]) -> Interval:
    low, high = middle_95(area(budgets, draws))
    return Interval(value=float(area(budgets, curve)), low=low, high=high)
