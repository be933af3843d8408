"""Logits to importance maps, top blocks and rectangles, against slow references."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from deploy.cards.model_card import ModelCard
from deploy.core.errors import OptionError, WeightsError
from deploy.core.grid import Grid, GridName
from deploy.prediction.postprocess import block_predictions, block_rectangles, top_blocks
from tests.helpers.deploy_helpers import card_of

NAMES: st.SearchStrategy[GridName] = st.sampled_from(["lr", "sr"])
SIZES = st.integers(1, 40)
MAPS = arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.sampled_from([0, 0.25, 0.5, 1]))


@st.composite
def cards_and_logits(draw: st.DrawFn) -> tuple[ModelCard, NDArray[np.float32]]:
    """A card of a random grid, and random logits of its size."""
    num_levels = draw(st.integers(2, 6))
    name, scale = draw(NAMES), draw(st.integers(1, 4))
    card = card_of(num_levels=num_levels, grid=Grid(draw(SIZES), draw(SIZES), scale, 16, name))
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    logits = random.normal(
        0, draw(st.sampled_from([0.1, 3, 50])), (num_levels, card.grid.height_px, card.grid.width_px)
    )
    return card, logits.astype(np.float32)


def slow_block(logits: NDArray[np.float32], card: ModelCard, row: int, col: int) -> tuple[float, NDArray[np.float64]]:
    """Importance and mean logits of one macroblock, pixel by pixel; the definition."""
    grid = card.grid
    pixels = [
        logits[:, y, x].astype(np.float64)
        for y in range(grid.height_px)
        for x in range(grid.width_px)
        if (grid.row_of_lr_pixel[y], grid.col_of_lr_pixel[x]) == (row, col)
    ]
    mean: NDArray[np.float64] = np.array(pixels).mean(axis=0)
    exponentials = [math.exp(value - max(mean)) for value in mean]
    expected = sum(v * e for v, e in zip(card.level_values, exponentials, strict=True)) / sum(exponentials)
    return expected, mean


@settings(max_examples=40, deadline=None)
@given(cards_and_logits())
def test_agrees_with_the_definition(case: tuple[ModelCard, NDArray[np.float32]]) -> None:
    card, logits = case
    importance, levels = block_predictions(logits, card)
    assert importance.dtype == np.float32
    assert levels.dtype == np.uint8
    assert importance.shape == levels.shape == (card.grid.rows, card.grid.cols)
    assert importance.min() >= 0
    assert importance.max() <= 1
    rows, cols = card.grid.row_of_lr_pixel[-1] + 1, card.grid.col_of_lr_pixel[-1] + 1
    for row in range(rows):
        for col in range(cols):
            expected, mean = slow_block(logits, card, row, col)
            assert importance[row, col] == pytest.approx(expected, abs=2e-4)
            assert mean[levels[row, col]] == pytest.approx(mean.max(), abs=1e-3)


@settings(max_examples=30, deadline=None)
@given(cards_and_logits(), st.floats(0, 5))
def test_more_evidence_for_the_top_level_never_lowers_importance(
    case: tuple[ModelCard, NDArray[np.float32]], evidence: float
) -> None:
    card, logits = case
    before, levels_before = block_predictions(logits, card)
    logits[-1] += np.float32(evidence)
    after, levels_after = block_predictions(logits, card)
    assert (after >= before - 1e-6).all()
    assert (levels_after >= levels_before).all()


def test_certain_logits_give_the_level_value() -> None:
    card = card_of(16, 64, num_levels=4)
    logits = np.full((4, 16, 64), -1e4, np.float32)
    for level in range(4):
        logits[level, :, 16 * level : 16 * level + 16] = 1e4
    importance, levels = block_predictions(logits, card)
    np.testing.assert_array_equal(levels, [[0, 1, 2, 3]])
    np.testing.assert_allclose(importance, [card.level_values], rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_an_error(bad: float) -> None:
    logits = np.zeros((4, 48, 80), np.float32)
    logits[1, 5, 5] = bad
    with pytest.raises(WeightsError, match="not finite"):
        block_predictions(logits, card_of())


@settings(max_examples=100, deadline=None)
@given(MAPS, st.floats(0, 1))
def test_top_blocks_takes_the_best_first_in_row_major_order(importance: NDArray[np.float32], fraction: float) -> None:
    chosen = top_blocks(importance, fraction)
    order = sorted(range(importance.size), key=lambda index: (-importance.flat[index], index))
    expected = set(order[: chosen.sum()])
    assert set(np.flatnonzero(chosen)) == expected
    assert 0 <= chosen.sum() - fraction * importance.size < 1 + 1e-9


@pytest.mark.parametrize(
    ("fraction", "size", "count"),
    [(0, 100, 0), (0.07, 100, 7), (0.2, 920, 184), (0.1, 30, 3), (0.001, 30, 1), (1, 30, 30), (0.29, 100, 29)],
)
def test_top_blocks_counts_by_the_decimal_fraction(fraction: float, size: int, count: int) -> None:
    assert top_blocks(np.zeros((1, size), np.float32), fraction).sum() == count


@pytest.mark.parametrize("fraction", [-0.1, 1.01, 20, math.nan])
def test_top_blocks_refuses_other_fractions(fraction: float) -> None:
    with pytest.raises(OptionError, match="fraction"):
        top_blocks(np.zeros((2, 2), np.float32), fraction)


@settings(max_examples=40, deadline=None)
@given(SIZES, SIZES, st.integers(1, 4), NAMES)
def test_rectangles_cover_every_pixel_once_by_its_own_block(
    height: int, width: int, scale: int, name: GridName
) -> None:
    grid = Grid(height, width, scale, 16, name)
    covered = np.full((height, width), -1)
    numbers = np.arange(grid.rows * grid.cols).reshape(grid.rows, grid.cols)
    rectangles = block_rectangles(grid)
    for number, (x, y, w, h) in zip(numbers.ravel(), rectangles.reshape(-1, 4), strict=True):
        assert (covered[y : y + h, x : x + w] == -1).all()
        covered[y : y + h, x : x + w] = number
    np.testing.assert_array_equal(covered, grid.upsample(numbers))
