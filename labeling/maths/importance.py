"""How much each macroblock matters to the detector, by one forward and one backward pass (docs/algorithm.md)."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deploy.core.grid import Grid
from labeling.detectors.base import Detector

Variant = Literal["delta", "gradient"]


def accuracy_gradient(detector: Detector, image: Tensor) -> tuple[Tensor, int]:
    """Gradient of the sum of detection scores with respect to the pixels.

    Args:
        detector: any `Detector`.
        image: (1, 3, H, W) float RGB in [0, 1].

    Returns:
        (3, H, W) gradient in score per unit intensity, and the number of detections. Without detections it is zero.
    """
    pixels = image.detach().clone().requires_grad_(True)
    scores = detector.detect(pixels)[0].scores
    if len(scores) == 0:
        return torch.zeros_like(pixels[0]), 0
    (gradient,) = torch.autograd.grad(scores.sum(), pixels)
    return gradient[0], len(scores)


def block_importance(
    gradient: Tensor, interpolated: Tensor, super_resolved: Tensor, grid: Grid, variant: Variant
) -> NDArray[np.float32]:
    """First-order estimate of how much the accuracy depends on each block.

    ``delta``: sum over the block's pixels of (sum_c |g_c|) * (sum_c |SR_c - IN_c|), in score.
    ``gradient``: sum over the block's pixels of sum_c |g_c|, in score per unit intensity.

    Args:
        gradient: (3, H, W) of the accuracy, on the SR frame's size.
        interpolated: (3, H, W) the LR frame enlarged by interpolation, in [0, 1].
        super_resolved: (3, H, W) its super-resolved twin, in [0, 1].
        grid: the blocks; H and W are its frame's size times its scale.
        variant: which of the two.

    Returns:
        (rows, cols) float32, not negative.
    """
    weight = gradient.abs().sum(dim=0)
    if variant == "delta":
        weight = weight * (super_resolved - interpolated).abs().sum(dim=0)
    return grid.sum_sr(weight.cpu().numpy()).astype(np.float32)
