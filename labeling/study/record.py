"""The file that the comparison of labels writes: ``labels.json``, one run for each video and detector."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from deploy.core.errors import DatasetError, first_line
from deploy.core.resize import Reduction
from labeling.dataset.manifest import ModelRecord, Record, Sha256

Figures = tuple[float | None, ...]


class StudySettings(Record):
    """Everything that determines a run."""

    video: str
    """File name."""
    video_sha256: Sha256
    detector: ModelRecord
    upscaler: ModelRecord
    height_px: int
    width_px: int
    scale: int
    block_px: int
    budgets: tuple[float, ...]
    """Shares of the blocks that are enhanced, without 0 and 1."""
    frame_index: tuple[int, ...]
    """Positions of the frames in the video."""
    num_blocks: int
    """Blocks a frame whose effect is measured exactly."""
    segments: int
    """Contiguous groups of frames."""
    seed: int
    reduction: Reduction = "area"
    """How frames are reduced."""


class StudyRun(Record):
    """Results on one video with one detector."""

    settings: StudySettings
    versions: dict[str, str]
    seconds: float
    """Time it took."""
    correlations: dict[str, dict[str, Figures]]
    """Effect -> candidate -> Spearman's rank correlation a frame; None where the effects or the map are constant.
    An effect is ``"scores"``, ``"agreement (true)"``, ... or ``"|agreement (true)|"``, its size."""
    f1: dict[str, dict[str, tuple[tuple[float, ...], ...]]]
    """Reference (``"true"`` or ``"sr"``) -> method -> F1 a frame, at each budget and at 0 (first) and 1 (last)."""


class LabelStudy(Record):
    """All runs in the file."""

    schema_version: int = Field(default=1, ge=1, le=1)
    runs: tuple[StudyRun, ...] = ()

    def with_run(self, run: StudyRun) -> LabelStudy:
        """Return a copy with this run, which replaces a run of the same settings."""
        others = [other for other in self.runs if other.settings != run.settings]
        return LabelStudy(runs=(*others, run))


def read_study(path: Path) -> LabelStudy:
    """Read and validate ``labels.json``; one that does not exist has no runs.

    Raises:
        DatasetError: the file is invalid.
    """
    if not path.exists():
        return LabelStudy()
    try:
        return LabelStudy.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise DatasetError(
            f"{path} is not a comparison of labels: {first_line(error)}", hint="Choose another --out."
        ) from None
