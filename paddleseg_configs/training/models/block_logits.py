"""Logits per macroblock, as averaged in deployment, without computing frame-sized logits.

PaddleSeg models end by upsampling their logits to the frame size, and deployment averages them over each macroblock.
Both steps are linear along rows and columns, so together they are two small matrix products on the logits at the
model's own resolution. Losses and metrics use the result: labels are constant within a macroblock.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import paddle
from numpy.typing import NDArray
from paddle.nn import functional

from deploy.core.grid import Grid
from paddleseg_configs.training.models.padding import keeping_padding, padded_size

Resize = tuple[tuple[str, Any], ...]
"""How an output would be upsampled: keyword arguments of ``functional.interpolate``."""
_functional: Any = functional
_plain_interpolate = functional.interpolate


def block_logits(network: Any, images: paddle.Tensor, grid: Grid, num_levels: int) -> list[paddle.Tensor]:
    """Run a model and average its logits over the macroblocks.

    Args:
        network: maps (N, 3, H, W) images to a list of outputs, in training or evaluation mode.
        images: (N, 3, height_px, width_px) float32.
        grid: the macroblocks of these images.
        num_levels: L.

    Returns:
        (N, L, rows, cols) for each output that has one logit per level; other outputs (such as the boundaries for
        ``DetailAggregateLoss``) as the model returns them.
    """
    if images.shape[2:] != [grid.height_px, grid.width_px]:
        raise ValueError(f"images of {images.shape} for a grid of {grid}")
    padded = padded_size(grid.height_px, grid.width_px)
    with _own_resolution(padded, num_levels) as held, keeping_padding():
        outputs = network(images)
    held.require_outputs(outputs)
    return [_to_blocks(output, held, grid, padded) if output.shape[1] == num_levels else output for output in outputs]


def block_labels(levels: paddle.Tensor, grid: Grid) -> paddle.Tensor:
    """(N, height_px, width_px) int64 labels -> (N, rows, cols): labels are constant within a macroblock."""
    rows, cols = (paddle.to_tensor(index) for index in grid.first_pixels)
    return levels.index_select(rows, axis=1).index_select(cols, axis=2)


@dataclass
class _Held:
    """Upsampling calls that were recorded instead of executed, by the identity of the small logits."""

    resizes: dict[int, tuple[paddle.Tensor, Resize]] = field(default_factory=dict)

    def require_outputs(self, outputs: list[paddle.Tensor]) -> None:
        """Raise RuntimeError if a model uses upsampled logits in further computations."""
        if not set(self.resizes) <= {id(output) for output in outputs}:
            raise RuntimeError(
                "the model enlarges its logits to the frame's size before its last layer: no block logits"
            )


@contextmanager
def _own_resolution(frame: tuple[int, int], num_levels: int) -> Iterator[_Held]:
    """In this context, upsampling of logits to the padded frame's size is recorded, not executed."""
    held = _Held()

    def interpolate(x: paddle.Tensor, size: Any = None, *arguments: Any, **options: Any) -> paddle.Tensor:
        is_last = size is not None and x.shape[1] == num_levels and _sides(size) == frame != tuple(x.shape[2:])
        if not is_last or arguments:
            return _plain_interpolate(x, size, *arguments, **options)
        held.resizes[id(x)] = (x, tuple(sorted(options.items())))
        return x

    _functional.interpolate = interpolate
    try:
        yield held
    finally:
        _functional.interpolate = _plain_interpolate


def _sides(size: Any) -> tuple[int, ...]:
    sides: Any = size.tolist() if isinstance(size, paddle.Tensor) else size
    return tuple(int(side) for side in sides)


def _to_blocks(output: paddle.Tensor, held: _Held, grid: Grid, padded: tuple[int, int]) -> paddle.Tensor:
    """(N, L, h, w) logits of a padded frame -> (N, L, rows, cols)."""
    _, resize = held.resizes.get(id(output), (None, ()))
    by_row, by_col = _matrices(grid, padded, tuple(output.shape[2:]), resize)
    return by_row @ output @ by_col


@cache
def _matrices(
    grid: Grid, padded: tuple[int, int], size: tuple[int, int], resize: Resize
) -> tuple[paddle.Tensor, paddle.Tensor]:
    """(rows, h) and (w, cols) matrices that upsample small logits to `padded`, crop to the frame, and pool."""
    (height, width), (tall, wide) = size, padded
    columns = _enlarged(np.eye(height, dtype=np.float32)[:, :, None], (tall, 1), resize)[:, : grid.height_px]
    lines = _enlarged(np.eye(width, dtype=np.float32)[:, None, :], (1, wide), resize)[:, :, : grid.width_px]
    by_row = grid.pool(np.broadcast_to(columns, (height, grid.height_px, grid.width_px)))[:, :, 0].T
    by_col = grid.pool(np.broadcast_to(lines, (width, grid.height_px, grid.width_px)))[:, 0, :]
    return paddle.to_tensor(by_row.copy()), paddle.to_tensor(by_col.copy())


def _enlarged(units: NDArray[np.float32], size: tuple[int, int], resize: Resize) -> NDArray[np.float32]:
    """Upsampled (n, h, w) unit vectors."""
    if units.shape[1:] == size:
        return units
    result: NDArray[np.float32] = _plain_interpolate(paddle.to_tensor(units[None]), size, **dict(resize))[0].numpy()
    return result
