"""A detector with recorded detections, so that several accuracies share one forward pass."""

from __future__ import annotations

from torch import Tensor

from labeling.detectors.base import Detections, Detector


class RecordedDetector:
    """Returns the recorded detections of one frame; see `Detector`."""

    def __init__(self, detector: Detector, found: Detections) -> None:
        self.name, self.class_names = detector.name, detector.class_names
        self.weights_sha256, self.classes = detector.weights_sha256, detector.classes
        self.score_threshold = detector.score_threshold
        self.description, self.record = detector.description, detector.record
        self._found = found

    def detect(self, images: Tensor, *, score_threshold: float | None = None) -> list[Detections]:
        """See `Detector.detect`. The threshold cannot be lower than the recorded one."""
        found = self._found
        kept = found.scores.detach() >= (score_threshold or self.score_threshold)
        return [Detections(found.boxes[kept], found.scores[kept], found.classes[kept])]
