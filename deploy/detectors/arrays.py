"""The operations that decoders need, for both NumPy arrays and PyTorch tensors."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = Any
"""A NumPy array or a PyTorch tensor. PyTorch is not imported here."""


def namespace(array: Array) -> Any:
    """The module whose functions work on this array: numpy or torch."""
    return sys.modules[type(array).__module__.partition(".")[0]]


def like(values: NDArray[Any], array: Array) -> Array:
    """NumPy values as an array of the kind, type and device of another."""
    return values.astype(array.dtype) if isinstance(array, np.ndarray) else array.new_tensor(values)


def plain(array: Array) -> NDArray[Any]:
    """As a NumPy array, without its gradient."""
    return array if isinstance(array, np.ndarray) else np.asarray(array.detach().cpu())


def sigmoid(array: Array) -> Array:
    """1 / (1 + exp(-x)), of any shape; below -80 it is 0 to any number type."""
    return 1 / (1 + namespace(array).exp(-array.clip(-80, None)))


def softmax(array: Array) -> Array:
    """Over the last axis."""
    library = namespace(array)
    powers = library.exp(array - library.amax(array, -1)[..., None])
    return powers / powers.sum(-1)[..., None]


def concatenate(arrays: Sequence[Array], axis: int = 0) -> Array:
    """Join along an axis."""
    return namespace(arrays[0]).concatenate(list(arrays), axis)


def stack(arrays: Sequence[Array], axis: int) -> Array:
    """Join along a new axis."""
    return namespace(arrays[0]).stack(list(arrays), axis)


def at_least(array: Array, low: float) -> Array:
    """Nothing below `low`."""
    return array.clip(low, None)


def around(boxes: Array) -> Array:
    """(K, 4) center x, y, width, height -> x0, y0, x1, y1."""
    centre, half = boxes[:, :2], boxes[:, 2:4] / 2
    return concatenate([centre - half, centre + half], axis=1)


def cell_centres(
    height_px: int, width_px: int, strides: Sequence[int], offset: float = 0.5
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The cells of all strides, the finest first, row by row.

    Args:
        height_px: of the network's frame.
        width_px: of the network's frame.
        strides: side of a cell at each level; a frame that is no multiple of it has a partial cell.
        offset: where in a cell its point lies: 0.5 is the middle, 0 the corner.

    Returns:
        (K, 2) x and y in pixels, and (K, 1) strides.
    """
    points, sides = [], []
    for stride in strides:
        y, x = np.mgrid[: -(-height_px // stride), : -(-width_px // stride)]
        points.append((np.stack([x, y], axis=-1).reshape(-1, 2) + offset) * stride)
        sides.append(np.full((x.size, 1), stride))
    return np.concatenate(points).astype(np.float32), np.concatenate(sides).astype(np.float32)
