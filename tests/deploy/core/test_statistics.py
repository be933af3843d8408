"""Intervals against a loop, and what they must be."""

from __future__ import annotations

import math

import numpy as np
import pytest

from deploy.core.statistics import bootstrap_interval, middle_95, resampled_means


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


def test_resampled_means_by_a_loop() -> None:
    random = np.random.default_rng(1)
    values, groups = random.random((7, 3)), np.array([0, 0, 1, 2, 2, 2, 3])
    picks = np.random.default_rng(5).integers(4, size=(6, 4))
    expected = [np.concatenate([values[groups == group] for group in row]).mean(axis=0) for row in picks]
    np.testing.assert_allclose(resampled_means(values, groups, draws=6, seed=5), expected)
    assert bootstrap_interval(values[:, 1], groups) == middle_95(resampled_means(values, groups)[:, 1])
