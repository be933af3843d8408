"""What a detector is: a differentiable function from frames to scored boxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from deploy.core.errors import OptionError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Detections:
    """What was found in one frame, after the score threshold and non-maximum suppression, best first."""

    boxes: Tensor
    """(M, 4) float32 x0, y0, x1, y1 in pixels of the frame, detached."""
    scores: Tensor
    """(M,) float32 in [0, 1], differentiable with respect to the frame."""
    classes: Tensor
    """(M,) int64 index into `Detector.class_names`."""

    def __repr__(self) -> str:
        return f"Detections(boxes={tuple(self.boxes.shape)})"


class Detector(Protocol):
    """Finds objects; its scores can be differentiated with respect to the pixels.

    Factories in the registry take the keywords ``weights: Path | None``, ``score_threshold: float | None`` (None is the
    detector's own default), ``classes: tuple[str, ...]`` (names to keep; empty keeps its default) and ``offline: bool``
    (never use the network), and ``variant: str`` if the registry's line names one.
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

    def detect(self, images: Tensor, *, score_threshold: float | None = None) -> list[Detections]:
        """Find objects.

        Args:
            images: (N, 3, H, W) float RGB in [0, 1], any size the detector accepts.
            score_threshold: in place of the detector's own, to see candidates that it would drop.

        Returns:
            One `Detections` a frame.
        """
        ...


def check_score_threshold(value: float) -> float:
    """Return `value` if it is in (0, 1), else raise OptionError."""
    if not 0.0 < value < 1.0:
        raise OptionError(f"score_threshold={value} is not between 0 and 1", hint="Leave it out for the default.")
    return value


def class_indices(wanted: tuple[str, ...], known: tuple[str, ...]) -> list[int]:
    """Indices of the named classes.

    Raises:
        OptionError: a name the detector does not know.
    """
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise OptionError(f"the detector has no class {unknown[0]!r}", hint=f"Known: {', '.join(known)}.")
    return [known.index(name) for name in wanted]
