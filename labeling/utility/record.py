"""The file that the utility evaluation writes: ``utility.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from deploy.core.errors import DatasetError, first_line
from labeling.dataset.manifest import Record, Sha256
from labeling.maths.split import SplitName

ENOUGH_FRAMES, ENOUGH_SEGMENTS = 30, 6
"""With fewer, intervals come with a caveat."""


class Interval(Record):
    """A value with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


class UtilityPoint(Record):
    """Accuracy with one share of the blocks enhanced."""

    budget: float = Field(ge=0, le=1)
    """Share of the macroblocks that are enhanced."""
    f1_mean: float
    """Mean of the frames' F1."""
    f1_low: float
    """Lower end of the 95 % bootstrap interval of the mean."""
    f1_high: float
    """Upper end."""
    f1_pooled: float
    """F1 of all detections together."""
    recovery: float | None
    """(F1_k - F1_0) / (F1_100 - F1_0) of the means; None where enhancing everything gains nothing."""
    recovery_low: float | None
    """Lower end of its 95 % bootstrap interval; None where the gain itself is not clear."""
    recovery_high: float | None
    """Upper end."""


class UtilityCurve(Record):
    """Results of one ranking method against one reference."""

    method: str
    reference: Literal["true", "sr"]
    """What counts as right: detections on the true high-resolution frame, or on the super-resolved one."""
    points: tuple[UtilityPoint, ...]
    f1_area: Interval
    """Mean height of the F1 curve, from budget 0 to the last one below 1."""
    recovery_area: Interval | None
    """The same for the recovery; None if the gain is not clear."""
    f1_frames: tuple[tuple[float, ...], ...]
    """F1 of each frame at each of `points`, for comparisons frame by frame."""


class BoxRecord(Record):
    """One detection."""

    xyxy: tuple[float, float, float, float]
    """x0, y0, x1, y1 in SR pixels."""
    class_id: int


class DetectionLook(Record):
    """Detections in one frame, for pictures."""

    video_id: str
    index: int
    method: str
    """Ranking whose top blocks are enhanced."""
    budget: float
    """Share of the blocks."""
    is_true: bool
    """Whether `wanted` is of the true frame; else it is of the super-resolved one."""
    selected: tuple[tuple[int, int], ...]
    """Row and column of the enhanced blocks."""
    wanted: tuple[BoxRecord, ...]
    """What counts as right."""
    nothing: tuple[BoxRecord, ...]
    """On the interpolated frame."""
    enhanced: tuple[BoxRecord, ...]
    """With those blocks enhanced."""


class UtilityReport(Record):
    """All results of an evaluation."""

    schema_version: Literal[2] = 2
    split: SplitName | Literal["all"]
    num_frames: int
    num_segments: int
    """Groups of neighboring frames that the bootstrap resamples."""
    segments: tuple[int, ...]
    """Group of each frame."""
    manifest_sha256: Sha256
    models: dict[str, Sha256]
    """Name of each predictor -> hash of its ONNX file."""
    curves: tuple[UtilityCurve, ...]
    looks: tuple[DetectionLook, ...] = ()
    """Some frames to look at."""

    @property
    def caveat(self) -> str:
        """Note on intervals from few frames; empty if there are enough."""
        if self.num_frames >= ENOUGH_FRAMES and self.num_segments >= ENOUGH_SEGMENTS:
            return ""
        return (
            f"Only {self.num_frames} frames in {self.num_segments} segments: the intervals are rough, and "
            "rankings whose intervals overlap cannot be distinguished."
        )


def read_utility(path: Path) -> UtilityReport:
    """Read and validate ``utility.json``.

    Raises:
        DatasetError: the file is missing or invalid.
    """
    try:
        return UtilityReport.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise DatasetError(
            f"cannot read {path}: {first_line(error)}", hint="Run labeling/evaluate_utility.py again."
        ) from None
