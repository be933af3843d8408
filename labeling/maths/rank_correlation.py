"""Spearman's rank correlation that supports constant arrays."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata


def rank_correlation(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Spearman's rank correlation of two arrays of one size; nan if either is constant."""
    ranks = [rankdata(values.ravel()) for values in (first, second)]
    if any(values.min() == values.max() for values in ranks):
        return math.nan
    return float(np.corrcoef(*ranks)[0, 1])


def known_mean(values: Iterable[float]) -> float:
    """Mean of the values that are not nan; nan if there are none."""
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan
