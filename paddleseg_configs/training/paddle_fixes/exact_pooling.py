"""Adaptive average pooling that converts to ONNX exactly.

The ONNX converter turns adaptive pooling into pooling with one window and one stride. That is correct only if the bins
divide the feature map; otherwise the logits are wrong (6 rows into 4 bins), or the stride is 0 (2 rows into 4 bins) and
readers of the file divide by it. With a fixed frame size, the same means are two products with constant matrices.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import paddle
from numpy.typing import NDArray


def averaging_matrix(size: int, bins: int) -> NDArray[np.float32]:
    """(bins, size) float32: row i averages bin i, the elements floor(i size / bins) to ceil((i + 1) size / bins)."""
    matrix = np.zeros((bins, size), np.float32)
    for row in range(bins):
        first, end = row * size // bins, -(-(row + 1) * size // bins)
        matrix[row, first:end] = 1 / (end - first)
    return matrix


@contextmanager
def exact_adaptive_pooling() -> Iterator[None]:
    """While open, adaptive average pooling into bins that do not divide the feature map is two matrix products."""
    functional: Any = paddle.nn.functional
    stock = functional.adaptive_avg_pool2d

    def pool(x: Any, output_size: Any, data_format: str = "NCHW", name: str | None = None) -> Any:
        bins = [output_size] * 2 if isinstance(output_size, int) else list(output_size)
        sizes = list(x.shape[2:4])
        fixed = data_format == "NCHW" and None not in bins and min(sizes) > 0
        if not fixed or all(size % count == 0 for size, count in zip(sizes, bins, strict=True)):
            return stock(x, output_size, data_format, name)
        rows = paddle.to_tensor(averaging_matrix(sizes[0], bins[0]))
        cols = paddle.to_tensor(averaging_matrix(sizes[1], bins[1]).T.copy())
        return rows @ x @ cols

    functional.adaptive_avg_pool2d = pool
    try:
        yield
    finally:
        functional.adaptive_avg_pool2d = stock
