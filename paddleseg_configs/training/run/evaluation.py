"""Evaluate a model on a split: levels of macroblocks, and selection of the most important ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import paddle
from numpy.typing import NDArray

from deploy.core.errors import DatasetError
from deploy.core.progress import track
from deploy.core.tables import Table
from labeling.dataset.manifest import Manifest
from labeling.maths.rank_correlation import known_mean, rank_correlation
from paddleseg_configs.training.data.loading import load_batches
from paddleseg_configs.training.models import metrics
from paddleseg_configs.training.models.block_logits import block_labels, block_logits


@dataclass(frozen=True)
class Evaluation:
    """Results of a model on a split."""

    num_frames: int
    """Number of frames in the split."""
    mean_iou: float
    """Mean intersection over union over the levels that occur."""
    pixel_accuracy: float
    """Share of macroblocks at the correct level. The name is historical."""
    mean_level_error: float
    """Mean absolute difference of levels."""
    quadratic_kappa: float
    """Cohen's kappa with quadratic weights."""
    top_block_recall: float
    """Mean recall of the 20 % most important macroblocks of a frame; nan if no frame has more than one level."""
    rank_correlation: float
    """Mean Spearman correlation of the expected level with the raw importance, over the macroblocks of a frame."""
    level_recall: tuple[float, ...]
    """Recall of each level; nan for a level that does not occur."""

    def figures(self) -> dict[str, float]:
        """The scalar metrics by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, float)}

    def as_json(self) -> dict[str, object]:
        """All fields, with None for nan, which JSON lacks."""
        return {
            "num_frames": self.num_frames,
            **{name: _none_if_nan(value) for name, value in self.figures().items()},
            "level_recall": [_none_if_nan(value) for value in self.level_recall],
        }

    def table(self) -> str:
        """The numbers as lines of text."""
        figures = [
            *self.figures().items(),
            *((f"recall of level {n}", value) for n, value in enumerate(self.level_recall)),
        ]
        return Table(
            "", ("frames", str(self.num_frames)), tuple((name, f"{value:.4f}") for name, value in figures)
        ).text()


METRIC_NAMES = ("mean_iou", "pixel_accuracy", "quadratic_kappa", "top_block_recall", "rank_correlation")
"""Fields by which the best model can be chosen: single numbers, higher is better."""


def evaluate(model: Any, dataset: Any, *, batch_size: int = 4, num_workers: int = 0) -> Evaluation:
    """Run `model` over a `MacroblockLevels` dataset, in evaluation mode.

    Raises:
        DatasetError: the split has no frames.
    """
    require_frames(dataset)
    levels = dataset.manifest.num_levels
    confusion, expected = np.zeros((levels, levels), np.int64), []
    label_blocks: list[NDArray[Any]] = []
    plan = [range(first, min(first + batch_size, len(dataset))) for first in range(0, len(dataset), batch_size)]
    loaded = load_batches(dataset, plan, num_workers)
    numbered = zip(plan, loaded, strict=True)
    for indices, (images, labels) in track(numbered, total=len(plan), label=f"evaluating {dataset.mode}", unit="batch"):
        truth = block_labels(labels, dataset.manifest.make_grid()).numpy()
        probabilities = block_probabilities(model, images, dataset.manifest)
        confusion += metrics.confusion_of(truth, probabilities.argmax(1), levels)
        for index, predicted, label in zip(indices, expected_levels(probabilities), truth, strict=True):
            grid = dataset.grid(index)
            blocks = slice(grid.rows), slice(grid.cols)  # without the padding
            expected.append(predicted[blocks])
            label_blocks.append(label[blocks])
    importance = [dataset.importance(index) for index in range(len(dataset))]
    return Evaluation(
        num_frames=len(dataset),
        mean_iou=metrics.mean_iou(confusion),
        pixel_accuracy=metrics.pixel_accuracy(confusion),
        mean_level_error=metrics.mean_level_error(confusion),
        quadratic_kappa=metrics.quadratic_kappa(confusion),
        top_block_recall=known_mean(map(metrics.top_block_recall, label_blocks, expected)),
        rank_correlation=known_mean(map(rank_correlation, importance, expected)),
        level_recall=metrics.level_recall(confusion),
    )


def require_frames(dataset: Any) -> None:
    """Raise DatasetError if a split is empty."""
    if not len(dataset):
        raise DatasetError(f"the {dataset.mode} split has no frames", hint="Label more videos, or use another split.")


def predict_probabilities(model: Any, images: paddle.Tensor) -> NDArray[np.float32]:
    """(N, 3, H, W) normalized images -> (N, L, H, W) float32 level probabilities, in evaluation mode."""
    with _evaluating(model):
        probabilities: NDArray[np.float32] = paddle.nn.functional.softmax(model(images)[0], axis=1).numpy()
    return probabilities


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Evaluation mode without gradients."""
    was_training = model.training
    model.eval()
    try:
        with paddle.no_grad():
            yield
    finally:
        if was_training:
            model.train()


def block_probabilities(model: Any, images: paddle.Tensor, manifest: Manifest) -> NDArray[np.float32]:
    """(N, 3, H, W) normalized images of the dataset's size -> (N, L, rows, cols) float32, as in deployment."""
    with _evaluating(model):
        blocks = block_logits(model, images, manifest.make_grid(), manifest.num_levels)[0]
        probabilities: NDArray[np.float32] = paddle.nn.functional.softmax(blocks, axis=1).numpy()
    return probabilities


def expected_levels(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """(..., L, H, W) probabilities -> (..., H, W) float32 expected level, in 0..L - 1."""
    levels = np.arange(probabilities.shape[-3], dtype=np.float32)
    expected: NDArray[np.float32] = np.einsum("...lhw,l->...hw", probabilities, levels)
    return expected


def _none_if_nan(value: float) -> float | None:
    return None if math.isnan(value) else value
