"""Bicubic enlargement by a whole factor, as PyTorch and OpenCV do it: Keys' kernel with a = -0.75.

Labeling interpolates so, too; Pillow and FFmpeg have other kernels. Along an axis it is a product with a small banded
matrix, the same for every group of pixels, and products of matrices are what NumPy does fastest: five times as fast as
Pillow.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SHARPNESS = -0.75
_GROUP = 16
"""Pixels that go through one product."""
_REACH = 2
"""Pixels before and behind a group that it needs."""


class Bicubic:
    """Enlarges frames of one size; its buffers are kept.

    Args:
        height_px: of the frames.
        width_px: of the frames.
        scale: the factor.
    """

    def __init__(self, height_px: int, width_px: int, scale: int) -> None:
        self._height, self._width, self._scale = height_px, width_px, scale
        self.size = height_px, width_px
        """Height and width of the frames."""
        self._kernel = bicubic_matrix(scale)
        # RGB stays together: three interleaved copies of the matrix.
        self._wide_kernel = np.ascontiguousarray(np.kron(self._kernel.T, np.eye(3, dtype=np.float32)))
        rows, cols = (-(-size // _GROUP) * _GROUP + 2 * _REACH for size in (height_px, width_px))
        self._padded = np.empty((height_px, cols, 3), np.float32)
        self._wide = np.empty((rows, (cols - 2 * _REACH) * 3 * scale), np.float32)
        self._band = np.empty((_GROUP * scale, width_px * 3 * scale), np.float32)

    def __call__(self, frame: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
        """Enlarge.

        Args:
            frame: (height_px, width_px, 3) uint8.
            out: (height_px * scale, width_px * scale, 3) uint8, written to.
        """
        self._widen(frame)
        lines = out.reshape(len(out), -1)
        for first in range(0, self._height, _GROUP):
            wide = self._wide[first : first + _GROUP + 2 * _REACH, : lines.shape[1]]
            band = np.matmul(self._kernel, wide, out=self._band)
            np.clip(band, 0.5, 255.5, out=band)  # the cast cuts off
            part = lines[first * self._scale : (first + _GROUP) * self._scale]
            part[...] = band[: len(part)]

    def _widen(self, frame: NDArray[np.uint8]) -> None:
        """Along the rows; edges are continued by repetition. Half a unit is added, which rounds."""
        padded, height = self._padded, self._height
        padded[:, _REACH : _REACH + self._width] = frame
        padded[:, :_REACH] = padded[:, _REACH : _REACH + 1]
        padded[:, _REACH + self._width :] = padded[:, _REACH + self._width - 1, None]
        padded += 0.5
        side = _GROUP * 3 * self._scale
        pixels = padded.reshape(height, -1)
        for group in range(self._wide.shape[1] // side):
            start = group * _GROUP * 3
            part = pixels[:, start : start + (_GROUP + 2 * _REACH) * 3]
            self._wide[_REACH : _REACH + height, group * side : (group + 1) * side] = part @ self._wide_kernel
        self._wide[:_REACH] = self._wide[_REACH]
        self._wide[_REACH + height :] = self._wide[_REACH + height - 1]


def bicubic_matrix(scale: int) -> NDArray[np.float32]:
    """(_GROUP * scale, _GROUP + 2 * _REACH) float32: what each enlarged pixel takes of the others."""
    position = (np.arange(_GROUP * scale) + 0.5) / scale - 0.5
    distance = np.abs(position[:, None] - np.arange(-_REACH, _GROUP + _REACH))
    a = _SHARPNESS
    near = (a + 2) * distance**3 - (a + 3) * distance**2 + 1
    far = a * (distance**3 - 5 * distance**2 + 8 * distance - 4)
    weights = np.where(distance <= 1, near, np.where(distance < 2, far, 0))
    return weights.astype(np.float32)
