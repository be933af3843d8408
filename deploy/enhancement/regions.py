"""Selected macroblocks -> few rectangles with surroundings, such that as few pixels as possible are super-resolved.

One rectangle around all is cut in two, by the row or column of blocks where that saves the most, and each part again,
until no cut saves anything: near blocks stay together, holes stay closed where they cost less than another halo.
(Merging single blocks pairwise gave 1 to 5 % more area on real maps and takes longer on large frames.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deploy.core.grid import Grid
from deploy.enhancement.upscaler import Margins

MOST_PX = 2**17
"""Of a region that may be cut: the embedded EDSR takes half a gigabyte for so many."""
Box = tuple[int, int, int, int]
"""First row, end row, first column, end column of blocks."""


@dataclass(frozen=True)
class Region:
    """A rectangle of the frame, in its pixels."""

    top: int
    """First row that is enhanced."""
    left: int
    """First column that is enhanced."""
    height: int
    """Rows that are enhanced."""
    width: int
    """Columns that are enhanced."""
    margins: Margins
    """Surroundings that go through the network as well; 0 at the frame's border."""

    @property
    def padded(self) -> tuple[slice, slice]:
        """Rows and columns that go through the network."""
        top, left, bottom, right = self.margins
        return slice(self.top - top, self.top + self.height + bottom), slice(
            self.left - left, self.left + self.width + right
        )

    @property
    def padded_px(self) -> int:
        """Pixels that go through the network."""
        top, left, bottom, right = self.margins
        return (self.height + top + bottom) * (self.width + left + right)

    def enlarged(self, scale: int) -> tuple[slice, slice]:
        """Rows and columns of the enhanced frame that it becomes."""
        return slice(self.top * scale, (self.top + self.height) * scale), slice(
            self.left * scale, (self.left + self.width) * scale
        )


def find_regions(selected: NDArray[np.bool_], grid: Grid, halo_px: int) -> list[Region]:
    """Cover the selected blocks by rectangles, each small enough for the memory that networks take.

    Args:
        selected: (rows, cols) bool.
        grid: of the frame, blocks of LR pixels.
        halo_px: surroundings on each side, where the frame has any.

    Returns:
        Rectangles that do not overlap, but for their margins. Each holds a selected block at each of its sides.
    """
    if not selected.any():
        return []
    plan = _Plan(selected, grid, halo_px)
    return [plan.region(box) for box in plan.parts(plan.tight((0, grid.rows, 0, grid.cols)))]


class _Plan:
    def __init__(self, selected: NDArray[np.bool_], grid: Grid, halo_px: int) -> None:
        self._selected, self._halo = selected, halo_px
        self._height, self._width, self._block = grid.height_px, grid.width_px, grid.block_px
        # Padded heights by first row and end row, widths by first column and end column.
        self._heights = _padded_lengths(grid.rows, grid.block_px, grid.height_px, halo_px)
        self._widths = _padded_lengths(grid.cols, grid.block_px, grid.width_px, halo_px)

    def tight(self, box: Box) -> Box:
        """The least box that holds the same blocks; there is one."""
        row, end_row, col, end_col = box
        inside = self._selected[row:end_row, col:end_col]
        rows, cols = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        return int(row + rows[0]), int(row + rows[-1]) + 1, int(col + cols[0]), int(col + cols[-1]) + 1

    def parts(self, box: Box) -> Iterator[Box]:
        row, end_row, col, end_col = box
        inside = self._selected[row:end_row, col:end_col]
        by_row = self._best_cut(inside, row, col, self._heights, self._widths)
        by_col = self._best_cut(inside.T, col, row, self._widths, self._heights)
        own = self._heights[row, end_row] * self._widths[col, end_col]
        if min(by_row[0], by_col[0]) >= own and (own <= MOST_PX or (end_row - row, end_col - col) == (1, 1)):
            yield box
            return
        if by_row[0] <= by_col[0]:
            cut = row + by_row[1]
            halves = (row, cut, col, end_col), (cut, end_row, col, end_col)
        else:
            cut = col + by_col[1]
            halves = (row, end_row, col, cut), (row, end_row, cut, end_col)
        for half in halves:
            yield from self.parts(self.tight(half))

    def _best_cut(
        self,
        inside: NDArray[np.bool_],
        first: int,
        second: int,
        lengths: NDArray[np.int64],
        widths: NDArray[np.int64],
    ) -> tuple[float, int]:
        """The least area after a cut between rows of `inside`, and before which row that is.

        Args:
            inside: blocks of a tight box.
            first: its first row.
            second: its first column.
            lengths: padded pixels by first row and end row.
            widths: padded pixels by first column and end column.
        """
        count, across = inside.shape
        if count < 2:
            return np.inf, 0
        filled = inside.any(axis=1)
        index = np.arange(count)
        lefts = np.where(filled, inside.argmax(axis=1), across)
        rights = np.where(filled, across - inside[:, ::-1].argmax(axis=1), 0)
        last = np.maximum.accumulate(np.where(filled, index + 1, 0))[:-1]
        following = np.minimum.accumulate(np.where(filled, index, count)[::-1])[::-1][1:]
        left, right = np.minimum.accumulate(lefts)[:-1], np.maximum.accumulate(rights)[:-1]
        left_after = np.minimum.accumulate(lefts[::-1])[::-1][1:]
        right_after = np.maximum.accumulate(rights[::-1])[::-1][1:]
        area = lengths[first, first + last] * widths[second + left, second + right]
        area += lengths[first + following, first + count] * widths[second + left_after, second + right_after]
        nearest_middle = np.abs(2 * index[1:] - count)
        best = int(np.lexsort((nearest_middle, area))[0])
        return float(area[best]), best + 1

    def region(self, box: Box) -> Region:
        row, end_row, col, end_col = box
        top, left = row * self._block, col * self._block
        bottom, right = min(end_row * self._block, self._height), min(end_col * self._block, self._width)
        halo = self._halo
        margins = min(top, halo), min(left, halo), min(self._height - bottom, halo), min(self._width - right, halo)
        return Region(top, left, bottom - top, right - left, margins)


def _padded_lengths(blocks: int, block_px: int, size_px: int, halo_px: int) -> NDArray[np.int64]:
    """(blocks + 1, blocks + 1): pixels from a first block to an end block, with the surroundings that there are."""
    edges = np.minimum(np.arange(blocks + 1) * block_px, size_px)
    padded: NDArray[np.int64] = np.minimum(edges + halo_px, size_px)[None, :] - np.maximum(edges - halo_px, 0)[:, None]
    return padded
