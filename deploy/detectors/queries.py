"""Detectors that need no suppression: a box a query (RT-DETR, D-FINE), or a list of boxes (YOLOv10, YOLO26)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.detectors.arrays import Array, around, cell_centres, like, plain, sigmoid
from deploy.detectors.geometry import Size
from deploy.detectors.layout import GRIDS, UNKNOWN, Layout, Shape


class Queries(Layout):
    """RT-DETR, D-FINE: logits (1, Q, C), boxes (1, Q, 4) in either order; center and size as shares of the frame."""

    def num_classes(self, shapes: Sequence[Shape], size: Size) -> int | None:
        """Two outputs over as many queries, one of them of four numbers."""
        if len(shapes) != 2 or {len(shape) for shape in shapes} != {3} or shapes[0][:2] != shapes[1][:2]:
            return None
        logits, boxes = self._ordered(shapes)
        return logits[2] if boxes[2] == 4 and boxes[0] == 1 else None

    def accepts(self, outputs: Sequence[Array], size: Size) -> bool:
        """Shares of the frame."""
        return _are_shares(plain(self._ordered(outputs)[1]))

    def boxes(self, outputs: Sequence[Array], size: Size) -> Array:
        """Times the frame."""
        return _of_frame(self._ordered(outputs)[1][0], size)

    def scores(self, outputs: Sequence[Array], num_classes: int) -> Array:
        """Sigmoid of the logits."""
        return sigmoid(self._ordered(outputs)[0][0])

    @staticmethod
    def _ordered(pair: Sequence[Any]) -> Sequence[Any]:
        """Logits, boxes: of shapes or of arrays. With four classes they must come in this order."""
        last = [part[2] if isinstance(part, tuple) else part.shape[2] for part in pair]
        return pair if last[1] == 4 else pair[::-1]


class JoinedQueries(Layout):
    """RT-DETR as Ultralytics exports it: (1, Q, 4 + C), center and size as shares of the frame, class scores."""

    def num_classes(self, shapes: Sequence[Shape], size: Size) -> int | None:
        """One output of more than four numbers a query, and not a query a cell."""
        fits = len(shapes) == 1 and len(shapes[0]) == 3 and shapes[0][0] == 1 and shapes[0][2] > 4
        fits = fits and shapes[0][1] not in (len(cell_centres(*size, strides)[0]) for strides in GRIDS)
        return shapes[0][2] - 4 if fits else None

    def accepts(self, outputs: Sequence[Array], size: Size) -> bool:
        """Shares of the frame, and scores."""
        return _are_shares(plain(outputs[0]))

    def boxes(self, outputs: Sequence[Array], size: Size) -> Array:
        """Times the frame."""
        return _of_frame(outputs[0][0][:, :4], size)

    def scores(self, outputs: Sequence[Array], num_classes: int) -> Array:
        """Ready."""
        return outputs[0][0][:, 4:]


class EndToEnd(Layout):
    """YOLOv10, YOLO26: (1, K, 6), x0, y0, x1, y1 in pixels, score, class; nothing is left to be suppressed."""

    def num_classes(self, shapes: Sequence[Shape], size: Size) -> int | None:
        """Six numbers for each of at most a thousand boxes."""
        fits = len(shapes) == 1 and len(shapes[0]) == 3 and shapes[0][0] == 1 and shapes[0][2] == 6
        return UNKNOWN if fits and shapes[0][1] <= 1000 else None

    def accepts(self, outputs: Sequence[Array], size: Size) -> bool:
        """Whole classes, scores from 0 to 1."""
        rows = plain(outputs[0][0])
        classes, scores = rows[:, 5], rows[:, 4]
        return bool((classes == np.round(classes)).all() and scores.min() >= 0 and scores.max() <= 1)

    def boxes(self, outputs: Sequence[Array], size: Size) -> Array:
        """Ready."""
        return outputs[0][0][:, :4]

    def scores(self, outputs: Sequence[Array], num_classes: int) -> Array:
        """The score in its class' column, 0 in the others."""
        return one_of(outputs[0][0][:, 4], outputs[0][0][:, 5], num_classes)


class LabelsBoxesScores(Layout):
    """RT-DETR and D-FINE as their deployment exports them: labels (1, K), boxes (1, K, 4) in pixels, scores (1, K)."""

    def num_classes(self, shapes: Sequence[Shape], size: Size) -> int | None:
        """In this order."""
        fits = len(shapes) == 3 and len(shapes[0]) == 2 and shapes[0] == shapes[2] and shapes[0][0] == 1
        return UNKNOWN if fits and shapes[1] == (*shapes[0], 4) else None

    def boxes(self, outputs: Sequence[Array], size: Size) -> Array:
        """Ready."""
        return outputs[1][0]

    def scores(self, outputs: Sequence[Array], num_classes: int) -> Array:
        """The score in its class' column, 0 in the others."""
        return one_of(outputs[2][0], outputs[0][0], num_classes)


def one_of(scores: Array, classes: Array, num_classes: int) -> Array:
    """(K,) scores and their classes -> (K, num_classes), 0 in all other columns."""
    columns = like(np.arange(num_classes), classes)
    return scores[:, None] * like((plain(classes)[:, None] == plain(columns)[None]).astype(np.float32), scores)


def _are_shares(values: NDArray[np.float32]) -> bool:
    return bool(values.min() >= -0.01 and values.max() <= 1.01)


def _of_frame(boxes: Array, size: Size) -> Array:
    height, width = size
    return around(boxes * like(np.array([width, height] * 2), boxes))
