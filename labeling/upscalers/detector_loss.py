"""How far a detector's answer on super-resolved frames is from its answer on the true ones, as a loss.

The answer is that of all places before suppression (`labeling.detectors.places`), so that every object, near-miss and
false alarm counts, also where nothing is detected. The detector's own weights do not learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import generalized_box_iou_loss

from deploy.core.errors import OptionError
from labeling.detectors import create_detector
from labeling.detectors.places import DenseDetector

_LEAST_SCORE = 0.1
"""Boxes of places that score less on the true frame are not compared."""
_FIXED_WHERE = "onnx files and centernet"


def open_dense_detectors(names: Sequence[str]) -> list[DenseDetector]:
    """Detectors by their registry name, or by the path of an ONNX file.

    Raises:
        RegenError: unknown, unusable, or without an answer before suppression.
    """
    detectors = []
    for name in names:
        weights = Path(name) if name.endswith(".onnx") else None
        detector = create_detector("onnx" if weights else name, weights=weights)
        if not isinstance(detector, DenseDetector):
            raise OptionError(
                f"detectors={name} gives no answer before suppression to learn from", hint=f"Use {_FIXED_WHERE}."
            )
        detectors.append(detector)
    return detectors


def detector_loss(detector: DenseDetector, sr: Tensor, hr: Tensor) -> Tensor:
    """Quality focal loss of the scores (Li et al., Generalized Focal Loss, 2020) plus 1 - GIoU of the boxes.

    Args:
        detector: whose answer counts. It sees the batch as one mosaic.
        sr: (N, 3, H, W) float RGB in [0, 1].
        hr: the true frames, likewise; what the detector says of them is the target.

    Returns:
        A scalar: both terms summed over places and divided by the sum of the target's scores.
    """
    with torch.no_grad():
        target = detector.places(mosaic(hr))
    found = detector.places(mosaic(sr))
    wanted = target.scores.float().clamp(0, 1)
    scores = found.scores.float().clamp(1e-6, 1 - 1e-6)
    entropy = functional.binary_cross_entropy(scores, wanted, reduction="none")
    focal = ((wanted - scores).abs().square() * entropy).sum()
    weight = wanted.amax(dim=1)
    objects = weight >= _LEAST_SCORE
    off: Tensor = generalized_box_iou_loss(found.boxes[objects].float(), target.boxes[objects].float())
    return (focal + (weight[objects] * off).sum()) / weight[objects].sum().clamp(min=1.0)


def mosaic(images: Tensor) -> Tensor:
    """(N, C, H, W) -> (1, C, rows H, cols W), as square as N allows; a cell without image is black."""
    count = len(images)
    cols = int(torch.tensor(count).sqrt().ceil())
    rows = -(-count // cols)
    padded = functional.pad(images, (0, 0, 0, 0, 0, 0, 0, rows * cols - count))
    _, channels, height, width = images.shape
    grid = padded.view(rows, cols, channels, height, width).permute(2, 0, 3, 1, 4)
    return grid.reshape(1, channels, rows * height, cols * width)


def object_centers(detector: DenseDetector, hr: Tensor, least_score: float = 0.3) -> Tensor:
    """(K, 2) x, y in pixels of what is found in a frame (1, 3, H, W), duplicates included."""
    with torch.no_grad():
        places = detector.places(hr)
    boxes = places.boxes[places.scores.amax(dim=1) >= least_score]
    return (boxes[:, :2] + boxes[:, 2:]) / 2
