"""Enhance selected macroblocks and run the detector; shared by every evaluation of rankings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deploy.core.grid import Grid
from deploy.detectors.matching import Boxes
from deploy.prediction.postprocess import top_blocks
from labeling.detectors import Detections, Detector

BATCH = 5
FoundBoxes = dict[tuple[str, float], Boxes]
"""(method, budget) -> the detections with the method's top blocks enhanced."""


def enhance_blocks(interpolated: Tensor, sr: Tensor, blocks: NDArray[np.bool_], grid: Grid) -> Tensor:
    """Combine SR pixels in the selected blocks with interpolated pixels elsewhere: (1, 3, H, W)."""
    return torch.where(torch.from_numpy(grid.upsample_to_sr(blocks)).to(sr.device), sr, interpolated)


def detect_boxes(detector: Detector, images: Tensor) -> list[Boxes]:
    """Run the detector on (N, 3, H, W) frames; returns arrays."""
    with torch.no_grad():
        return [as_boxes(found) for found in detector.detect(images)]


def as_boxes(found: Detections) -> Boxes:
    """Convert detections to arrays."""
    return Boxes(found.boxes.cpu().numpy(), found.classes.cpu().numpy())


def detect_enhanced(
    rankings: Mapping[str, NDArray[np.float64]],
    budgets: Sequence[float],
    detector: Detector,
    interpolated: Tensor,
    sr: Tensor,
    grid: Grid,
) -> FoundBoxes:
    """Detect with the top blocks of each ranking enhanced. Rankings with the same top blocks share a detection.

    Args:
        rankings: method -> (rows, cols), enhanced in descending order.
        budgets: shares of blocks to enhance.
        detector: the object detector.
        interpolated: (1, 3, H, W) the IN frame.
        sr: (1, 3, H, W) the SR frame.
        grid: the blocks.

    Returns:
        Detections of every method at every budget, and at 0 and 1.
    """
    chosen = {
        (method, budget): top_blocks(ranking.astype(np.float32), budget)
        for method, ranking in rankings.items()
        for budget in budgets
    }
    distinct = {blocks.tobytes(): blocks for blocks in chosen.values()}
    masks = list(distinct)
    found: dict[bytes, Boxes] = {}
    for first in range(0, len(masks), BATCH):
        batch = masks[first : first + BATCH]
        mixed = torch.cat([enhance_blocks(interpolated, sr, distinct[mask], grid) for mask in batch])
        found |= zip(batch, detect_boxes(detector, mixed), strict=True)
    none, everything = detect_boxes(detector, torch.cat([interpolated, sr]))
    ends = {(method, budget): boxes for method in rankings for budget, boxes in ((0.0, none), (1.0, everything))}
    return {key: found[blocks.tobytes()] for key, blocks in chosen.items()} | ends
