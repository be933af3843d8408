"""Metrics against scikit-learn, and the weights of levels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import accuracy_score, cohen_kappa_score, confusion_matrix, jaccard_score, recall_score

from deploy.core.errors import DatasetError
from labeling.maths.rank_correlation import known_mean, rank_correlation
from paddleseg_configs.training.config.level_weights import MAX_RATIO, level_weights
from paddleseg_configs.training.models import metrics


@pytest.mark.parametrize("num_levels", [2, 5, 20])
@pytest.mark.parametrize("seed", range(3))
def test_metrics_equal_scikit_learn(num_levels: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    present = random.permutation(num_levels)[: max(2, num_levels - 2)]
    truth = random.choice(present, 500)
    guess = np.where(random.random(500) < 0.6, truth, random.choice(present, 500))
    confusion = metrics.confusion_of(truth.reshape(20, 25), guess.reshape(20, 25), num_levels)
    levels = list(range(num_levels))
    assert np.array_equal(confusion, confusion_matrix(truth, guess, labels=levels))
    kappa = cohen_kappa_score(truth, guess, labels=levels, weights="quadratic")
    assert metrics.quadratic_kappa(confusion) == pytest.approx(kappa)
    assert metrics.pixel_accuracy(confusion) == pytest.approx(accuracy_score(truth, guess))
    assert metrics.mean_iou(confusion) == pytest.approx(jaccard_score(truth, guess, average="macro"))
    assert metrics.mean_level_error(confusion) == pytest.approx(np.abs(truth - guess).mean())
    recalls = recall_score(truth, guess, labels=levels, average=None, zero_division=np.nan)
    assert np.allclose(metrics.level_recall(confusion), recalls, equal_nan=True)


def test_metrics_of_nothing_and_of_one_level() -> None:
    empty, constant = np.zeros((3, 3), np.int64), np.diag([5, 0, 0]).astype(np.int64)
    assert math.isnan(metrics.mean_iou(empty)) and math.isnan(metrics.pixel_accuracy(empty))
    assert math.isnan(metrics.quadratic_kappa(empty)) and math.isnan(metrics.mean_level_error(empty))
    assert metrics.mean_iou(constant) == 1
    assert metrics.quadratic_kappa(constant) == 0


@pytest.mark.parametrize(
    ("label", "predicted", "expected"),
    [
        ([4, 3, 0, 0, 0, 0, 0, 0, 0, 0], [9, 8, 0, 0, 0, 0, 0, 0, 0, 0], 1.0),
        ([4, 3, 0, 0, 0, 0, 0, 0, 0, 0], [9, 0, 8, 0, 0, 0, 0, 0, 0, 0], 0.5),
        ([4, 3, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 8, 9, 0, 0, 0, 0, 0, 0], 0.0),
        # Any of the tied blocks will do, but the one above them must be there.
        ([4, 3, 3, 3, 0, 0, 0, 0, 0, 0], [5, 0, 0, 4, 0, 0, 0, 0, 0, 0], 1.0),
        ([4, 3, 3, 3, 0, 0, 0, 0, 0, 0], [0, 5, 4, 0, 0, 0, 0, 0, 0, 0], 0.5),
    ],
)
def test_top_block_recall(label: list[float], predicted: list[float], expected: float) -> None:
    assert metrics.top_block_recall(np.array(label), np.array(predicted)) == expected


def test_top_block_recall_of_equal_blocks_says_nothing() -> None:
    assert math.isnan(metrics.top_block_recall(np.zeros((2, 3)), np.arange(6.0).reshape(2, 3)))


@given(st.lists(st.integers(0, 4), min_size=2, max_size=60).filter(lambda levels: len(set(levels)) > 1))
def test_labels_choose_themselves(levels: list[int]) -> None:
    label = np.array(levels, float)
    assert metrics.top_block_recall(label, label) == 1


@given(st.lists(st.integers(0, 10**7), min_size=2, max_size=20).filter(any))
def test_level_weights_have_mean_one_and_favour_rare_levels(histogram: list[int]) -> None:
    weights = np.array(level_weights(histogram))
    counts = np.array(histogram)
    present = counts > 0
    assert np.isclose(weights[present].mean(), 1, atol=1e-5)
    assert not weights[~present].any()
    assert weights[present].max() <= weights[present].min() * MAX_RATIO * 1.001
    order = np.argsort(counts[present], kind="stable")
    assert (np.diff(weights[present][order]) <= 1e-6).all()


def test_level_weights_of_nothing() -> None:
    assert level_weights((90, 10, 0)) == (0.5, 1.5, 0.0)
    with pytest.raises(DatasetError, match="no label pixels"):
        level_weights((0, 0))


@pytest.mark.parametrize("seed", range(3))
def test_rank_correlation_is_spearmans(seed: int) -> None:
    random = np.random.default_rng(seed)
    importance, guess = random.normal(size=(9, 16)), random.integers(0, 5, (9, 16)).astype(float)
    expected = spearmanr(importance.ravel(), guess.ravel()).statistic
    assert rank_correlation(importance, guess) == pytest.approx(expected)
    assert math.isnan(rank_correlation(importance, np.zeros((9, 16))))


def test_known_mean_leaves_out_what_is_not_defined() -> None:
    assert known_mean([1.0, math.nan, 3.0]) == 2
    assert math.isnan(known_mean([math.nan]))
