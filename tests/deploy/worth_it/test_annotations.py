"""Annotations of both kinds, and average precision worked out by hand."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from deploy.core.errors import InputError, OptionError
from deploy.detectors.detections import Detections
from deploy.worth_it.annotations import read_annotations
from deploy.worth_it.precision import average_precision, require_library

NAMES = ("person", "car")


def detections(*rows: tuple[float, ...]) -> Detections:
    """x0, y0, x1, y1, score, class."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64), NAMES)


def test_coco(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    content = {
        "categories": [{"id": 3, "name": "car"}, {"id": 9, "name": "boat"}],
        "images": [
            {"id": 1, "file_name": "clip/frame_0012.jpg"},
            {"id": 2, "file_name": "b.png", "frame_index": 7},
            {"id": 5, "file_name": "c.png"},
        ],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 3, "bbox": [10, 20, 30, 40]},
            {"id": 2, "image_id": 1, "category_id": 9, "bbox": [0, 0, 5, 5]},
            {"id": 3, "image_id": 2, "category_id": 3, "bbox": [1, 2, 3, 4], "iscrowd": 1},
        ],
    }
    path.write_text(json.dumps(content))
    found = read_annotations(path)
    assert found.classes == {"car", "boat"}
    for index, name in ((12, ""), (0, "frame_0012.jpg")):
        assert found.knows(index, name)
        frame = found.of_frame(index, name, NAMES, ("car",))
        np.testing.assert_array_equal(frame.xyxy, [[10, 20, 40, 60]])
        assert frame.class_id.tolist() == [1]
    assert found.knows(7) and len(found.of_frame(7, "", NAMES, NAMES)) == 0 and not found.knows(8)
    assert found.knows(0, "c.png") and len(found.of_frame(0, "c.png", NAMES, NAMES)) == 0


def test_mot(tmp_path: Path) -> None:
    path = tmp_path / "gt.txt"
    path.write_text("1,1,10,20,30,40,1,1,1\n1,2,0,0,5,5,0,1,1\n\n3,1,1.5,2,3,4\n")
    found = read_annotations(path)
    np.testing.assert_array_equal(found.of_frame(0, "", NAMES, NAMES).xyxy, [[10, 20, 40, 60]])
    np.testing.assert_array_equal(found.of_frame(2, "", NAMES, NAMES).xyxy, [[1.5, 2, 4.5, 6]])
    assert not found.knows(1) and found.classes == {"person"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", "{"), ("b.json", "[]"), ("c.json", '{"images": []}'),
        ("d.txt", "x,y\n"), ("e.txt", "1,2\n"), ("f.txt", ""),
    ],
)  # fmt: skip
def test_what_is_neither(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match="annotations") as error:
        read_annotations(tmp_path / name)
    assert "MOT" in error.value.hint
    with pytest.raises(InputError):
        read_annotations(tmp_path / "none.json")


def test_average_precision_by_hand() -> None:
    truth = [detections((0, 0, 10, 10, 1, 0), (20, 0, 30, 10, 1, 0)), detections((0, 0, 10, 10, 1, 0))]
    assert average_precision(truth, truth) == pytest.approx((1, 1))
    # Best first: right (IoU 1), wrong, right (IoU 0.8): a third is never found.
    found = [detections((0, 0, 10, 10, 0.9, 0), (50, 0, 60, 10, 0.8, 0)), detections((0, 0, 10, 8, 0.7, 0))]
    ap50, mean_ap = average_precision(found, truth)
    # Precision 1 up to a recall of 1/3, then 2/3 up to 2/3: of 101 recalls 34 and 33.
    assert ap50 == pytest.approx((34 + 33 * 2 / 3) / 101)
    strict = 34 / 101
    assert mean_ap == pytest.approx((7 * ap50 + 3 * strict) / 10)
    nothing = [Detections.nothing(NAMES)] * 2
    assert average_precision(nothing, truth) == (0, 0)


def test_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    require_library()
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    with pytest.raises(OptionError, match="needs the package 'pycocotools'"):
        require_library()


def test_boxes_in_other_pixels() -> None:
    found = detections((10, 20, 40, 60, 0.5, 1), (90, 0, 99, 9, 0.2, 0))
    moved = found.moved((2, 0.5), (1, 0))
    np.testing.assert_array_equal(moved.xyxy, [[21, 10, 81, 30], [181, 0, 199, 4.5]])
    np.testing.assert_array_equal(moved.clipped((20, 100)).xyxy, [[21, 10, 81, 20]])
    assert len(found.from_score(0.3)) == 1 and len(found.from_score(0.2)) == 2
