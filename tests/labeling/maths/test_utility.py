"""Matching, F1, intervals and rankings against slow references."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torchvision.ops import box_iou

from deploy.core.grid import Grid, GridName
from labeling.maths.rankings import box_ranking, difference_ranking, edge_ranking, grown_box_ranking, shuffle_ties
from labeling.maths.utility import (
    IOU_THRESHOLD,
    Boxes,
    MatchCounts,
    area,
    bootstrap_interval,
    edge_density,
    iou,
    match,
    mean_f1,
    middle_95,
    pooled_f1,
    recoveries,
    recovery,
    resampled_means,
)

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


def test_the_interval_contains_the_mean_and_is_deterministic() -> None:
    random = np.random.default_rng(3)
    groups = np.repeat(np.arange(12), random.integers(1, 20, 12))
    values = random.random(len(groups)) + 0.1 * groups
    low, high = bootstrap_interval(values, groups)
    assert low < values.mean() < high
    assert (low, high) == bootstrap_interval(values, groups)
    shuffled = random.permutation(len(groups))
    assert bootstrap_interval(values[shuffled], groups[shuffled]) == pytest.approx((low, high))


def test_the_interval_resamples_whole_groups() -> None:
    # Means of the groups are equal: however the frames of a group differ, nothing varies between resamples.
    values = np.tile([0.0, 1.0], 50)
    assert bootstrap_interval(values, np.repeat(np.arange(50), 2)) == (0.5, 0.5)
    # Two groups that agree within themselves: the mean of a resample is 0, one half or 1.
    assert bootstrap_interval(np.repeat([0.0, 1.0], 500), np.repeat([7, 3], 500)) == (0, 1)
    # Every frame a group of its own: a narrow interval of the width that the normal distribution predicts.
    low, high = bootstrap_interval(np.repeat([0.0, 1.0], 500), np.arange(1000))
    assert high - low == pytest.approx(2 * 1.96 * 0.5 / math.sqrt(1000), rel=0.1)


def test_the_interval_of_one_group_is_its_mean() -> None:
    assert bootstrap_interval(np.array([0.0, 1.0, 0.5]), np.zeros(3, np.int64)) == pytest.approx((0.5, 0.5))


def test_groups_weigh_by_their_frames() -> None:
    groups = np.repeat(np.arange(200), np.tile([9, 1], 100))
    low, high = bootstrap_interval((groups % 2 == 0).astype(float), groups)
    assert 0.85 < low < 0.9 < high < 0.95


@pytest.mark.parametrize(
    ("f1_k", "f1_none", "f1_all", "wanted"),
    [
        (0.7, 0.6, 0.8, 0.5),
        (0.8, 0.6, 0.8, 1.0),
        (0.9, 0.6, 0.8, 1.5),
        (0.5, 0.6, 0.8, -0.5),
        (0.7, 0.6, 0.6, None),
        (0.7, 0.6, 0.604, None),
        (0.7, 0.8, 0.6, None),
    ],
)
def test_recovery(f1_k: float, f1_none: float, f1_all: float, wanted: float | None) -> None:
    assert recovery(f1_k, f1_none, f1_all) == (wanted if wanted is None else pytest.approx(wanted))


def slow_box_ranking(boxes: NDArray[np.float32], grid: Grid) -> NDArray[np.float64]:
    """Minus the distance from the middle of the block's visible part to the nearest box, by trying its points."""
    height, width, side = grid.height_px * grid.scale, grid.width_px * grid.scale, grid.block_sr_px
    ranking = np.zeros((grid.rows, grid.cols))
    for row in range(grid.rows):
        for col in range(grid.cols):
            y = (row * side + min((row + 1) * side, height)) / 2
            x = (col * side + min((col + 1) * side, width)) / 2
            nearest = [(min(max(x, x0), x1), min(max(y, y0), y1)) for x0, y0, x1, y1 in boxes.tolist()]
            ranking[row, col] = -min(math.dist((x, y), point) for point in nearest)
    return ranking


@pytest.mark.parametrize("name", ["lr", "sr"])
def test_box_ranking(name: GridName) -> None:
    grid = Grid(100, 150, 3, 16, name)
    # The last box reaches the corner of the frame, where blocks are partial.
    boxes = np.array([[20, 30, 80, 130], [301.5, 10, 310.25, 90], [380, 250, 450, 300]], np.float32)
    ranking = box_ranking(boxes, grid)
    np.testing.assert_allclose(ranking, slow_box_ranking(boxes, grid), atol=1e-9)
    assert ranking[-1, -1] == 0, "a partial block inside a box is inside"


def test_box_ranking_without_boxes_is_a_tie() -> None:
    grid = Grid(100, 150, 3)
    assert (box_ranking(np.zeros((0, 4), np.float32), grid) == 0).all()


def test_difference_and_edge_rankings_by_loops() -> None:
    grid = Grid(20, 33, 2, 16, "lr")
    random = np.random.default_rng(0)
    interpolated, sr = random.random((2, 3, 40, 66), np.float32)
    difference = np.zeros((grid.rows, grid.cols))
    edges = np.zeros((grid.rows, grid.cols))
    gray = interpolated.astype(np.float64).mean(axis=0)
    for y in range(40):
        for x in range(66):
            up, down, left, right = max(y - 1, 0), min(y + 1, 39), max(x - 1, 0), min(x + 1, 65)
            dy = (gray[down, x] - gray[up, x]) / (down - up)
            dx = (gray[y, right] - gray[y, left]) / (right - left)
            edges[y // 32, x // 32] += math.hypot(dx, dy)
            difference[y // 32, x // 32] += sum(
                abs(float(sr[c, y, x]) - float(interpolated[c, y, x])) for c in range(3)
            )
    np.testing.assert_allclose(difference_ranking(interpolated, sr, grid), difference, rtol=1e-5)
    np.testing.assert_allclose(edge_ranking(interpolated, grid), edges, rtol=1e-5)


def test_edge_density_of_a_ramp_is_its_slope() -> None:
    ramp = np.add.outer(3 * np.arange(5), 4 * np.arange(7)).astype(np.float32)
    np.testing.assert_allclose(edge_density(ramp), 5)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.integers(0, 99))
def test_shuffled_ties_keep_the_order(values: list[int], seed: int) -> None:
    ranking = np.array(values)
    ranks = shuffle_ties(ranking, (seed,))
    assert sorted(ranks.tolist()) == list(range(len(values)))
    assert (np.diff(ranking[ranks.argsort()]) >= 0).all()
    np.testing.assert_array_equal(ranks, shuffle_ties(ranking, (seed,)))


def test_ties_are_shuffled_by_the_seed() -> None:
    flat = np.zeros((23, 40))
    ranks = [shuffle_ties(flat, seed) for seed in ((0, 1), (0, 2), (1, 1))]
    assert ranks[0].shape == flat.shape
    assert all((a != b).mean() > 0.9 for a, b in pairwise(ranks))
    # No corner of the frame is favoured.
    assert abs(np.corrcoef(ranks[0].ravel(), np.arange(flat.size))[0, 1]) < 0.1


def test_resampled_means_by_a_loop() -> None:
    random = np.random.default_rng(1)
    values, groups = random.random((7, 3)), np.array([0, 0, 1, 2, 2, 2, 3])
    picks = np.random.default_rng(5).integers(4, size=(6, 4))
    expected = [np.concatenate([values[groups == group] for group in row]).mean(axis=0) for row in picks]
    np.testing.assert_allclose(resampled_means(values, groups, draws=6, seed=5), expected)
    assert bootstrap_interval(values[:, 1], groups) == middle_95(resampled_means(values, groups)[:, 1])


def test_recoveries_are_those_of_each_draw_or_none_at_all() -> None:
    clear = np.array([[0.5, 0.6, 0.7], [0.5, 0.8, 0.6]])
    np.testing.assert_allclose(recoveries(clear), [[0, 0.5, 1], [0, 3, 1]])
    assert len(recoveries(np.array([[0.5, 0.6, 0.7], [0.5, 0.8, 0.501]]))) == 0
    rarely = np.tile([0.5, 0.6, 0.7], (100, 1))
    rarely[:2, 2] = 0.4
    assert len(recoveries(rarely)) == 98


def test_area_is_the_mean_height_below_budget_1() -> None:
    budgets = [0, 0.1, 0.3, 1]
    assert area(budgets, np.array([0.5, 0.5, 0.5, 9.0])) == pytest.approx(0.5)
    expected = (0.1 * 0.5 + 0.2 * 1.5) / 0.3
    np.testing.assert_allclose(area(budgets, np.array([[0, 1, 2, 7.0], [0, 0, 0, 0]])), [expected, 0])


def test_grown_boxes_reach_further_and_inside_all_are_equal() -> None:
    grid, boxes = Grid(height_px=64, width_px=64, scale=2), np.array([[40, 40, 60, 60]], np.float32)
    plain, grown = box_ranking(boxes, grid), grown_box_ranking(boxes, grid, 32)
    assert (grown >= plain).all() and (grown == 0).sum() > (plain == 0).sum()
    np.testing.assert_array_equal(grown, box_ranking(np.array([[8, 8, 92, 92]], np.float32), grid))
    assert not grown_box_ranking(np.zeros((0, 4), np.float32), grid, 32).any()
