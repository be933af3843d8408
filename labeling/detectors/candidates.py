"""From scored boxes to detections: what the adapters of whole detection libraries share."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from deploy.core.errors import WeightsError
from labeling.detectors.base import Detections

MAX_CANDIDATES = 5000
SCORE_TOLERANCE = 1e-3


def select_detections(
    boxes: Tensor,
    scores: Tensor,
    kept_classes: Tensor,
    size: tuple[int, int],
    least_score: float,
    *,
    nms_iou: float = 0.5,
) -> Detections:
    """Threshold, clip to the frame, and suppress what overlaps a better box of its class.

    Args:
        boxes: (K, 4) x0, y0, x1, y1 in pixels of the frame.
        scores: (K, C) of the kept classes, differentiable, in [0, 1].
        kept_classes: (C,) index of each column's class in the detector's names.
        size: height and width of the frame in pixels.
        least_score: what is lower is dropped.
        nms_iou: overlap of the same class that is too much.

    Raises:
        WeightsError: scores outside [0, 1].
    """
    if scores.numel():
        low, high = (float(value) for value in scores.detach().aminmax())
        if math.isnan(low) or math.isnan(high):
            raise WeightsError(
                "the detector's scores are not numbers", hint="Try --precision float32; check its weights."
            )
        if not (low >= -SCORE_TOLERANCE and high <= 1 + SCORE_TOLERANCE):
            raise WeightsError(
                f"the detector's scores go from {low:.3g} to {high:.3g}, not from 0 to 1",
                hint="Let the model end in a sigmoid or softmax.",
            )
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
