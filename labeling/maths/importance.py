"""Importance of each macroblock to the detector, from a few forward and backward passes (docs/algorithm.md)."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deploy.core.errors import WeightsError
from deploy.core.grid import Grid
from labeling.maths.accuracy import Accuracy

Variant = Literal["delta", "gradient", "path"]
Norm = Literal[1, 2]


def accuracy_gradient(accuracy: Accuracy, image: Tensor) -> tuple[Tensor, int]:
    """Gradient of the accuracy with respect to the pixels.

    Args:
        accuracy: accuracy of a detector, see `labeling.maths.accuracy`.
        image: (1, 3, H, W) float RGB in [0, 1].

    Returns:
        (3, H, W) gradient per unit intensity, and the number of detections. The gradient is zero if nothing is found.

    Raises:
        WeightsError: something is found, but its scores do not depend on the pixels.
    """
    pixels = image.detach().clone().requires_grad_(True)
    value, num_detections = accuracy(pixels)
    if not value.requires_grad and not num_detections:
        return torch.zeros_like(pixels[0]), 0
    (gradient,) = torch.autograd.grad(value, pixels, allow_unused=True) if value.requires_grad else (None,)
    if gradient is None:
        raise WeightsError(
            "the detector's scores do not depend on the frame's pixels: there is no gradient to label with",
            hint="Remove detach, no_grad, argmax, rounding and numpy from its computation of the scores.",
        )
    return gradient[0], num_detections


def path_gradient(accuracy: Accuracy, start: Tensor, end: Tensor, steps: int) -> tuple[Tensor, int]:
    """Mean gradient on the straight path between two frames, at the midpoints of `steps` equal parts.

    Its product with ``end - start`` splits the change of the accuracy among the pixels (integrated gradients,
    Sundararajan et al., ICML 2017).

    Args:
        accuracy: accuracy of a detector.
        start: (1, 3, H, W) the IN frame.
        end: (1, 3, H, W) the SR frame.
        steps: number of gradients to average.

    Returns:
        (3, H, W) mean gradient, and the number of detections at the first point.
    """
    total, first_count = torch.zeros_like(start[0]), 0
    for step in range(steps):
        gradient, count = accuracy_gradient(accuracy, torch.lerp(start, end, (step + 0.5) / steps))
        total += gradient
        first_count = first_count if step else count
    return total / steps, first_count


def block_importance(
    gradient: Tensor, interpolated: Tensor, super_resolved: Tensor, grid: Grid, variant: Variant, norm: Norm = 1
) -> NDArray[np.float32]:
    """First-order estimate of how much the accuracy depends on each block.

    ``delta``: sum over the block's pixels of |g| * |SR - IN|, in units of accuracy.
    ``gradient``: sum over the block's pixels of |g|, in accuracy per unit intensity.
    ``path``: sum over the block's pixels and channels of g * (SR - IN), with its sign: negative where enhancing harms.

    Args:
        gradient: (3, H, W) gradient of the accuracy, at SR size; for ``path`` its mean over the path.
        interpolated: (3, H, W) the LR frame enlarged by interpolation, in [0, 1].
        super_resolved: (3, H, W) the LR frame after super-resolution, in [0, 1].
        grid: the blocks; H and W are its frame's size times its scale.
        variant: which of these to compute.
        norm: |.| of a pixel is the sum of the channels' magnitudes (1) or their Euclidean length (2).

    Returns:
        (rows, cols) float32; negative only for ``path``.
    """
    if variant == "path":
        weight = (gradient * (super_resolved - interpolated)).sum(dim=0)
    else:
        weight = _magnitude(gradient, norm)
        if variant == "delta":
            weight = weight * _magnitude(super_resolved - interpolated, norm)
    return grid.sum_sr(weight.cpu().numpy()).astype(np.float32)


def _magnitude(pixels: Tensor, norm: Norm) -> Tensor:
    """(3, H, W) -> (H, W); forty times faster on a CPU than ``torch.linalg.vector_norm`` over the first axis."""
    return pixels.abs().sum(dim=0) if norm == 1 else pixels.square().sum(dim=0).sqrt()
