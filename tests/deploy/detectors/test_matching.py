"""Matching and F1 against slow references."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torchvision.ops import box_iou

from deploy.detectors.matching import IOU_THRESHOLD, Boxes, MatchCounts, iou, match, mean_f1, pooled_f1

COORDINATE = st.integers(0, 12)


@st.composite
def detections(draw: st.DrawFn) -> Boxes:
    count = draw(st.integers(0, 8))
    corners = [(draw(COORDINATE), draw(COORDINATE)) for _ in range(count)]
    boxes = [(x, y, x + draw(st.integers(1, 8)), y + draw(st.integers(1, 8))) for x, y in corners]
    classes = [draw(st.integers(0, 1)) for _ in range(count)]
    return Boxes(np.array(boxes, np.float32).reshape(-1, 4), np.array(classes, np.int64))


def slow_iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """By counting unit squares; corners are integers."""
    first, second = ({(x, y) for x in range(int(c[0]), int(c[2])) for y in range(int(c[1]), int(c[3]))} for c in (a, b))
    return len(first & second) / len(first | second)


def slow_match(found: Boxes, wanted: Boxes) -> int:
    """The best detection first takes the free reference box of its class that overlaps it most."""
    free = set(range(len(wanted.boxes)))
    for box, kind in zip(found.boxes, found.classes, strict=True):
        best, best_iou = None, 0.0
        for number in sorted(free):
            overlap = slow_iou(box, wanted.boxes[number])
            if wanted.classes[number] == kind and overlap >= IOU_THRESHOLD and overlap > best_iou:
                best, best_iou = number, overlap
        if best is not None:
            free.remove(best)
    return len(wanted.boxes) - len(free)


@settings(max_examples=150, deadline=None)
@given(detections(), detections())
def test_match_equals_the_slow_reference(found: Boxes, wanted: Boxes) -> None:
    counts = match(found, wanted)
    assert (counts.matched, counts.found, counts.wanted) == (
        slow_match(found, wanted),
        len(found.boxes),
        len(wanted.boxes),
    )


@settings(max_examples=100, deadline=None)
@given(detections(), detections())
def test_iou_equals_torchvision(a: Boxes, b: Boxes) -> None:
    wanted = box_iou(torch.from_numpy(a.boxes).double(), torch.from_numpy(b.boxes).double())
    np.testing.assert_allclose(iou(a.boxes, b.boxes), wanted.numpy(), rtol=1e-12)


def test_boxes_without_area_overlap_nothing() -> None:
    empty, box = np.array([[3, 3, 3, 9]], np.float32), np.array([[0, 0, 9, 9]], np.float32)
    assert iou(empty, box)[0, 0] == 0 and iou(empty, empty)[0, 0] == 0


def boxes_of(*rows: tuple[int, int, int, int], classes: tuple[int, ...] | None = None) -> Boxes:
    return Boxes(np.array(rows, np.float32).reshape(-1, 4), np.array(classes or (0,) * len(rows), np.int64))


def test_one_box_is_matched_once() -> None:
    wanted = boxes_of((0, 0, 10, 10))
    assert match(boxes_of((0, 0, 10, 10), (0, 0, 10, 9), (0, 1, 10, 10)), wanted).matched == 1
    assert match(wanted, boxes_of((0, 0, 10, 10), (0, 0, 10, 9))).matched == 1


def test_classes_must_agree() -> None:
    assert match(boxes_of((0, 0, 9, 9), classes=(1,)), boxes_of((0, 0, 9, 9), classes=(2,))).matched == 0


def test_the_threshold_itself_matches() -> None:
    half = match(boxes_of((0, 0, 10, 10)), boxes_of((0, 0, 10, 5)))
    assert half.matched == 1
    assert match(boxes_of((0, 0, 10, 10)), boxes_of((0, 0, 10, 5)), iou_threshold=0.51).matched == 0


def test_match_leaves_its_input_alone() -> None:
    found, wanted = boxes_of((0, 0, 9, 9), (1, 0, 9, 9)), boxes_of((0, 0, 9, 9))
    before = found.boxes.copy(), wanted.boxes.copy()
    match(found, wanted)
    np.testing.assert_array_equal(found.boxes, before[0])
    np.testing.assert_array_equal(wanted.boxes, before[1])


@pytest.mark.parametrize(
    ("counts", "f1"),
    [((0, 0, 0), 1.0), ((0, 3, 0), 0.0), ((0, 0, 2), 0.0), ((2, 2, 2), 1.0), ((1, 2, 1), 2 / 3), ((1, 1, 3), 0.5)],
)
def test_f1_of_a_frame(counts: tuple[int, int, int], f1: float) -> None:
    assert MatchCounts(*counts).f1 == pytest.approx(f1)


def test_empty_frames_count_once_each() -> None:
    empty, false_alarm, half = MatchCounts(0, 0, 0), MatchCounts(0, 1, 0), MatchCounts(1, 2, 2)
    assert mean_f1([empty]) == 1
    assert mean_f1([empty, false_alarm]) == 0.5
    assert mean_f1([empty, empty, false_alarm, half]) == pytest.approx((1 + 1 + 0 + 0.5) / 4)


def test_pooled_f1_weighs_by_detections() -> None:
    frames = [MatchCounts(0, 0, 0), MatchCounts(9, 10, 10), MatchCounts(0, 1, 1)]
    assert pooled_f1(frames) == pytest.approx(2 * 9 / 22)
    assert mean_f1(frames) == pytest.approx((1 + 0.9 + 0) / 3)
    assert pooled_f1([MatchCounts(0, 0, 0)]) == 1
