"""Adapter of labeling's detectors to deployment's interface, which uses arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deploy.core.errors import OptionError
from deploy.detectors.classes import read_class_names
from deploy.detectors.detections import Detections
from deploy.detectors.geometry import Size
from deploy.worth_it.detectors import AnyDetector, open_onnx_detector
from deploy.worth_it.options import WorthOptions
from deploy.worth_it.samples import Image

if TYPE_CHECKING:
    from labeling.detectors import Detector

TORCH_SUFFIXES = (".pt", ".ts", ".pt2")


class ArrayDetector:
    """A PyTorch detector that takes frames as arrays; see `AnyDetector`.

    Args:
        detector: a detector of labeling.
        size: height and width to which callers enlarge frames; None leaves them as they are.
    """

    def __init__(self, detector: Detector, size: Size | None = None) -> None:
        self._detector, self._size = detector, size
        self.class_names, self.classes = detector.class_names, detector.classes

    def __call__(self, image: Image) -> Detections:
        """Find objects in (H, W, 3) uint8 RGB."""
        import torch

        from labeling.core.frames import to_tensor

        with torch.no_grad():
            (found,) = self._detector.detect(to_tensor(image, "cpu"))
        boxes, scores, classes = (part.detach().numpy() for part in (found.boxes, found.scores, found.classes))
        return Detections(boxes, scores.astype(np.float32), classes, self.class_names)

    def size_for(self, frame: Size) -> Size:
        """Size of the frame for the detector: the frame's own, or the detector's fixed size."""
        return self._size or frame

    def zoom(self, frame: Size) -> float:
        """Always the same, since the detector's internal preparation is not visible here."""
        height, width = self.size_for(frame)
        return min(height / frame[0], width / frame[1])


def open_any_detector(options: WorthOptions, size: Size | None, least_score: float) -> AnyDetector:
    """Open an ONNX file (without PyTorch), or a TorchScript or torch.export file or a name (with PyTorch).

    Raises:
        RegenError: the detector cannot be used.
    """
    path = options.detector
    if path.suffix == ".onnx" or (path.is_file() and path.suffix not in TORCH_SUFFIXES):
        return open_onnx_detector(options, size, least_score)
    if options.detector_size:
        raise OptionError(
            f"detector_size={options.detector_size} is for ONNX files; {path} takes frames of any size",
            hint="Omit --detector-size.",
        )
    import torch

    from labeling.detectors import create_detector

    if options.threads:
        torch.set_num_threads(options.threads)
    is_file = path.suffix in TORCH_SUFFIXES
    detector = create_detector(
        "torch-program" if is_file else str(path),
        weights=path if is_file else None,
        score_threshold=least_score,
        classes=options.classes,
        class_names=read_class_names(options.class_names) if options.class_names else (),
        layout=options.detector_layout,
    )
    return ArrayDetector(detector, size)
