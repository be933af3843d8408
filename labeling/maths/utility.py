"""Utility of an importance map: accuracy when only its top blocks are enhanced (docs/algorithm.md)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LEAST_GAIN = 0.005
"""Gain in F1 below which a share of it means nothing."""


def recovery(f1_k: float, f1_none: float, f1_all: float) -> float | None:
    """(F1_k - F1_0) / (F1_100 - F1_0); None if enhancing everything gains less than `LEAST_GAIN`."""
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
