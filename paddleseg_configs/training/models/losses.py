"""Losses over importance levels: one that ignores their order, two that use it, and regression.

All take (N, L, H, W) float32 logits and (N, H, W) int64 levels, and average over positions, weighted by level. In
training, positions are macroblocks (`paddleseg_configs.training.models.block_logits`). Positions with `ignore_index`
are ignored.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import paddle
from numpy.typing import NDArray
from paddle.nn import functional
from paddleseg.cvlibs import manager

from deploy.core.errors import OptionError
from deploy.core.ranges import require_range
from labeling.dataset.layout import IGNORE_LEVEL


class LevelLoss(paddle.nn.Layer):
    """Base class: weighted average of a loss per pixel, which subclasses define.

    Args:
        weight: one weight per level; in a configuration, ``manifest`` means `level_weights` of the training split.
        ignore_index: label to ignore.
    """

    def __init__(self, weight: Sequence[float] | None = None, ignore_index: int = IGNORE_LEVEL) -> None:
        super().__init__()
        self.weight = None if weight is None else paddle.to_tensor(list(weight), dtype="float32")
        self.ignore_index = ignore_index

    def forward(self, logits: paddle.Tensor, levels: paddle.Tensor) -> paddle.Tensor:
        """(N, L, H, W) float32 logits and (N, H, W) int64 levels -> scalar."""
        if list(logits.shape[2:]) != list(levels.shape[1:]):
            raise OptionError(
                f"{type(self).__name__} got an output of {logits.shape} for levels of {levels.shape}",
                hint="This output of the model needs another loss at its position in loss.types (DetailAggregateLoss).",
            )
        counts = levels != self.ignore_index
        known = paddle.where(counts, levels, paddle.zeros_like(levels))
        weight = counts.astype("float32")
        if self.weight is not None:
            weight = weight * self.weight[known]
        return (self.by_pixel(logits, known) * weight).sum() / weight.sum().clip(min=1e-12)

    def by_pixel(self, logits: paddle.Tensor, levels: paddle.Tensor) -> paddle.Tensor:
        """(N, L, H, W) logits and (N, H, W) levels -> (N, H, W) loss per pixel."""
        raise NotImplementedError


@manager.LOSSES.add_component
class LevelCrossEntropy(LevelLoss):
    """Cross-entropy, which treats all wrong levels alike."""

    def by_pixel(self, logits: paddle.Tensor, levels: paddle.Tensor) -> paddle.Tensor:
        """See `LevelLoss.by_pixel`."""
        return functional.cross_entropy(logits, levels, axis=1, reduction="none").squeeze(1)


@manager.LOSSES.add_component
class SoftLevelCrossEntropy(LevelLoss):
    """Cross-entropy with targets spread over neighboring levels (SORD; Diaz and Marathe, CVPR 2019).

    Level k of a pixel labeled y gets a share proportional to exp(-(k - y)^2 / (2 sigma^2)).

    Args:
        sigma: spread in levels.
        weight: see `LevelLoss`.
        ignore_index: see `LevelLoss`.
    """

    def __init__(
        self, sigma: float = 1.0, weight: Sequence[float] | None = None, ignore_index: int = IGNORE_LEVEL
    ) -> None:
        super().__init__(weight, ignore_index)
        require_range("sigma", sigma, 0, open_ends=True, hint="Use 1.")
        self.sigma = sigma

    def by_pixel(self, logits: paddle.Tensor, levels: paddle.Tensor) -> paddle.Tensor:
        """See `LevelLoss.by_pixel`."""
        targets = paddle.to_tensor(soft_targets(logits.shape[1], self.sigma))[levels].transpose([0, 3, 1, 2])
        return -(targets * functional.log_softmax(logits, axis=1)).sum(1)


@manager.LOSSES.add_component
class RankedProbability(LevelLoss):
    """Ranked probability score (Epstein 1969): squared distance of the cumulative distributions, over L - 1.

    An error of two levels costs more than an error of one; the true probabilities minimize the expected score.
    """

    def by_pixel(self, logits: paddle.Tensor, levels: paddle.Tensor) -> paddle.Tensor:
        """See `LevelLoss.by_pixel`."""
        num_levels = logits.shape[1]
        at_most = functional.softmax(logits, axis=1).cumsum(axis=1)[:, :-1]
        thresholds = paddle.arange(num_levels - 1).reshape([1, -1, 1, 1])
        reached = (levels.unsqueeze(1) <= thresholds).astype("float32")
        return (at_most - reached).square().mean(1)


@manager.LOSSES.add_component
class ExpectedLevelError(LevelLoss):
    """Regression: squared error of the expected level, on a scale on which the levels span [0, 1]."""

    def by_pixel(self, logits: paddle.Tensor, levels: paddle.Tensor) -> paddle.Tensor:
        """See `LevelLoss.by_pixel`."""
        values = paddle.linspace(0, 1, logits.shape[1]).reshape([1, -1, 1, 1])
        expected = (functional.softmax(logits, axis=1) * values).sum(1)
        error: paddle.Tensor = expected - levels.astype("float32") / (logits.shape[1] - 1)
        return error.square()


def soft_targets(num_levels: int, sigma: float) -> NDArray[np.float32]:
    """(L, L) float32: row y is the target distribution of a pixel labeled y."""
    levels = np.arange(num_levels)
    shares = np.exp(-((levels[:, None] - levels[None, :]) ** 2) / (2 * sigma**2))
    targets: NDArray[np.float32] = (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)
    return targets
