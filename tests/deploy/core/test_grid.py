"""The macroblock grid against its definition, one pixel at a time."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from deploy.core.errors import OptionError
from deploy.core.grid import Grid, GridName

NAMES: tuple[GridName, ...] = ("lr", "sr")
SIZES = {240: 426, 270: 480, 360: 640, 480: 854, 720: 1280}
USUAL = [Grid(h, w, scale, 16, name) for name, (h, w), scale in product(NAMES, SIZES.items(), (2, 3, 4))]


def block_at(pixel: int, grid: Grid) -> int:
    """Along one axis, the block that contains the center of an LR pixel, in exact arithmetic: the definition."""
    centre = pixel + Fraction(1, 2)
    return int((centre * grid.scale if grid.name == "sr" else centre) // grid.block_px)


def numbered(grid: Grid) -> NDArray[np.int64]:
    return np.arange(grid.rows * grid.cols).reshape(grid.rows, grid.cols)


def is_sliver(size_px: int, grid: Grid, count: int) -> bool:
    """Whether the last block along an axis holds SR pixels but no center of an LR pixel."""
    return block_at(size_px - 1, grid) < count - 1


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    scale, name = draw(st.integers(1, 5)), draw(st.sampled_from(NAMES))
    block_px = draw(st.integers(scale if name == "sr" else 1, 20))
    return Grid(draw(st.integers(1, 60)), draw(st.integers(1, 40)), scale, block_px, name)


@pytest.mark.parametrize("grid", USUAL, ids=lambda g: f"{g.name}-{g.height_px}p-x{g.scale}")
def test_usual_sizes(grid: Grid) -> None:
    rows = [block_at(y, grid) for y in range(grid.height_px)]
    cols = [block_at(x, grid) for x in range(grid.width_px)]
    wanted = np.array([[row * grid.cols + col for col in cols] for row in rows])
    assert np.count_nonzero(grid.upsample(numbered(grid)) != wanted) == 0, "pixels in a wrong macroblock"
    levels = np.random.default_rng(0).integers(0, 255, (grid.rows, grid.cols)).astype(np.uint8)
    np.testing.assert_array_equal(grid.pool(grid.upsample(levels)), levels)


@pytest.mark.parametrize("grid", USUAL[::4], ids=lambda g: f"{g.name}-{g.height_px}p-x{g.scale}")
def test_every_sr_pixel_is_covered_once(grid: Grid) -> None:
    height, width, side = grid.height_px * grid.scale, grid.width_px * grid.scale, grid.block_sr_px
    covered = np.zeros((height, width), int)
    wanted = np.zeros((height, width), int)
    for row, col in product(range(grid.rows), range(grid.cols)):
        area = slice(row * side, (row + 1) * side), slice(col * side, (col + 1) * side)
        assert covered[area].size > 0
        covered[area] += 1
        wanted[area] = row * grid.cols + col
    assert (covered == 1).all()
    np.testing.assert_array_equal(grid.upsample_to_sr(numbered(grid)), wanted)
    np.testing.assert_array_equal(grid.sum_sr(np.ones((height, width))).sum(), height * width)


@pytest.mark.parametrize(
    ("name", "height", "width", "scale", "shape"),
    [
        ("lr", 360, 640, 3, (23, 40)),
        ("sr", 360, 640, 3, (68, 120)),
        ("lr", 270, 480, 4, (17, 30)),
        ("sr", 270, 480, 4, (68, 120)),
        ("lr", 1080, 1920, 1, (68, 120)),
        ("lr", 1, 17, 2, (1, 2)),
    ],
)
def test_the_partial_last_row_and_column_are_kept(
    name: GridName, height: int, width: int, scale: int, shape: tuple[int, int]
) -> None:
    grid = Grid(height, width, scale, 16, name)
    assert (grid.rows, grid.cols) == shape
    assert grid.row_of_lr_pixel[-1] == shape[0] - 1
    assert grid.col_of_lr_pixel[-1] == shape[1] - 1


def test_plain_nearest_resizing_is_wrong_where_the_grid_is_right() -> None:
    """Earlier code dropped the half row of 1080 / 16 and stretched the 67 x 120 map over the 360 x 640 frame."""
    grid = Grid(360, 640, 3, 16, "sr")
    rows, cols = [block_at(y, grid) for y in range(360)], [block_at(x, grid) for x in range(640)]
    right = np.add.outer(np.array(rows) * 120, cols)
    assert np.count_nonzero(grid.upsample(numbered(grid)) != right) == 0

    # Even where the lost row's pixels are forgiven for taking the row above, 37.8 % take a wrong block.
    forgiving = np.where(right >= 67 * 120, right - 120, right)
    stretched = cv2.resize(np.arange(67 * 120.0).reshape(67, 120), (640, 360), interpolation=cv2.INTER_NEAREST)
    assert np.mean(stretched != forgiving) == pytest.approx(0.378, abs=0.0005)


@settings(max_examples=30, deadline=None)
@given(grids())
def test_any_size_follows_the_definition(grid: Grid) -> None:
    wanted = [[block_at(y, grid) * grid.cols + block_at(x, grid) for x in range(grid.width_px)]
              for y in range(grid.height_px)]  # fmt: skip
    np.testing.assert_array_equal(grid.upsample(numbered(grid)), wanted)


@settings(max_examples=30, deadline=None)
@given(grids(), st.integers(0, 1000))
def test_pooling_gives_back_what_was_upsampled(grid: Grid, seed: int) -> None:
    levels = np.random.default_rng(seed).integers(0, 255, (grid.rows, grid.cols)).astype(np.uint8)
    wanted = levels.copy()
    # No LR pixel shows a sliver's value; pooling fills it with its neighbor's.
    if is_sliver(grid.height_px, grid, grid.rows):
        wanted[-1] = wanted[-2]
    if is_sliver(grid.width_px, grid, grid.cols):
        wanted[:, -1] = wanted[:, -2]
    np.testing.assert_array_equal(grid.pool(grid.upsample(levels)), wanted)


@settings(max_examples=30, deadline=None)
@given(grids(), st.integers(0, 1000))
def test_pool_is_the_mean_of_the_blocks_pixels(grid: Grid, seed: int) -> None:
    pixels = np.random.default_rng(seed).random((grid.height_px, grid.width_px), np.float32)
    members: dict[tuple[int, int], list[float]] = {}
    for y, x in product(range(grid.height_px), range(grid.width_px)):
        members.setdefault((block_at(y, grid), block_at(x, grid)), []).append(float(pixels[y, x]))
    pooled = grid.pool(pixels)
    assert pooled.dtype == np.float32 and pooled.shape == (grid.rows, grid.cols)
    for (row, col), values in members.items():
        assert pooled[row, col] == pytest.approx(sum(values) / len(values), rel=1e-5)


@settings(max_examples=30, deadline=None)
@given(grids(), st.integers(0, 1000))
def test_sum_sr_is_the_sum_of_the_blocks_pixels(grid: Grid, seed: int) -> None:
    height, width = grid.height_px * grid.scale, grid.width_px * grid.scale
    pixels = np.random.default_rng(seed).random((height, width), np.float32)
    wanted = np.zeros((grid.rows, grid.cols))
    # The side of a block in SR pixels, from the definition of the two tilings.
    side = grid.block_px * grid.scale if grid.name == "lr" else grid.block_px
    for y in range(height):
        for x in range(width):
            wanted[y // side, x // side] += float(pixels[y, x])
    np.testing.assert_allclose(grid.sum_sr(pixels), wanted, rtol=1e-12)


def test_pool_keeps_leading_axes() -> None:
    grid = Grid(40, 56, 3, 16, "sr")
    pixels = np.random.default_rng(0).random((2, 3, 40, 56), np.float32)
    pooled = grid.pool(pixels)
    assert pooled.shape == (2, 3, grid.rows, grid.cols)
    np.testing.assert_array_equal(pooled[1, 2], grid.pool(pixels[1, 2]))


def test_a_sliver_takes_its_neighbours_value() -> None:
    """11 rows at x3 are 33 SR rows: the third block holds one SR row and no LR pixel's center."""
    grid = Grid(11, 32, 3, 16, "sr")
    assert grid.rows == 3 and grid.row_of_lr_pixel[-1] == 1
    blocks = np.arange(3 * grid.cols).reshape(3, grid.cols)
    np.testing.assert_array_equal(grid.pool(grid.upsample(blocks)), blocks[[0, 1, 1]])
    assert (grid.upsample_to_sr(blocks)[-1] == np.repeat(blocks[2], 16)).all()
    assert (grid.sum_sr(np.ones((33, 96)))[-1] == 16).all()


@pytest.mark.parametrize(
    "change",
    [
        {"height_px": 0},
        {"width_px": -3},
        {"scale": 0},
        {"block_px": 0},
        {"scale": 1.5},
        {"name": "hr"},
        {"name": "sr", "block_px": 2, "scale": 3},
    ],
    ids=str,
)
def test_impossible_grids_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="grid") as error:
        Grid(**({"height_px": 40, "width_px": 56} | change))
    assert error.value.hint


def test_arrays_of_another_size_are_refused() -> None:
    grid = Grid(40, 56, 3)
    for operation, shape in (
        (grid.upsample, (3, 3)),
        (grid.upsample_to_sr, (4, 4)),
        (grid.pool, (40, 57)),
        (grid.sum_sr, (40, 56)),
    ):
        with pytest.raises(OptionError, match="do not match"):
            operation(np.zeros(shape, np.float32))
