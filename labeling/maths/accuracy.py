"""Accuracy of a detector on one frame as a differentiable number (docs/algorithm.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deploy.detectors.matching import IOU_THRESHOLD, iou

if TYPE_CHECKING:
    from labeling.detectors.base import Detections, Detector

Objective = Literal["scores", "agreement", "f1"]
LOOK_BELOW = 0.2
"""Scores of objects are tracked down to this fraction of the detector's threshold; lower ones count as 0."""
F1_SOFTNESS = 0.1
"""Width, in score, of the soft step at the threshold in `SoftF1`."""


class Accuracy(Protocol):
    """Accuracy of a detector on a frame."""

    def __call__(self, image: Tensor) -> tuple[Tensor, int]:
        """Measure.

        Args:
            image: (1, 3, H, W) float RGB in [0, 1].

        Returns:
            A scalar, and the number of detections. The scalar is differentiable with respect to `image`, but a
            constant if there are no detections with a gradient.
        """
        ...


@dataclass(frozen=True)
class SumOfScores:
    """Sum of the scores of the detections, as in RegenHance's released code."""

    detector: Detector

    def __call__(self, image: Tensor) -> tuple[Tensor, int]:
        """See `Accuracy`."""
        scores = self.detector.detect(image)[0].scores
        return _constant_if_empty(scores.sum(), len(scores)), len(scores)


@dataclass(frozen=True)
class Agreement:
    """Negative disagreement with the detections on a better frame (after AccMPEG, MLSys 2022).

    The disagreement is the sum of the score errors of reference objects and the scores of all other detections.
    """

    detector: Detector
    reference: Detections
    """What should be found: the detections on the true or the super-resolved frame."""

    def __call__(self, image: Tensor) -> tuple[Tensor, int]:
        """See `Accuracy`."""
        found = _compare(self.detector, image, self.reference)
        missed = (found.reference_scores - self.reference.scores.detach()).abs().sum()
        value = -missed - found.other_scores[found.other_is_detected].sum()
        return _constant_if_empty(value, found.num_candidates), found.num_detections


@dataclass(frozen=True)
class SoftF1:
    """F1 of the detections against those on a better frame, with a soft step in place of the score threshold.

    An object counts 1 / (1 + exp(-(score - threshold) / 0.1)). So, unlike in `Agreement`, only scores near the
    threshold matter, as for F1. A constant half object that is always found keeps it defined on empty frames.
    """

    detector: Detector
    reference: Detections
    """What should be found: the detections on the true or the super-resolved frame."""

    def __call__(self, image: Tensor) -> tuple[Tensor, int]:
        """See `Accuracy`."""
        found = _compare(self.detector, image, self.reference)
        matched = (self._counts(found.reference_scores) * found.reference_is_found).sum()
        false_alarms = self._counts(found.other_scores).sum()
        value = (2 * matched + 1) / (matched + false_alarms + len(self.reference.scores) + 1)
        return _constant_if_empty(value, found.num_candidates), found.num_detections

    def _counts(self, scores: Tensor) -> Tensor:
        return torch.sigmoid((scores - self.detector.score_threshold) / F1_SOFTNESS)


@dataclass(frozen=True, eq=False)
class _Comparison:
    reference_scores: Tensor
    """(R,) score of each reference object on the frame, 0 if it is not found."""
    reference_is_found: Tensor
    """(R,) bool."""
    other_scores: Tensor
    """(K,) scores of the candidates that are no reference object."""
    other_is_detected: Tensor
    """(K,) bool, whether their score reaches the detector's threshold."""
    num_candidates: int
    """All that was looked at."""
    num_detections: int
    """Those whose score reaches the detector's threshold."""


def _compare(detector: Detector, image: Tensor, reference: Detections) -> _Comparison:
    threshold = detector.score_threshold
    found = detector.detect(image, score_threshold=LOOK_BELOW * threshold)[0]
    partner, is_other = (torch.from_numpy(array).to(image.device) for array in match_candidates(found, reference))
    is_found = partner >= 0
    # Reference objects that are not found get an extra score of 0.
    scores = torch.cat([found.scores, found.scores.new_zeros(1)])[partner]
    others = found.scores[is_other]
    is_detected = found.scores.detach() >= threshold
    return _Comparison(scores, is_found, others, is_detected[is_other], len(found.scores), int(is_detected.sum()))


def _constant_if_empty(value: Tensor, num_candidates: int) -> Tensor:
    """Return a constant if there is nothing to differentiate, to skip the backward pass."""
    return value if num_candidates else value.detach()


def match_candidates(found: Detections, reference: Detections) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Match candidates with reference objects.

    Returns:
        (R,) index of the best candidate of the same class with an IoU of at least 0.5, or -1; and (M,) whether a
        candidate overlaps no reference object by as much.
    """
    same = found.classes.cpu().numpy()[:, None] == reference.classes.cpu().numpy()[None, :]
    fits = same & (iou(found.boxes.cpu().numpy(), reference.boxes.cpu().numpy()) >= IOU_THRESHOLD)
    if not fits.size:
        return np.full(fits.shape[1], -1), np.ones(fits.shape[0], bool)
    # Candidates are sorted best first, so the first match is the best.
    return np.where(fits.any(axis=0), fits.argmax(axis=0), -1), ~fits.any(axis=1)
