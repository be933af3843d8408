"""NanoDet and PicoDet: the sides of a box as distributions of their distance from the cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deploy.detectors.arrays import Array, cell_centres, concatenate, like, softmax
from deploy.detectors.geometry import Size
from deploy.detectors.layout import FOUR_STRIDES, THREE_STRIDES, Layout, Shape, classes_a_cell

BINS = 8
"""Bins of a side's distribution."""


@dataclass(frozen=True)
class SideDistributions(Layout):
    """NanoDet and PicoDet: of each stride scores (1, cells, C), then of each sides (1, cells, 32) as distributions."""

    strides: tuple[int, ...] = THREE_STRIDES

    def num_classes(self, shapes: Sequence[Shape], size: Size) -> int | None:
        """As many outputs of scores as of sides, over the cells of the strides."""
        cells = [cell_centres(*size, (stride,))[0].shape[0] for stride in self.strides]
        if [shape[:2] for shape in shapes] != [(1, count) for count in cells * 2] or {len(s) for s in shapes} != {3}:
            return None
        (classes,), sides = {shape[2] for shape in shapes[: len(cells)]}, {shape[2] for shape in shapes[len(cells) :]}
        return classes if sides == {4 * BINS} else None

    def boxes(self, outputs: Sequence[Array], size: Size) -> Array:
        """From the middle of each cell."""
        sides = concatenate(list(outputs[len(self.strides) :]), axis=1)[0]
        return _from_distributions(sides, *cell_centres(*size, self.strides))

    def scores(self, outputs: Sequence[Array], num_classes: int) -> Array:
        """Ready."""
        return concatenate(list(outputs[: len(self.strides)]), axis=1)[0]


class NanoDetPlus(Layout):
    """RangiLyu/nanodet, Plus: (1, cells, C + 32), scores and the sides as distributions, from the cells' corners."""

    def num_classes(self, shapes: Sequence[Shape], size: Size) -> int | None:
        """Cells of four strides."""
        return classes_a_cell(shapes, size, FOUR_STRIDES, 4 * BINS)

    def boxes(self, outputs: Sequence[Array], size: Size) -> Array:
        """From the corner of each cell."""
        return _from_distributions(outputs[0][0][:, -4 * BINS :], *cell_centres(*size, FOUR_STRIDES, offset=0.0))

    def scores(self, outputs: Sequence[Array], num_classes: int) -> Array:
        """Ready."""
        return outputs[0][0][:, :num_classes]


def _from_distributions(sides: Array, points: NDArray[np.float32], strides: NDArray[np.float32]) -> Array:
    """(K, 32) logits of the distance to each side in strides -> (K, 4) boxes: expectations over the bins."""
    shares = softmax(sides.reshape(-1, 4, BINS))
    distances = (shares * like(np.arange(BINS), sides)).sum(-1) * like(strides, sides)
    point = like(points, sides)
    return concatenate([point - distances[:, :2], point + distances[:, 2:]], axis=1)
