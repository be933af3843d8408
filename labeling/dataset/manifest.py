"""The dataset contract: content of ``manifest.json``, written by the labeling stage and read by all later stages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from deploy.core.errors import DatasetError
from deploy.core.files import write_text
from deploy.core.grid import Grid
from deploy.core.resize import REDUCTIONS, Reduction
from labeling.maths.split import SPLITS, SplitName

MANIFEST_NAME = "manifest.json"
Scope = Literal["frame", "video", "dataset"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Record(BaseModel):
    """Base class of everything that is stored in files: immutable; unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class GridRecord(Record):
    """The macroblock grid; see `deploy.core.grid.Grid`."""

    name: Literal["lr", "sr"]
    block_px: int = Field(ge=1)
    scale: int = Field(ge=1)
    rows: int = Field(ge=1)
    cols: int = Field(ge=1)


class ModelRecord(Record):
    """A detector or an upscaler that was used."""

    name: str
    weights_sha256: Sha256 | Literal[""]
    """Hash of the weights; empty without weights."""
    settings: dict[str, str | int | float | tuple[str, ...]] = {}
    """Everything else that affects its results."""


class Calibration(Record):
    """A monotone map from raw importance to [0, 1], linear between knots."""

    importance: tuple[float, ...] = Field(min_length=2)
    """Knots on the raw scale, strictly increasing."""
    value: tuple[float, ...] = Field(min_length=2)
    """Knots on the normalized scale, from 0 to 1, non-decreasing."""

    def knots(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Knots in the form that `labeling.maths.quantise` uses."""
        return np.array(self.importance, np.float64), np.array(self.value, np.float64)

    @model_validator(mode="after")
    def _monotone(self) -> Calibration:
        if len(self.importance) != len(self.value):
            raise ValueError("importance and value must have as many knots")
        if any(b <= a for a, b in zip(self.importance, self.importance[1:], strict=False)):
            raise ValueError("importance knots must increase strictly")
        if (
            self.value[0] < 0
            or self.value[-1] > 1
            or any(b < a for a, b in zip(self.value, self.value[1:], strict=False))
        ):
            raise ValueError("value knots must not decrease, within [0, 1]")
        return self


class LossRecord(Record):
    """Frames of a video that cannot be used, by reason; see `deploy.inputs.report.Loss`."""

    kind: str
    num_frames: int = Field(ge=0)
    places: tuple[str, ...] = ()
    """The first of them: times by the container's clock, or file names."""


class ClipRecord(Record):
    """A part of a video whose split was set by hand."""

    split: SplitName
    start_seconds: float
    """First time that was taken, since the first frame."""
    stop_seconds: float | None
    """First time that was not; None: to the end."""
    every: int
    """Every Nth frame was taken."""


class SourceRecord(Record):
    """One video, or one folder of images, that was labeled."""

    video_id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
    """Name of its folders in the dataset."""
    path: str
    """Its path."""
    sha256: Sha256
    width_px: int
    height_px: int
    frame_rate: str = Field(pattern=r"^\d+(/\d+)?$")
    num_frames: int
    """Frames in the file, not in the dataset."""
    lr_path: str | None = None
    """Where its recorded low-resolution twin was, if there was one."""
    lr_sha256: str = ""
    """Hash of that."""
    clips: tuple[ClipRecord, ...] = ()
    """Its split, if assigned."""
    losses: tuple[LossRecord, ...] = ()
    """What of it could not be used."""
    frame_height_px: int | None = Field(None, ge=1)
    """Height of its LR frames and labels; None: the dataset's, as in every dataset of one size."""
    frame_width_px: int | None = Field(None, ge=1)
    """Their width."""

    @model_validator(mode="after")
    def _both_sides(self) -> SourceRecord:
        if (self.frame_height_px is None) != (self.frame_width_px is None):
            raise ValueError("frame_height_px and frame_width_px go together")
        return self

    @model_serializer(mode="wrap")
    def _without_size_of_the_dataset(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Datasets of one size are written as before there were others."""
        unset = ("frame_height_px", "frame_width_px") if self.frame_height_px is None else ()
        return {name: value for name, value in handler(self).items() if name not in unset}


class SplitRecord(Record):
    """One of train, val, test."""

    num_frames: int = Field(ge=0)
    level_histogram: tuple[int, ...]
    """Number of label pixels at each level."""


class Manifest(Record):
    """Everything that determines a dataset, and everything that later stages need to know about it."""

    schema_version: Literal[1, 2, 3, 4] = 2
    """1, before detectors of any classes: a detector's settings have no class names, layout or size. 3: videos of
    different sizes. 4: with `previous`."""
    frame_height_px: int = Field(ge=1)
    """Height of the LR frames and labels. Where videos differ, the least into which all fit: training pads to it."""
    frame_width_px: int = Field(ge=1)
    """Width, likewise."""
    grid: GridRecord
    """The macroblocks of a frame of that size."""
    num_levels: int = Field(ge=2, le=255)
    scope: Scope
    """Over what importance was normalized."""
    curve: Literal["linear", "log", "quantile", "clipped"]
    calibrations: dict[str, Calibration]
    """By ``"dataset"``, by video_id, or by ``"video_id/frame"``, as `scope` says."""
    level_edges: dict[str, tuple[float, ...]]
    """num_levels + 1 raw importances between the levels, by the same keys; empty for scope ``frame``."""
    detector: ModelRecord
    upscaler: ModelRecord
    options: dict[str, object]
    """The options of the labeling command that determine the labels, by name."""
    sources: tuple[SourceRecord, ...]
    splits: dict[SplitName, SplitRecord]
    versions: dict[str, str]
    """Packages that took part."""
    job_sha256: Sha256 | Literal[""] = ""
    """Hash of all that determines the labels: the same job is not done twice."""
    previous: ModelRecord | None = None
    """Detector whose score maps of the frames before are in ``previous/``, if they are there."""

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        grid = self.make_grid()
        if (grid.rows, grid.cols) != (self.grid.rows, self.grid.cols):
            raise ValueError(
                f"grid is {self.grid.rows} x {self.grid.cols}, but the frame needs {grid.rows} x {grid.cols}"
            )
        for source in self.sources:
            own = self.make_grid(source.video_id)
            if own.height_px > grid.height_px or own.width_px > grid.width_px:
                raise ValueError(f"frames of {source.video_id} are larger than {grid.width_px} x {grid.height_px}")
        if set(self.splits) != set(SPLITS):
            raise ValueError(f"splits are {', '.join(self.splits) or 'none'}, not {', '.join(SPLITS)}")
        if self.options.get("reduce", "area") not in REDUCTIONS:
            raise ValueError(f"options.reduce is {self.options['reduce']!r}, not {', '.join(REDUCTIONS)}")
        for name, split in self.splits.items():
            if len(split.level_histogram) != self.num_levels:
                raise ValueError(f"histogram of {name} has {len(split.level_histogram)} levels, not {self.num_levels}")
        return self

    def make_grid(self, video_id: str | None = None) -> Grid:
        """Make the `Grid` of a video's frames, or of frames padded to the dataset's size."""
        source = next((source for source in self.sources if source.video_id == video_id), None)
        return Grid(
            height_px=(source and source.frame_height_px) or self.frame_height_px,
            width_px=(source and source.frame_width_px) or self.frame_width_px,
            scale=self.grid.scale,
            block_px=self.grid.block_px,
            name=self.grid.name,
        )

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Datasets without score maps are written as before there were any."""
        unset = ("previous",) if self.previous is None else ()
        return {name: value for name, value in handler(self).items() if name not in unset}

    @property
    def grids(self) -> dict[Grid, list[str]]:
        """Grids of the videos' own frames, each with its videos."""
        found: dict[Grid, list[str]] = {}
        for source in self.sources:
            found.setdefault(self.make_grid(source.video_id), []).append(source.video_id)
        return found

    @property
    def level_values(self) -> tuple[float, ...]:
        """Normalized importance at the center of each level: (k + 0.5) / num_levels."""
        return tuple((level + 0.5) / self.num_levels for level in range(self.num_levels))

    @property
    def reduction(self) -> Reduction:
        """Method of reducing frames; older datasets used area averaging."""
        found = self.options.get("reduce", "area")
        return next((name for name in REDUCTIONS if name == found), "area")


def calibration_key(scope: Scope, video_id: str, index: int) -> str:
    """Key of a frame's normalization in `Manifest.calibrations`."""
    return {"dataset": "dataset", "video": video_id, "frame": f"{video_id}/{index}"}[scope]


def read_manifest(dataset: Path) -> Manifest:
    """Read and validate ``dataset/manifest.json``.

    Raises:
        DatasetError: the file is missing, not JSON, of another schema version, or inconsistent.
    """
    path = dataset / MANIFEST_NAME
    hint = "Create the dataset again: python labeling/make_labels.py VIDEO --out DIR"
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise DatasetError(f"no {MANIFEST_NAME} in {dataset}: not a finished dataset", hint=hint) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "file"
        raise DatasetError(f"{path}: {where}: {first['msg']}", hint=hint) from None


def write_manifest(dataset: Path, manifest: Manifest) -> None:
    """Write ``dataset/manifest.json`` atomically."""
    write_text(dataset / MANIFEST_NAME, manifest.model_dump_json(indent=2) + "\n")
