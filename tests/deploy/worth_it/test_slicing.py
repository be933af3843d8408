"""Slices cover the frame, and what they find is put together."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from deploy.detectors.detections import Detections
from deploy.worth_it.slicing import detect_in_slices, merged, slices


def detections(*rows: tuple[float, ...]) -> Detections:
    """x0, y0, x1, y1, score, class."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64), ("a", "b"))


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("size", [(540, 960), (7, 5), (1, 1)])
def test_slices_cover_the_frame(size: tuple[int, int], parts: int) -> None:
    covered = np.zeros(size, int)
    shapes = set()
    for rows, cols in slices(*size, parts):
        covered[rows, cols] += 1
        shapes.add((rows.stop - rows.start, cols.stop - cols.start))
    assert covered.min() >= 1 and len(shapes) == 1


def test_boxes_of_slices_come_back_to_the_frame() -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    image[70:80, 150:170] = 255

    def detect(part: NDArray[np.uint8]) -> Detections:
        y, x = np.nonzero(part[..., 0])
        if not len(y):
            return detections()
        return detections((x.min(), y.min(), x.max() + 1, y.max() + 1, 0.9, 0))

    found = detect_in_slices(image, detect)
    np.testing.assert_array_equal(found.xyxy, [[150, 70, 170, 80]])


def test_a_part_of_an_object_is_no_second_one() -> None:
    whole, part, other = (0, 0, 100, 50, 0.9, 0), (0, 0, 40, 50, 0.8, 0), (0, 0, 40, 50, 0.7, 1)
    found = merged([detections(part, other), detections(whole)])
    np.testing.assert_array_equal(found.confidence, np.array([0.9, 0.7], np.float32))
    assert len(merged([detections(), detections()])) == 0
