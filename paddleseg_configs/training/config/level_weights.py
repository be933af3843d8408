"""How much each importance level counts in the loss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deploy.core.errors import DatasetError

POWER = 0.5
MAX_RATIO = 10.0


def level_weights(histogram: Sequence[int], power: float = POWER, max_ratio: float = MAX_RATIO) -> tuple[float, ...]:
    """Compute weights that favor rare levels, so that predicting only the most common level does not minimize the loss.

    With p_k the share of level k, r_k = p_k ** -power is the inverse frequency, tempered; r is clipped to `max_ratio`
    times its smallest value, so that a level with few blocks cannot dominate the gradient, and divided by its mean over
    the levels that occur. A level that never occurs has weight 0.

    Args:
        histogram: number of label pixels at each level.
        power: 0 weights all levels equally, 1 gives each level the same share of the loss.
        max_ratio: largest weight over smallest.

    Returns:
        One weight per level, with mean 1 over the levels that occur.

    Raises:
        DatasetError: there are no label pixels.

    >>> level_weights((90, 10, 0))
    (0.5, 1.5, 0.0)
    """
    counts = np.asarray(histogram, np.float64)
    present = counts > 0
    if not present.any():
        raise DatasetError("the training split has no label pixels", hint="Label more frames.")
    tempered = (counts[present] / counts.sum()) ** -power
    tempered = np.minimum(tempered, tempered.min() * max_ratio)
    weights = np.zeros(len(counts))
    weights[present] = tempered / tempered.mean()
    return tuple(weights.round(6).tolist())
