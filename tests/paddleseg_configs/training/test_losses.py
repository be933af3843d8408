"""Losses that know the order of levels, against a plain reference, and augmentation that keeps the geometry."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import paddle
import pytest

from deploy.core.errors import OptionError
from deploy.core.grid import Grid
from paddleseg_configs.training.data.augmentation import (
    AlignedHorizontalFlip,
    AlignedShift,
    CodecNoise,
    fit_to_grid,
    shifted,
)
from paddleseg_configs.training.models import losses

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(size=(2, 4, 3, 5)).astype(np.float32)
LEVELS = RANDOM.integers(0, 4, (2, 3, 5))
WEIGHT = [0.5, 2.0, 1.0, 0.25]
KNOWN = [losses.LevelCrossEntropy, losses.SoftLevelCrossEntropy, losses.RankedProbability, losses.ExpectedLevelError]


def reference(kind: type, probabilities: Any, level: int) -> float:
    """The loss of one pixel, by its definition."""
    levels = np.arange(len(probabilities))
    if kind is losses.LevelCrossEntropy:
        return float(-np.log(probabilities[level]))
    if kind is losses.SoftLevelCrossEntropy:
        target = np.exp(-((levels - level) ** 2) / 2)
        return float(-(target / target.sum() * np.log(probabilities)).sum())
    if kind is losses.RankedProbability:
        return float(((probabilities.cumsum() - (levels >= level)) ** 2)[:-1].mean())
    return float(((probabilities * levels).sum() - level) / (len(levels) - 1)) ** 2


@pytest.mark.parametrize("kind", KNOWN)
def test_losses_follow_their_definitions(kind: type) -> None:
    levels = LEVELS.copy()
    levels[0, 0, :2] = losses.IGNORE_LEVEL
    probabilities = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
    total, weights = 0.0, 0.0
    for frame, row, col in np.argwhere(levels != losses.IGNORE_LEVEL):
        level = levels[frame, row, col]
        total += WEIGHT[level] * reference(kind, probabilities[frame, :, row, col].astype(float), level)
        weights += WEIGHT[level]
    found = kind(weight=WEIGHT)(paddle.to_tensor(LOGITS), paddle.to_tensor(levels))
    assert float(found) == pytest.approx(total / weights, rel=1e-4)


@pytest.mark.parametrize("kind", KNOWN[1:])
def test_far_misses_cost_more_only_where_order_is_known(kind: type) -> None:
    def loss_of(predicted: int, loss: type) -> float:
        logits = np.full((1, 4, 1, 1), -4, np.float32)
        logits[0, predicted] = 4
        return float(loss()(paddle.to_tensor(logits), paddle.to_tensor(np.zeros((1, 1, 1), np.int64))))

    costs = [loss_of(predicted, kind) for predicted in range(4)]
    assert costs == sorted(costs) and costs[3] > costs[2] + 1e-3 > costs[1]
    assert loss_of(1, losses.LevelCrossEntropy) == pytest.approx(loss_of(3, losses.LevelCrossEntropy))


def test_bad_losses_are_refused() -> None:
    with pytest.raises(OptionError, match="sigma=0"):
        losses.SoftLevelCrossEntropy(sigma=0)
    with pytest.raises(OptionError, match="for levels of"):
        losses.RankedProbability()(paddle.zeros([1, 4, 3, 5]), paddle.zeros([1, 6, 10], "int64"))
    nothing = losses.RankedProbability()(paddle.zeros([1, 4, 1, 1]), paddle.full([1, 1, 1], 255, "int64"))
    assert float(nothing) == 0


def sample(height: int, width: int) -> dict[str, Any]:
    label = RANDOM.integers(0, 9, (-(-height // 16), -(-width // 16))).repeat(16, 0).repeat(16, 1)[:height, :width]
    return {"img": RANDOM.random((height, width, 3)).astype(np.float32) * 255, "label": label, "gt_fields": ["label"]}


@pytest.mark.parametrize(("rows", "cols"), [(0, 0), (16, 0), (-32, 16), (0, -16), (64, 0), (0, -96)])
def test_shift_moves_frame_and_label_alike(rows: int, cols: int) -> None:
    pixels = np.arange(48 * 64).reshape(48, 64)
    moved = shifted(pixels, rows, cols, -1)
    for row in range(48):
        for col in range(64):
            inside = 0 <= row - rows < 48 and 0 <= col - cols < 64
            assert moved[row, col] == (pixels[row - rows, col - cols] if inside else -1)


def test_shift_keeps_macroblocks_whole() -> None:
    shift = AlignedShift(max_blocks=1, prob=1.0)
    fit_to_grid(shift, Grid(height_px=48, width_px=64, scale=3))
    random.seed(3)
    data = [shift(sample(48, 64)) for _ in range(8)]
    assert any((item["label"] == losses.IGNORE_LEVEL).any() for item in data)
    for item in data:
        blocks = item["label"].reshape(3, 16, 4, 16)
        assert (blocks == blocks[:, :1, :, :1]).all()
        assert ((item["label"] == losses.IGNORE_LEVEL) == (item["img"] == 127.5).all(-1)).all()


def test_shift_rests_where_a_block_is_no_whole_number_of_pixels() -> None:
    shift, still = AlignedShift(prob=1.0), sample(48, 64)
    fit_to_grid(shift, Grid(height_px=48, width_px=64, scale=3, name="sr"))
    assert np.array_equal(shift(dict(still))["img"], still["img"])


def test_codec_noise_changes_pixels_a_little_and_labels_not_at_all() -> None:
    ramp = np.linspace(0, 255, 64 * 3).reshape(1, 64, 3).repeat(48, 0).astype(np.float32)
    data = CodecNoise(quality=[20, 40], prob=1.0)({"img": ramp, "label": np.ones((48, 64)), "gt_fields": ["label"]})
    assert data["img"].dtype == np.float32 and data["img"].shape == ramp.shape
    assert 0 < np.abs(data["img"] - ramp).mean() < 12
    assert (data["label"] == 1).all()
    with pytest.raises(OptionError, match="quality"):
        CodecNoise(quality=[90, 30])


def test_other_transforms_are_refused() -> None:
    with pytest.raises(OptionError, match="between macroblocks"):
        fit_to_grid(object(), Grid(height_px=48, width_px=64))
    fit_to_grid(AlignedHorizontalFlip(), Grid(height_px=48, width_px=64))
