"""Normalization and levels: monotone, invertible, and right at both ends."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from labeling.dataset.manifest import Calibration
from labeling.maths.quantise import CLIP_PERCENTILE, Curve, fit_knots, level_edges, normalise, to_levels

CURVES: tuple[Curve, ...] = get_args(Curve)
LEVELS = st.integers(2, 255)
# What labeling writes: float32, many zeros, many ties, or spread over many decades.
IMPORTANCE = st.one_of(
    arrays(np.float32, st.integers(1, 60), elements=st.sampled_from([0, 0, 0.25, 1, 3])),
    arrays(np.float32, st.integers(1, 60), elements=st.floats(0, 1000, width=32)),
    arrays(np.float32, st.integers(1, 60), elements=st.integers(-30, 12).map(lambda e: np.float32(10.0**e))),
)
HEAVY_TAILED = np.random.default_rng(0).lognormal(-3, 2.5, (23, 40)).astype(np.float32)


@settings(max_examples=120, deadline=None)
@given(IMPORTANCE, st.sampled_from(CURVES), LEVELS)
def test_levels_are_monotone_in_importance(importance: NDArray[np.float32], curve: Curve, num_levels: int) -> None:
    ordered = np.sort(importance)
    value = normalise(ordered, fit_knots(importance, curve))
    levels = to_levels(value, num_levels)
    assert (np.diff(value) >= 0).all() and value[0] >= 0 and value[-1] <= 1
    assert (np.diff(levels.astype(int)) >= 0).all() and levels[-1] < num_levels
    assert levels.dtype == np.uint8


@settings(max_examples=120, deadline=None)
@given(IMPORTANCE, st.sampled_from(CURVES))
def test_the_strongest_block_has_the_top_level_and_zero_the_lowest(
    importance: NDArray[np.float32], curve: Curve
) -> None:
    levels = to_levels(normalise(importance, fit_knots(importance, curve)), 10)
    assert (levels[importance == 0] == 0).all()
    if importance.max() > 0:
        assert (levels[importance == importance.max()] == 9).all()


@settings(max_examples=120, deadline=None)
@given(IMPORTANCE, st.sampled_from(CURVES))
def test_knots_are_what_the_manifest_accepts(importance: NDArray[np.float32], curve: Curve) -> None:
    raw, value = fit_knots(importance, curve)
    assert (np.diff(raw) > 0).all() and (value[0], value[-1]) == (0, 1)
    stored = Calibration(importance=tuple(raw.tolist()), value=tuple(value.tolist()))
    read = Calibration.model_validate_json(stored.model_dump_json())
    again = normalise(importance, (np.array(read.importance), np.array(read.value)))
    np.testing.assert_array_equal(again, normalise(importance, (raw, value)))


@settings(max_examples=120, deadline=None)
@given(IMPORTANCE, st.sampled_from(CURVES), LEVELS)
def test_edges_separate_the_levels(importance: NDArray[np.float32], curve: Curve, num_levels: int) -> None:
    knots = fit_knots(importance, curve)
    edges = level_edges(knots, num_levels)
    assert edges.shape == (num_levels + 1,) and (np.diff(edges) >= 0).all()
    assert (edges[0], edges[-1]) == (knots[0][0], knots[0][-1])
    value = normalise(importance, knots)
    from_edges = np.searchsorted(edges[1:-1], importance.astype(np.float64), side="right")
    # Exactly on an edge the two may round differently.
    clear = np.abs(value * num_levels - np.round(value * num_levels)) > 1e-6
    np.testing.assert_array_equal(to_levels(value, num_levels)[clear], from_edges[clear])


@pytest.mark.parametrize("num_levels", range(2, 256))
def test_levels_by_the_definition(num_levels: int) -> None:
    value = np.append(np.linspace(0, 1, 331), np.nextafter(1.0, 0.0))
    wanted = [min(math.floor(v * num_levels), num_levels - 1) for v in value]
    np.testing.assert_array_equal(to_levels(value, num_levels), wanted)
    assert to_levels(np.array([0.0, 1.0]), num_levels).tolist() == [0, num_levels - 1]
    centres = (np.arange(num_levels) + 0.5) / num_levels
    np.testing.assert_array_equal(to_levels(centres, num_levels), np.arange(num_levels))


@pytest.mark.parametrize("curve", CURVES)
def test_a_frame_without_detections_is_valid(curve: Curve) -> None:
    zero = np.zeros((23, 40), np.float32)
    knots = fit_knots(zero, curve)
    assert (to_levels(normalise(zero, knots), 10) == 0).all()
    assert np.isfinite(level_edges(knots, 10)).all()


@pytest.mark.parametrize("curve", CURVES)
def test_constant_importance(curve: Curve) -> None:
    constant = np.full(50, 0.125, np.float32)
    knots = fit_knots(constant, curve)
    value = normalise(constant, knots)
    assert len(set(value.tolist())) == 1 and value[0] == 1
    assert normalise(np.zeros(1), knots)[0] == 0


@pytest.mark.parametrize("curve", CURVES)
def test_importance_outside_what_was_fitted_is_clipped(curve: Curve) -> None:
    knots = fit_knots(HEAVY_TAILED + 1e-3, curve)
    assert normalise(np.array([0.0, 1e30]), knots).tolist() == [0, 1]


def test_curves_by_their_definitions() -> None:
    values = HEAVY_TAILED.astype(np.float64)
    low, high = values.min(), values.max()
    value = {curve: normalise(HEAVY_TAILED, fit_knots(HEAVY_TAILED, curve)) for curve in CURVES}
    np.testing.assert_allclose(value["linear"], (values - low) / (high - low), atol=1e-12)
    clip = np.percentile(values, CLIP_PERCENTILE)
    np.testing.assert_allclose(value["clipped"], np.clip((values - low) / (clip - low), 0, 1), atol=1e-12)
    log = np.log1p(values / np.median(values))
    np.testing.assert_allclose(value["log"], log / log.max(), atol=3e-3)
    rank = values.ravel().argsort().argsort().reshape(values.shape) / (values.size - 1)
    np.testing.assert_allclose(value["quantile"], rank, atol=0.011)


def test_quantiles_are_of_the_positive_blocks_and_fill_all_levels() -> None:
    importance = np.append(np.zeros(900), HEAVY_TAILED.ravel()[:100])
    levels = to_levels(normalise(importance, fit_knots(importance, "quantile")), 10)
    assert (levels[:900] == 0).all()
    assert np.abs(np.bincount(levels[900:], minlength=10) - 10).max() <= 3


def test_linear_puts_heavy_tails_into_level_0_and_quantile_does_not() -> None:
    share = {
        curve: np.mean(to_levels(normalise(HEAVY_TAILED, fit_knots(HEAVY_TAILED, curve)), 10) == 0) for curve in CURVES
    }
    assert share["linear"] > 0.95 and share["quantile"] < 0.15
