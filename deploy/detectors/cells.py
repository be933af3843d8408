"""FastestDet, YOLO of all kinds and PP-YOLOE: a box and scores for each cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deploy.detectors.arrays import Array, around, at_least, cell_centres, concatenate, like, namespace, plain, sigmoid
from deploy.detectors.geometry import Size
from deploy.detectors.layout import THREE_STRIDES, Layout, Shape, classes_a_cell, near_cells

_MOST_STRIDES_OFF = 6.0
_MOST_LOG_STRIDES = 8.0
"""exp(8) strides are larger than any frame."""


class FastestDet(Layout):
    """dog-qiuqiu/FastestDet: (1, 5 + C, h, w), a cell holding objectness, x, y, width, height and class scores."""

    def num_classes(self, shapes: Sequence[Shape], size: Size) -> int | None:
        """One four-dimensional output that is smaller than the frame."""
        fits = len(shapes) == 1 and len(shapes[0]) == 4 and shapes[0][1] > 5 and shapes[0][2] * 4 <= size[0]
        return shapes[0][1] - 5 if fits else None

    def boxes(self, outputs: Sequence[Array], size: Size) -> Array:
        """Centers by tanh in cells, sides by sigmoid in frames."""
        cells = outputs[0][0]
        rows, cols = cells.shape[1:]
        y, x = (like(axis, cells) for axis in np.mgrid[:rows, :cols])
        height, width = size
        tanh = namespace(cells).tanh
        centre_x, centre_y = (x + tanh(cells[1])) / cols * width, (y + tanh(cells[2])) / rows * height
        parts = [centre_x, centre_y, sigmoid(cells[3]) * width, sigmoid(cells[4]) * height]
        return around(concatenate([part.reshape(-1, 1) for part in parts], axis=1))

    def scores(self, outputs: Sequence[Array], num_classes: int) -> Array:
        """objectness^0.6 * class^0.4; a power of exactly zero has no derivative."""
        cells = outputs[0][0].reshape(5 + num_classes, -1)
        return (at_least(cells[0], 1e-6) ** 0.6 * at_least(cells[5:], 1e-6) ** 0.4).T


class YoloV8(Layout):
    """YOLOv8, v9, 11, 12: (1, 4 + C, cells), a box's center and size in pixels, class scores."""

    def num_classes(self, shapes: Sequence[Shape], size: Size) -> int | None:
        """Cells of three strides, last."""
        return (
            classes_a_cell([(s[0], s[2], s[1]) for s in shapes if len(s) == 3], size, THREE_STRIDES, 4)
            if shapes
            else None
        )

    def boxes(self, outputs: Sequence[Array], size: Size) -> Array:
        """Center and size."""
        return around(outputs[0][0].T)

    def scores(self, outputs: Sequence[Array], num_classes: int) -> Array:
        """Ready."""
        return outputs[0][0][4:].T


class YoloV5(Layout):
    """YOLOv5 and v7: (1, 3 cells, 5 + C), a box's center and size in pixels, objectness, class scores; maybe more."""

    def num_classes(self, shapes: Sequence[Shape], size: Size) -> int | None:
        """The first output has three anchors a cell."""
        cells = len(cell_centres(*size, THREE_STRIDES)[0])
        fits = bool(shapes) and len(shapes[0]) == 3 and shapes[0][:2] == (1, 3 * cells) and shapes[0][2] > 5
        return shapes[0][2] - 5 if fits else None

    def boxes(self, outputs: Sequence[Array], size: Size) -> Array:
        """Center and size."""
        return around(outputs[0][0])

    def scores(self, outputs: Sequence[Array], num_classes: int) -> Array:
        """Objectness * class."""
        return outputs[0][0][:, 4:5] * outputs[0][0][:, 5:]


class YoloX(Layout):
    """YOLOX: (1, cells, 5 + C), a box's center from its cell and log size in strides, objectness, class scores."""

    def num_classes(self, shapes: Sequence[Shape], size: Size) -> int | None:
        """Cells of three strides."""
        return classes_a_cell(shapes, size, THREE_STRIDES, 5)

    def accepts(self, outputs: Sequence[Array], size: Size) -> bool:
        """Sizes are logarithms."""
        cells = plain(outputs[0][0])
        return bool(cells[:, 2:4].max() < _MOST_LOG_STRIDES and np.median(np.abs(cells[:, :2])) < _MOST_STRIDES_OFF)

    def boxes(self, outputs: Sequence[Array], size: Size) -> Array:
        """Times the stride, from the corner of the cell."""
        cells = outputs[0][0]
        corners, strides = (like(values, cells) for values in cell_centres(*size, THREE_STRIDES, offset=0.0))
        sides = namespace(cells).exp(cells[:, 2:4]) * strides
        return around(concatenate([cells[:, :2] * strides + corners, sides], axis=1))

    def scores(self, outputs: Sequence[Array], num_classes: int) -> Array:
        """Objectness * class."""
        return outputs[0][0][:, 4:5] * outputs[0][0][:, 5:]


class YoloV6(YoloX):
    """YOLOv6: YOLOX's shape, with boxes in pixels and an objectness of 1."""

    def accepts(self, outputs: Sequence[Array], size: Size) -> bool:
        """Boxes lie around their cells, and the objectness is 1."""
        cells = plain(outputs[0][0])
        return bool((cells[:, 4] == 1).all()) and near_cells(cells[:, :2], cells[:, 2:4], size, THREE_STRIDES)

    def boxes(self, outputs: Sequence[Array], size: Size) -> Array:
        """Center and size."""
        return around(outputs[0][0])


class CornersAndScores(Layout):
    """PP-YOLOE without any post-processing: (1, cells, 4 + C), x0, y0, x1, y1 in pixels and class scores."""

    def num_classes(self, shapes: Sequence[Shape], size: Size) -> int | None:
        """Cells of three strides."""
        return classes_a_cell(shapes, size, THREE_STRIDES, 4)

    def accepts(self, outputs: Sequence[Array], size: Size) -> bool:
        """Boxes lie around their cells."""
        corners = plain(outputs[0][0][:, :4])
        sides = corners[:, 2:] - corners[:, :2]
        return near_cells((corners[:, :2] + corners[:, 2:]) / 2, sides, size, self._cells())

    def boxes(self, outputs: Sequence[Array], size: Size) -> Array:
        """Ready."""
        return outputs[0][0][:, :4]

    def scores(self, outputs: Sequence[Array], num_classes: int) -> Array:
        """Ready."""
        return outputs[0][0][:, 4:]

    def _cells(self) -> tuple[int, ...]:
        return THREE_STRIDES


class CentresAndScores(YoloV8):
    """YOLOv8's outputs transposed: (1, cells, 4 + C)."""

    def num_classes(self, shapes: Sequence[Shape], size: Size) -> int | None:
        """Cells of three strides."""
        return classes_a_cell(shapes, size, THREE_STRIDES, 4)

    def accepts(self, outputs: Sequence[Array], size: Size) -> bool:
        """Boxes lie around their cells, and the first class is not 1 everywhere."""
        cells = plain(outputs[0][0])
        return not (cells[:, 4] == 1).all() and near_cells(cells[:, :2], cells[:, 2:4], size, THREE_STRIDES)

    def boxes(self, outputs: Sequence[Array], size: Size) -> Array:
        """Center and size."""
        return around(outputs[0][0])

    def scores(self, outputs: Sequence[Array], num_classes: int) -> Array:
        """Ready."""
        return outputs[0][0][:, 4:]


@dataclass(frozen=True)
class PaddleBoxes(CornersAndScores):
    """PaddleDetection without suppression: boxes (1, cells, 4) in pixels, scores (1, C, cells)."""

    strides: tuple[int, ...] = THREE_STRIDES

    def num_classes(self, shapes: Sequence[Shape], size: Size) -> int | None:
        """Boxes and scores over the cells."""
        cells = len(cell_centres(*size, self.strides)[0])
        fits = len(shapes) == 2 and shapes[0] == (1, cells, 4) and len(shapes[1]) == 3 and shapes[1][2] == cells
        return shapes[1][1] if fits else None

    def scores(self, outputs: Sequence[Array], num_classes: int) -> Array:
        """Ready."""
        return outputs[1][0].T

    def _cells(self) -> tuple[int, ...]:
        return self.strides
