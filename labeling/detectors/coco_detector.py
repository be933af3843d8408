"""Base classes of detectors: the threshold and the selected classes."""

from __future__ import annotations

import torch

from deploy.detectors.classes import COCO_CLASSES, class_indices, kept_by_default
from labeling.detectors.base import DetectorSettings


class DetectorWithClasses:
    """Base class of `Detector`s.

    Args:
        settings: settings; the default threshold is 0.3.
        class_names: all classes that it can find.

    Raises:
        OptionError: the threshold is outside (0, 1), or a class is unknown.
    """

    description = ""

    def __init__(self, settings: DetectorSettings, class_names: tuple[str, ...]) -> None:
        self.class_names = class_names
        self.score_threshold = settings.threshold_or(0.3)
        self.classes = settings.classes or kept_by_default(class_names)
        self.record: dict[str, str | tuple[str, ...]] = {}
        self._kept_classes = torch.tensor(class_indices(self.classes, class_names))


class CocoDetector(DetectorWithClasses):
    """Base class of `Detector`s of COCO's 80 classes; people and vehicles by default."""

    def __init__(self, settings: DetectorSettings) -> None:
        super().__init__(settings, COCO_CLASSES)
