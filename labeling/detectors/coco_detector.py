"""What detectors of the 80 COCO classes share: the threshold, and which classes count."""

from __future__ import annotations

import torch

from labeling.detectors.base import check_score_threshold, class_indices
from labeling.detectors.coco import COCO_CLASSES, PEOPLE_AND_VEHICLES


class CocoDetector:
    """Base of `Detector`s of COCO's classes; people and vehicles by default.

    Args:
        score_threshold: detections below are dropped; the default is 0.3.
        classes: names to keep.

    Raises:
        OptionError: a threshold outside (0, 1), or a class that COCO does not have.
    """

    class_names = COCO_CLASSES

    def __init__(self, score_threshold: float | None, classes: tuple[str, ...]) -> None:
        self.score_threshold = check_score_threshold(0.3 if score_threshold is None else score_threshold)
        self.classes = classes or PEOPLE_AND_VEHICLES
        self._kept_classes = torch.tensor(class_indices(self.classes, COCO_CLASSES))
