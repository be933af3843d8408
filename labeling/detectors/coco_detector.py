"""What detectors of the 80 COCO classes share: the threshold, and which classes count."""

from __future__ import annotations

import torch

from labeling.detectors.base import DetectorSettings, class_indices
from labeling.detectors.coco import COCO_CLASSES, PEOPLE_AND_VEHICLES


class CocoDetector:
    """Base of `Detector`s of COCO's classes; people and vehicles by default.

    Args:
        settings: the threshold is 0.3 unless they say otherwise.

    Raises:
        OptionError: a threshold outside (0, 1), or a class that COCO does not have.
    """

    class_names = COCO_CLASSES

    def __init__(self, settings: DetectorSettings) -> None:
        self.score_threshold = settings.threshold_or(0.3)
        self.classes = settings.classes or PEOPLE_AND_VEHICLES
        self._kept_classes = torch.tensor(class_indices(self.classes, COCO_CLASSES))
