"""Logits to importance maps, and importance maps to the macroblocks worth enhancing."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.cards.model_card import ModelCard
from deploy.core.errors import WeightsError
from deploy.core.grid import Grid
from deploy.core.ranges import require_range


def read_output(output: NDArray[Any], card: ModelCard) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Importance map and levels of one frame from the file's output.

    Of a file that gives levels, the importance is the level's value; of one that gives importance, the level is the
    nearest.

    Args:
        output: card.output_shape, of card.output_type.
        card: says what the output is.

    Returns:
        As `block_predictions`, in arrays of their own.

    Raises:
        WeightsError: logits or importance that are not finite, or levels that do not exist.
    """
    if card.output_kind == "logits":
        return block_predictions(output, card)
    values = np.array(card.level_values, np.float32)
    if card.output_kind == "levels":
        if output.max() >= len(values):
            raise _bad_output(card, f"level {output.max()} of {len(values)}")
        return values[output], output.astype(np.uint8)
    if not np.isfinite(output).all():
        raise _bad_output(card, "importance that is not finite")
    return np.clip(output, 0, 1), levels_of(output, card)


def levels_of(importance: NDArray[np.float32], card: ModelCard) -> NDArray[np.uint8]:
    """The nearest level of each block's importance."""
    values = np.array(card.level_values, np.float32)
    return np.searchsorted((values[1:] + values[:-1]) / 2, importance).astype(np.uint8)


def block_predictions(logits: NDArray[np.float32], card: ModelCard) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Turn the logits of one frame into block values.

    The logits are averaged over each macroblock; a softmax over the levels then gives the importance as the expected
    level value, which ranks the blocks of a level among each other.

    Args:
        logits: (num_levels, H, W) float32.
        card: says the grid and each level's value.

    Returns:
        The importance map, (rows, cols) float32 in [0, 1], and the most probable levels, (rows, cols) uint8.

    Raises:
        WeightsError: logits that are not finite.
    """
    pooled = card.grid.pool(logits)
    if not np.isfinite(pooled).all():
        raise _bad_output(card, "logits that are not finite")
    weights = np.exp(pooled - pooled.max(axis=0))
    values = np.array(card.level_values, np.float32)
    expected = np.tensordot(values, weights, axes=1) / weights.sum(axis=0)
    importance = np.clip(expected, 0, 1).astype(np.float32, copy=False)
    return importance, pooled.argmax(axis=0).astype(np.uint8)


def _bad_output(card: ModelCard, what: str) -> WeightsError:
    return WeightsError(
        f"model {card.name!r} gave {what}",
        hint="Training diverged, or the precision is too low: export another checkpoint, or use fp32.",
    )


def top_blocks(importance: NDArray[np.float32], fraction: float) -> NDArray[np.bool_]:
    """Choose the most important macroblocks.

    Args:
        importance: (rows, cols) float.
        fraction: how many of all blocks, in [0, 1], rounded up to whole blocks; read as the decimal it prints as, so
            that 0.07 of 100 blocks are 7.

    Returns:
        (rows, cols) bool. Among equals the first in row-major order are chosen.

    Raises:
        OptionError: `fraction` outside [0, 1].
    """
    require_range("fraction", fraction, 0, 1, hint="Use 0.2 for 20 % of the blocks.")
    return best(importance.ravel(), count_of(fraction, importance.size)).reshape(importance.shape)


def count_of(share: float | Fraction, total: int) -> int:
    """A share of a number, rounded up; exact: 7 % of 100 are 7, which floating point takes for a little more."""
    return math.ceil(Fraction(str(share)) * total)


def best(values: NDArray[Any], count: int) -> NDArray[np.bool_]:
    """(N,) bool, True for the `count` highest of (N,) values. Among equals the first are chosen."""
    chosen = np.zeros(len(values), np.bool_)
    chosen[np.argsort(-values, kind="stable")[:count]] = True
    return chosen


def block_rectangles(grid: Grid) -> NDArray[np.int64]:
    """The LR pixels of each macroblock.

    Returns:
        (rows, cols, 4) int64: x, y, width, height in LR pixels. A last sliver of an SR grid that holds no pixel center
        has width or height 0.
    """
    y, heights = _spans(grid.row_of_lr_pixel, grid.rows)
    x, widths = _spans(grid.col_of_lr_pixel, grid.cols)
    return np.stack(np.broadcast_arrays(x[None, :], y[:, None], widths[None, :], heights[:, None]), axis=-1)


def _spans(block_of_pixel: NDArray[np.intp], num_blocks: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    edges = np.searchsorted(block_of_pixel, np.arange(num_blocks + 1))
    return edges[:-1], np.diff(edges)
