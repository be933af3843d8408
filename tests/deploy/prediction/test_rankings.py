"""Rankings against slow references."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from deploy.core.grid import Grid, GridName
from deploy.prediction.rankings import (
    box_ranking,
    difference_ranking,
    edge_density,
    edge_ranking,
    grown_box_ranking,
    shuffle_ties,
)


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
    # No corner of the frame is favored.
    assert abs(np.corrcoef(ranks[0].ravel(), np.arange(flat.size))[0, 1]) < 0.1


def test_grown_boxes_reach_further_and_inside_all_are_equal() -> None:
    grid, boxes = Grid(height_px=64, width_px=64, scale=2), np.array([[40, 40, 60, 60]], np.float32)
    plain, grown = box_ranking(boxes, grid), grown_box_ranking(boxes, grid, 32)
    assert (grown >= plain).all() and (grown == 0).sum() > (plain == 0).sum()
    np.testing.assert_array_equal(grown, box_ranking(np.array([[8, 8, 92, 92]], np.float32), grid))
    assert not grown_box_ranking(np.zeros((0, 4), np.float32), grid, 32).any()
