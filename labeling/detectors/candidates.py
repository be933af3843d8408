"""Turn scored boxes into detections; shared by the adapters of detection libraries."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from deploy.detectors.detections import MAX_CANDIDATES, require_scores
from labeling.detectors.base import Detections


def select_detections(
    boxes: Tensor,
    scores: Tensor,
    kept_classes: Tensor,
    size: tuple[int, int],
    least_score: float,
    *,
    nms_iou: float = 0.5,
) -> Detections:
    """Apply the threshold, clip to the frame, and suppress boxes that overlap a better box of their class.

    Args:
        boxes: (K, 4) x0, y0, x1, y1 in pixels of the frame.
        scores: (K, C) of the kept classes, differentiable, in [0, 1].
        kept_classes: (C,) index of each column's class in the detector's names.
        size: height and width of the frame in pixels.
        least_score: drop candidates with a lower score.
        nms_iou: IoU above which a box is suppressed.

    Raises:
        WeightsError: scores are outside [0, 1].
    """
    if scores.numel():
        require_scores(*(float(value) for value in scores.detach().aminmax()))
    box, column = (scores.detach() >= least_score).nonzero(as_tuple=True)
    best = scores.detach()[box, column].argsort(descending=True, stable=True)[:MAX_CANDIDATES]
    box, column = box[best], column[best]
    height, width = size
    limits = torch.tensor([width, height, width, height], dtype=torch.float32, device=boxes.device)
    corners = boxes.detach()[box].float().clamp(min=0).minimum(limits)
    chosen = scores[box, column]
    kept = batched_nms(corners, chosen.detach().float(), column, nms_iou)
    kept = kept[(corners[kept, 2:] > corners[kept, :2]).all(dim=1)]
    return Detections(corners[kept], chosen[kept], kept_classes.to(column.device)[column[kept]])
