"""Raw importance -> [0, 1] -> importance levels (docs/algorithm.md, "Levels").

A normalization is a monotone function, linear between knots: it can be stored, inverted and applied to new video.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Curve = Literal["linear", "log", "quantile", "clipped"]
Floats = NDArray[np.float64]
Knots = tuple[Floats, Floats]
"""Raw importances, strictly increasing, and the normalized values there, from 0 to 1 and not decreasing."""

CLIP_PERCENTILE = 99.5


def fit_knots(importance: NDArray[Any], curve: Curve) -> Knots:
    """Fit a normalization to raw importance.

    ``linear``: minimum to maximum. ``clipped``: minimum to the 99.5th percentile. ``log``: log(1 + x / median).
    ``quantile``: the rank among the positive importances; zero stays 0.

    Args:
        importance: any shape, finite. Negative values (enhancement would harm) count as 0.
        curve: kind of function.
    """
    values = np.maximum(np.asarray(importance, np.float64).ravel(), 0.0)
    positive = values[values > 0]
    if positive.size == 0:
        return np.array([0.0, 1.0]), np.array([0.0, 1.0])
    if curve == "quantile":
        rank = np.linspace(0.0, 1.0, 101)[1:]
        return _strictly_increasing(np.append(0.0, np.quantile(positive, rank)), np.append(0.0, rank))
    if curve == "log":
        unit = float(np.median(positive))
        raw = np.append(0.0, np.geomspace(unit * 1e-2, max(positive.max(), unit * 2e-2), 64))
        return raw, np.log1p(raw / unit) / np.log1p(raw[-1] / unit)
    low = float(values.min())
    high = float(np.percentile(values, CLIP_PERCENTILE)) if curve == "clipped" else float(values.max())
    if high <= low:
        low, high = 0.0, float(values.max())
    return np.array([low, high]), np.array([0.0, 1.0])


def normalise(importance: NDArray[Any], knots: Knots) -> Floats:
    """Raw importance -> [0, 1]; values outside the knots are clipped."""
    value: Floats = np.interp(importance, knots[0], knots[1])
    return value


def to_levels(value: NDArray[Any], num_levels: int) -> NDArray[np.uint8]:
    """Level = min(floor(value * L), L - 1): value 1 is in the top level."""
    levels: NDArray[np.uint8] = np.minimum(np.floor(np.asarray(value) * num_levels), num_levels - 1).astype(np.uint8)
    return levels


def level_edges(knots: Knots, num_levels: int) -> Floats:
    """(num_levels + 1,) raw importance at the boundaries of the levels."""
    raw, value = _strictly_increasing(knots[1], knots[0])[::-1]
    return np.interp(np.linspace(0.0, 1.0, num_levels + 1), value, raw)


def _strictly_increasing(x: Floats, y: Floats) -> Knots:
    """Of points with equal x, keep the last."""
    keep = np.append(np.diff(x) > 0, True)
    return x[keep], y[keep]
