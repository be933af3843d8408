"""The interface of detectors: a differentiable function from frames to scored boxes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from deploy.core.errors import OptionError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Detections:
    """Detections in one frame, after the score threshold and non-maximum suppression, best first."""

    boxes: Tensor
    """(M, 4) float32 x0, y0, x1, y1 in pixels of the frame, detached."""
    scores: Tensor
    """(M,) float32 in [0, 1], differentiable with respect to the frame."""
    classes: Tensor
    """(M,) int64 index into `Detector.class_names`."""

    def __repr__(self) -> str:
        return f"Detections(boxes={tuple(self.boxes.shape)})"


@dataclass(frozen=True)
class DetectorSettings:
    """Settings of a detector."""

    weights: Path | None = None
    """Weights file; None uses the published one, if any."""
    score_threshold: float | None = None
    """Detections below are dropped; None takes the detector's own."""
    classes: tuple[str, ...] = ()
    """Names to keep; none keeps its default."""
    offline: bool = False
    """Never use the network."""
    class_names: tuple[str, ...] = ()
    """Of a detector that somebody saved: names of its classes, in order; none takes what its file says."""
    layout: str | None = None
    """Of an ONNX file: its layout (`deploy.detectors.layouts.LAYOUTS`); None finds it out."""
    input_size: tuple[int, int] | None = None
    """Of an ONNX file: height and width to run it at; None is its own, or where that is free the frame's."""

    def threshold_or(self, default: float) -> float:
        """The requested threshold, or the detector's default.

        Raises:
            OptionError: the threshold is not between 0 and 1.
        """
        value = default if self.score_threshold is None else self.score_threshold
        if not 0.0 < value < 1.0:
            raise OptionError(f"score_threshold={value} is not between 0 and 1", hint="Omit it to use the default.")
        return value


class Detector(Protocol):
    """Finds objects; its scores are differentiable with respect to the pixels.

    Factories in the registry take the keyword ``settings``, a `DetectorSettings`, and ``variant: str`` if their line
    names one.
    """

    name: str
    """The registry's name."""
    class_names: tuple[str, ...]
    """Names of the classes, by index."""
    weights_sha256: str
    """Hash of the weights."""
    score_threshold: float
    """Detections below are dropped."""
    classes: tuple[str, ...]
    """Names of the classes that are kept."""
    description: str
    """A description; empty if the name is enough."""
    record: dict[str, str | tuple[str, ...]]
    """Further settings needed to recreate the detector; see `DetectorSettings`."""

    def detect(self, images: Tensor, *, score_threshold: float | None = None) -> list[Detections]:
        """Find objects.

        Args:
            images: (N, 3, H, W) float RGB in [0, 1], any size the detector accepts.
            score_threshold: replaces the detector's own, to get candidates that it would drop.

        Returns:
            One `Detections` per frame.
        """
        ...
