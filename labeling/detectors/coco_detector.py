"""What detectors share: the threshold, and which classes count."""

from __future__ import annotations

import torch

from deploy.detectors.classes import COCO_CLASSES, class_indices, kept_by_default
from labeling.detectors.base import DetectorSettings


class DetectorWithClasses:
    """Base of `Detector`s.

    Args:
        settings: the threshold is 0.3 unless they say otherwise.
        class_names: all that it can find.

    Raises:
        OptionError: a threshold outside (0, 1), or a class that it does not know.
    """

    description = ""

    def __init__(self, settings: DetectorSettings, class_names: tuple[str, ...]) -> None:
        self.class_names = class_names
        self.score_threshold = settings.threshold_or(0.3)
        self.classes = settings.classes or kept_by_default(class_names)
        self.record: dict[str, str | tuple[str, ...]] = {}
        self._kept_classes = torch.tensor(class_indices(self.classes, class_names))


class CocoDetector(DetectorWithClasses):
    """Base of `Detector`s of COCO's 80 classes; people and vehicles by default."""

    def __init__(self, settings: DetectorSettings) -> None:
        super().__init__(settings, COCO_CLASSES)
