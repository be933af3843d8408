"""The interface of layouts of detector outputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deploy.detectors.arrays import Array, cell_centres
from deploy.detectors.geometry import Preparation, Size

Shape = tuple[int, ...]
GRIDS = THREE_STRIDES, FOUR_STRIDES = (8, 16, 32), (8, 16, 32, 64)
"""Sides of the cells at each level, in pixels."""
UNKNOWN = 0
"""A number of classes that the outputs do not tell."""
_NEAR_CELLS = 6.0
"""A decoded box lies around its cell; this many strides off, hardly any does."""
_MOST_ALIKE = 0.8
"""Correlation of sides with places."""


@dataclass(frozen=True)
class Layout(ABC):
    """A family of detectors. Methods take the outputs of one frame, a batch of 1, in the file's order."""

    name: str
    """What users call it."""
    preparation: Preparation
    """What its own code does to a frame."""
    suppress: bool = True
    """Whether overlapping boxes are left to be suppressed."""

    @abstractmethod
    def num_classes(self, shapes: Sequence[Shape], size: Size) -> int | None:
        """Number of classes if outputs of these shapes fit, `UNKNOWN` if it cannot be told, None if they do not."""

    def accepts(self, outputs: Sequence[Array], size: Size) -> bool:
        """Whether the values of outputs whose shapes fit can be this family's; True where shapes tell enough."""
        return True

    @abstractmethod
    def boxes(self, outputs: Sequence[Array], size: Size) -> Array:
        """(K, 4) x0, y0, x1, y1 in pixels of the network's frame."""

    @abstractmethod
    def scores(self, outputs: Sequence[Array], num_classes: int) -> Array:
        """(K, num_classes) in [0, 1], differentiable where the outputs are."""


def classes_a_cell(shapes: Sequence[Shape], size: Size, strides: Sequence[int], others: int) -> int | None:
    """C of a single output (1, cells, `others` + C); None without such an output."""
    cells = len(cell_centres(*size, strides)[0])
    fits = len(shapes) == 1 and len(shapes[0]) == 3 and shapes[0][:2] == (1, cells) and shapes[0][2] > others
    return shapes[0][2] - others if fits else None


def near_cells(centres: NDArray[np.float32], sides: NDArray[np.float32], size: Size, strides: Sequence[int]) -> bool:
    """Whether boxes in pixels have sides, and lie around the cells that they come from.

    Args:
        centres: (K, 2) middles of the boxes.
        sides: (K, 2) their width and height.
        size: of the network's frame.
        strides: of the cells.
    """
    points, stride = cell_centres(*size, strides)
    off = np.abs(centres - points).max(axis=1) / stride[:, 0]
    if np.median(off) >= _NEAR_CELLS or (sides >= 0).all(axis=1).mean() < 0.95 or sides.max() < 1.5:
        return False
    # Where corners are taken for center and size, sides grow from left to right and from top to bottom.
    spread = centres.std(axis=0) * sides.std(axis=0)
    together = ((centres - centres.mean(axis=0)) * (sides - sides.mean(axis=0))).mean(axis=0)
    return bool((together < _MOST_ALIKE * np.maximum(spread, 1e-9)).all())
