"""The macroblock grid: which block a pixel belongs to, upsampling block values and pooling pixels.

Two tilings exist in the literature. ``lr``: blocks of the low-resolution (LR) frame, by which a codec and an enhancer
select. ``sr``: blocks of the super-resolved frame, `scale` times finer in LR pixels. Both cover every pixel: the last
row and column of blocks may be partial.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from deploy.core.errors import OptionError

GridName = Literal["lr", "sr"]
Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class Grid:
    """A tiling of a frame into square macroblocks.

    Raises:
        OptionError: a size, the scale or the block size is not positive, the name is unknown, or SR blocks are smaller
            than an LR pixel.
    """

    height_px: int
    """Height of the LR frame in pixels."""
    width_px: int
    """Width of the LR frame in pixels."""
    scale: int = 1
    """Size of the SR frame over that of the LR frame."""
    block_px: int = 16
    """Side of a block in pixels of the frame that `name` says."""
    name: GridName = "lr"
    """Which frame is tiled: the low-resolution one or the super-resolved one."""

    def __post_init__(self) -> None:
        for field in ("height_px", "width_px", "scale", "block_px"):
            value = getattr(self, field)
            if not isinstance(value, int) or value < 1:
                raise OptionError(f"grid: {field}={value!r} must be a positive integer", hint="Check the frame size.")
        if self.name not in ("lr", "sr"):
            raise OptionError(f"grid: unknown name {self.name!r}", hint="Use 'lr' or 'sr'.")
        if self.name == "sr" and self.block_px < self.scale:
            # Blocks inside the frame would hold no LR pixel's center: no label could show them.
            raise OptionError(
                f"grid: SR blocks of block_px={self.block_px} are smaller than an LR pixel at scale={self.scale}",
                hint="Use larger blocks.",
            )

    def __str__(self) -> str:
        return f"{self.width_px} x {self.height_px} pixels, {self.name} blocks of {self.block_px}, x{self.scale}"

    @property
    def rows(self) -> int:
        """Number of block rows, the last one possibly partial."""
        return -(-self._tiled(self.height_px) // self.block_px)

    @property
    def cols(self) -> int:
        """Number of block columns, the last one possibly partial."""
        return -(-self._tiled(self.width_px) // self.block_px)

    @property
    def block_sr_px(self) -> int:
        """Side of a block in SR pixels."""
        return self.block_px * (self.scale if self.name == "lr" else 1)

    @cached_property
    def row_of_lr_pixel(self) -> NDArray[np.intp]:
        """(height_px,) block row that contains the center of each LR pixel row."""
        return self._block_of(self.height_px)

    @cached_property
    def col_of_lr_pixel(self) -> NDArray[np.intp]:
        """(width_px,) block column that contains the center of each LR pixel column."""
        return self._block_of(self.width_px)

    @cached_property
    def first_pixels(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """(rows,) and (cols,): the first LR pixel row and column of each block; a sliver has its neighbor's."""
        return (
            np.searchsorted(self.row_of_lr_pixel, np.arange(self.rows)).clip(max=self.height_px - 1),
            np.searchsorted(self.col_of_lr_pixel, np.arange(self.cols)).clip(max=self.width_px - 1),
        )

    def upsample(self, blocks: NDArray[Scalar]) -> NDArray[Scalar]:
        """(rows, cols) block values -> (height_px, width_px): each LR pixel takes the value at its center."""
        self._require_blocks(blocks.shape)
        pixels: NDArray[Scalar] = blocks[self.row_of_lr_pixel[:, None], self.col_of_lr_pixel[None, :]]
        return pixels

    def upsample_to_sr(self, blocks: NDArray[Scalar]) -> NDArray[Scalar]:
        """(rows, cols) block values -> (height_px * scale, width_px * scale), exactly."""
        self._require_blocks(blocks.shape)
        side = self.block_sr_px
        rows = np.arange(self.height_px * self.scale) // side
        cols = np.arange(self.width_px * self.scale) // side
        pixels: NDArray[Scalar] = blocks[rows[:, None], cols[None, :]]
        return pixels

    def sr_area(self, row: int, col: int) -> tuple[slice, slice]:
        """Rows and columns of the SR pixels of one block."""
        side = self.block_sr_px
        return slice(row * side, (row + 1) * side), slice(col * side, (col + 1) * side)

    def pool(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Mean of LR pixels over each block.

        Args:
            pixels: (..., height_px, width_px), any numeric type.

        Returns:
            (..., rows, cols) float32.
        """
        if pixels.shape[-2:] != (self.height_px, self.width_px):
            raise OptionError(
                f"grid: pixels of {pixels.shape[-2:]} do not match {(self.height_px, self.width_px)}",
                hint="Resize the frame to the size the grid was made for.",
            )
        row_starts, row_counts = _segments(self.row_of_lr_pixel)
        col_starts, col_counts = _segments(self.col_of_lr_pixel)
        # Rows first: whole lines are added, four times faster than numpy's reduceat along the last axis.
        bands = [pixels[..., start : start + count, :] for start, count in zip(row_starts, row_counts, strict=True)]
        sums = np.stack([band.sum(axis=-2, dtype=np.float32) for band in bands], axis=-2)
        sums = np.add.reduceat(sums, col_starts, axis=-1)
        means = (sums / (row_counts[:, None] * col_counts[None, :])).astype(np.float32)
        slivers = [(0, 0)] * (means.ndim - 2) + [(0, self.rows - len(row_starts)), (0, self.cols - len(col_starts))]
        return np.pad(means, slivers, mode="edge")

    def sum_sr(self, pixels: NDArray[Any]) -> NDArray[np.float64]:
        """Sum of SR pixels over each block: (height_px * scale, width_px * scale) -> (rows, cols)."""
        expected = (self.height_px * self.scale, self.width_px * self.scale)
        if pixels.shape != expected:
            raise OptionError(f"grid: pixels of {pixels.shape} do not match {expected}", hint="Check the scale.")
        sums = np.add.reduceat(pixels, np.arange(0, expected[0], self.block_sr_px), axis=0, dtype=np.float64)
        return np.add.reduceat(sums, np.arange(0, expected[1], self.block_sr_px), axis=1)

    def _tiled(self, lr_px: int) -> int:
        return lr_px if self.name == "lr" else lr_px * self.scale

    def _block_of(self, size_px: int) -> NDArray[np.intp]:
        pixel = np.arange(size_px, dtype=np.intp)
        if self.name == "lr":
            return pixel // self.block_px
        return (2 * pixel + 1) * self.scale // (2 * self.block_px)

    def _require_blocks(self, shape: tuple[int, ...]) -> None:
        if shape != (self.rows, self.cols):
            raise OptionError(
                f"grid: block values of shape {shape} do not match {self.rows} x {self.cols} blocks",
                hint="Use the grid on which the values were computed.",
            )


def _segments(block_of_pixel: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First pixel and number of pixels of each block that contains a pixel center.

    Only a last partial SR block can contain none (a sliver); it takes its neighbor's value when pooling.
    """
    starts = np.searchsorted(block_of_pixel, np.arange(block_of_pixel[-1] + 1))
    return starts, np.diff(starts, append=len(block_of_pixel))
