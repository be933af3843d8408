"""The user's detector at its own size and, if possible, at larger ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from deploy.core.errors import OptionError, WeightsError
from deploy.detectors.classes import read_class_names
from deploy.detectors.detections import Detections
from deploy.detectors.geometry import Size, parse_size, rounded_up
from deploy.detectors.onnx_detector import OnnxDetector
from deploy.worth_it.options import WorthOptions
from deploy.worth_it.precision import LEAST_SCORE
from deploy.worth_it.samples import Image

LARGER = (1.25, 1.5, 2.0)
"""How many times larger networks are tried on the interpolated frame."""


class AnyDetector(Protocol):
    """Finds objects in frames of any size."""

    class_names: tuple[str, ...]
    """Of all classes that it knows."""
    classes: tuple[str, ...]
    """Names of those that count."""

    def __call__(self, image: Image) -> Detections:
        """Find objects in (H, W, 3) uint8 RGB."""
        ...

    def size_for(self, frame: Size) -> Size:
        """Height and width of the network's frame for a frame of this height and width."""
        ...

    def zoom(self, frame: Size) -> float:
        """Network pixels to a pixel of such a frame, along the axis that loses more."""
        ...


OpenDetector = Callable[[WorthOptions, Size | None, float], AnyDetector]
"""Makes the detector that options name: at its own size or another, with the least score of its detections."""


def open_onnx_detector(options: WorthOptions, size: Size | None, least_score: float) -> OnnxDetector:
    """See `OpenDetector`.

    Raises:
        OptionError: it cannot be had at this size, or an option does not fit it.
        WeightsError: not an ONNX detector.
    """
    return OnnxDetector(
        options.detector,
        size=size,
        layout=options.detector_layout,
        classes=options.classes or None,
        class_names=read_class_names(options.class_names) if options.class_names else None,
        score_threshold=least_score,
        threads=options.threads,
    )


class Detectors:
    """All sizes of the user's detector.

    Args:
        options: name it.
        open_detector: makes it.
        frame: height and width of the super-resolved frame.

    Raises:
        RegenError: it cannot be used.
    """

    def __init__(self, options: WorthOptions, open_detector: OpenDetector, frame: Size) -> None:
        self.least_score = options.score_threshold
        """Boxes below count for average precision alone."""
        least = self.least_score if options.annotations is None else min(LEAST_SCORE, self.least_score)
        self.own = open_detector(options, parse_size(options.detector_size), least)
        self.notes: list[str] = []
        self.larger: list[tuple[AnyDetector, Size]] = []
        """Each with the height and width of its network's frame."""
        base = self.own.size_for(frame)
        for factor in LARGER:
            size = rounded_up((round(base[0] * factor), round(base[1] * factor)))
            try:
                self.larger.append((open_detector(options, size, least), size))
            except (OptionError, WeightsError) as error:
                self.notes.append(f"Larger detector inputs were not tested: {str(error).partition(': ')[0]}.")
                break
