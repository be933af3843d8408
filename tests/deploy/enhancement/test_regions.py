"""Regions cover what was selected, once, and are no larger than simple ways would make them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from deploy.core.grid import Grid
from deploy.enhancement import regions as regions_module
from deploy.enhancement.regions import Region, find_regions


def padded_px(box: tuple[int, int, int, int], grid: Grid, halo: int) -> int:
    top, bottom, left, right = (edge * grid.block_px for edge in box)
    height = min(bottom + halo, grid.height_px) - max(top - halo, 0)
    return height * (min(right + halo, grid.width_px) - max(left - halo, 0))


def tight(mask: NDArray[np.bool_], box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    rows, cols = np.nonzero(mask[box[0] : box[1], box[2] : box[3]])
    return box[0] + rows.min(), box[0] + rows.max() + 1, box[2] + cols.min(), box[2] + cols.max() + 1


def slow_area(mask: NDArray[np.bool_], grid: Grid, halo: int) -> int:
    """Written from the description: the best cut again and again while that saves."""

    def area(box: tuple[int, int, int, int]) -> int:
        row, end_row, col, end_col = box
        cuts = [((row, y, col, end_col), (y, end_row, col, end_col)) for y in range(row + 1, end_row)]
        cuts += [((row, end_row, col, x), (row, end_row, x, end_col)) for x in range(col + 1, end_col)]
        tightened = [[tight(mask, half) for half in cut] for cut in cuts]
        costs = [sum(padded_px(half, grid, halo) for half in cut) for cut in tightened]
        if not costs or min(costs) >= padded_px(box, grid, halo):
            return padded_px(box, grid, halo)
        rows, cols = costs[: end_row - row - 1], costs[end_row - row - 1 :]

        def nearest_middle(found: list[int]) -> int:
            middle = (len(found) + 1) / 2
            return min((k for k, cost in enumerate(found) if cost == min(found)), key=lambda k: abs(k + 1 - middle))

        by_row = bool(rows) and (not cols or min(rows) <= min(cols))
        chosen = nearest_middle(rows) if by_row else len(rows) + nearest_middle(cols)
        return sum(area(half) for half in tightened[chosen])

    return area(tight(mask, (0, grid.rows, 0, grid.cols))) if mask.any() else 0


@pytest.mark.parametrize("size", [(180, 320), (48, 80), (57, 33), (16, 16), (5, 7)])
@pytest.mark.parametrize("halo", [0, 7, 24])
def test_every_selected_block_is_covered_once(size: tuple[int, int], halo: int) -> None:
    grid, rng = Grid(*size), np.random.default_rng(0)
    for share in (0, 0.02, 0.1, 0.3, 1):
        mask = rng.random((grid.rows, grid.cols)) < share
        found = find_regions(mask, grid, halo)
        covered = np.zeros(size, int)
        for region in found:
            rows, cols = region.enlarged(1)
            covered[rows, cols] += 1
            padded = np.zeros(size, bool)[region.padded]
            assert padded.size == region.padded_px and padded.shape == (
                region.height + region.margins[0] + region.margins[2],
                region.width + region.margins[1] + region.margins[3],
            )
            ends = region.top, region.left, size[0] - region.top - region.height, size[1] - region.left - region.width
            assert region.margins == tuple(min(end, halo) for end in ends)
        assert covered.max(initial=0) <= 1 and (covered[grid.upsample(mask)] == 1).all()
        assert sum(region.padded_px for region in found) == slow_area(mask, grid, halo)


def test_real_looking_maps_cost_less_than_blocks_boxes_and_the_frame() -> None:
    """Blobs of blocks."""
    grid, rng, paid = Grid(180, 320), np.random.default_rng(1), np.zeros(3)
    for _ in range(20):
        importance = np.zeros((12, 20))
        for _ in range(4):
            row, col = rng.integers(0, 12), rng.integers(0, 20)
            importance += np.exp(-((np.arange(12)[:, None] - row) ** 2 + (np.arange(20) - col) ** 2) / 4)
        mask = importance >= np.sort(importance.ravel())[-48]
        single = sum(padded_px((r, r + 1, c, c + 1), grid, 7) for r, c in zip(*np.nonzero(mask), strict=True))
        box = padded_px(tight(mask, (0, 12, 0, 20)), grid, 7)
        paid += sum(region.padded_px for region in find_regions(mask, grid, 7)), single, box
    assert paid[0] < 0.6 * paid[1] and paid[0] < 0.7 * paid[2]


def test_large_regions_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regions_module, "MOST_PX", 4000)
    grid = Grid(100, 150)
    found = find_regions(np.ones((grid.rows, grid.cols), bool), grid, 5)
    assert len(found) > 4 and max(region.padded_px for region in found) <= 4000
    assert sum(region.height * region.width for region in found) == 100 * 150


def test_nothing_selected_is_no_region() -> None:
    assert find_regions(np.zeros((12, 20), bool), Grid(180, 320), 7) == []


def test_a_region_says_where_it_goes() -> None:
    region = Region(16, 32, 16, 48, (7, 7, 0, 3))
    assert region.padded == (slice(9, 32), slice(25, 83)) and region.enlarged(3) == (slice(48, 96), slice(96, 240))
