"""Read a finished dataset: the frames of a split with their raw importance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deploy.core.errors import DatasetError, InputError
from deploy.core.files import read_npz
from deploy.core.grid import Grid
from labeling.dataset.layout import previous_name, video_of
from labeling.dataset.manifest import Manifest, calibration_key
from labeling.maths.quantise import normalise, to_levels
from labeling.maths.split import SplitName

_PREVIOUS_HINT = "Add the maps again: python labeling/add_previous.py DATASET --detector FILE.onnx"
_HINT = "Create the dataset again: python labeling/make_labels.py VIDEO --out DIR"

_ARRAYS = {
    "importance": ("f", True),
    "frame_index": ("iu", False),
    "split": ("U", False),
    "num_detections": ("iu", False),
}
"""Of a video's importance file: kinds of numbers, and whether there is one for each macroblock, not for each frame."""

FrameKey = tuple[str, int]
"""A video and the position of a frame in it."""


@dataclass(frozen=True, eq=False)
class LabelledFrame:
    """One frame of a dataset."""

    video_id: str
    """Which video."""
    index: int
    """Position in the video."""
    image: Path
    """The LR frame, PNG."""
    label: Path
    """The level map, palette PNG."""
    importance: NDArray[np.float32]
    """(rows, cols) raw importance."""
    num_detections: int
    """Detections on the interpolated frame."""

    @property
    def key(self) -> FrameKey:
        """Video and frame index."""
        return self.video_id, self.index


def read_split(dataset: Path, manifest: Manifest, split: SplitName) -> Iterator[LabelledFrame]:
    """Read the frames of a split, in order.

    Raises:
        DatasetError: an importance file is missing, damaged or does not fit the manifest.
    """
    for source in manifest.sources:
        path = dataset / "importance" / f"{source.video_id}.npz"
        importance, indices, splits, counts = _importance_of(path, manifest.make_grid(source.video_id))
        for position in np.flatnonzero(splits == split):
            index = int(indices[position])
            name = f"{source.video_id}/{index:06d}.png"
            yield LabelledFrame(
                source.video_id,
                index,
                dataset / "origin_images" / name,
                dataset / "labels" / name,
                importance[position],
                int(counts[position]),
            )


def _importance_of(path: Path, grid: Grid) -> tuple[NDArray[Any], ...]:
    """Read (N, rows, cols) importance of a video, and frame index, split and number of detections of its N frames."""
    try:
        stored = read_npz(path)
    except InputError as error:
        raise DatasetError(str(error), hint=_HINT) from None
    shape = (grid.rows, grid.cols)
    found = tuple(stored.get(name, np.empty(())) for name in _ARRAYS)
    for (name, (kinds, rest)), array in zip(_ARRAYS.items(), found, strict=True):
        expected = (len(found[0]) if found[0].ndim else 0, *(shape if rest else ()))
        if array.dtype.kind not in kinds or array.shape != expected:
            raise DatasetError(
                f"{path}: {name} of {array.dtype} and shape {array.shape} for a {shape} grid", hint="Create it again."
            )
    if not np.isfinite(found[0]).all() or min(found[1].min(initial=0), found[3].min(initial=0)) < 0:
        raise DatasetError(f"{path} contains values that are not finite, or negative frame numbers", hint=_HINT)
    return found


def read_label(path: Path, manifest: Manifest) -> NDArray[np.uint8]:
    """Read a label PNG as (H, W) uint8 levels, of the size of its video's frames.

    Args:
        path: ``DATASET/labels/VIDEO/000123.png``.
        manifest: the dataset's.

    Raises:
        DatasetError: the file is not a palette PNG of that size, or a value is not a level.
    """
    try:
        with Image.open(path, formats=("PNG",)) as image:
            _require_size(image.size, manifest, path)  # before memory for its pixels is allocated
            mode, levels = image.mode, np.array(image)
    except DatasetError:
        raise
    except Exception as error:  # Pillow's readers raise whatever they meet
        raise DatasetError(f"cannot read label {path}: {str(error) or type(error).__name__}", hint=_HINT) from None
    if mode != "P":
        raise DatasetError(f"label {path} has mode {mode!r}, not a palette of levels", hint=_HINT)
    if levels.max() >= manifest.num_levels:
        raise DatasetError(
            f"label {path} has level {levels.max()}, but the highest level is {manifest.num_levels - 1}", hint=_HINT
        )
    return levels


def read_previous(dataset: Path, frame: Path, manifest: Manifest) -> NDArray[np.uint8]:
    """Read the score map of the previous frame's detections as (H, W) uint8.

    Args:
        dataset: the folder.
        frame: ``DATASET/origin_images/VIDEO/000123.png``.
        manifest: the dataset's.

    Raises:
        DatasetError: the file is not a gray PNG of the frame's size.
    """
    path = dataset / previous_name(video_of(frame), int(frame.stem))
    try:
        with Image.open(path, formats=("PNG",)) as image:
            _require_size(image.size, manifest, path)
            mode, scores = image.mode, np.array(image)
    except DatasetError:
        raise
    except Exception as error:  # Pillow's readers raise whatever they meet
        raise DatasetError(f"cannot read {path}: {str(error) or type(error).__name__}", hint=_PREVIOUS_HINT) from None
    if mode != "L":
        raise DatasetError(f"{path} has mode {mode!r}, not gray", hint=_PREVIOUS_HINT)
    return scores


def require_frame_size(pixels: NDArray[np.uint8], manifest: Manifest, path: Path) -> None:
    """Raise DatasetError unless (H, W, ...) pixels of a dataset's file have the size of its video's frames."""
    _require_size(pixels.shape[1::-1], manifest, path)


def _require_size(size_px: tuple[int, ...], manifest: Manifest, path: Path) -> None:
    """The same for (width, height)."""
    grid = manifest.make_grid(video_of(path))
    if size_px != (grid.width_px, grid.height_px):
        whose = f"those of {video_of(path)}" if len(manifest.grids) > 1 else "the dataset's frames"
        raise DatasetError(
            f"{path} is {size_px[0]} x {size_px[1]} pixels, but {whose} are {grid.width_px} x {grid.height_px}",
            hint="Frames are never resized: restore the file, or create the dataset again.",
        )


def read_levels(frame: LabelledFrame, manifest: Manifest) -> NDArray[np.uint8]:
    """Read the label of a frame as (rows, cols) importance levels.

    Raises:
        DatasetError: the label cannot be used.
    """
    grid = manifest.make_grid(frame.video_id)
    return np.rint(grid.pool(read_label(frame.label, manifest))).astype(np.uint8)


def normalised_importance(frame: LabelledFrame, manifest: Manifest) -> NDArray[np.float64]:
    """Compute a frame's (rows, cols) normalized importance in [0, 1], the basis of its levels.

    Raises:
        DatasetError: the manifest lacks the normalization of that frame.
    """
    key = calibration_key(manifest.scope, frame.video_id, frame.index)
    knots = manifest.calibrations.get(key)
    if knots is None:
        raise DatasetError(
            f"the manifest has no calibration {key!r}", hint="Create the dataset again with make_labels.py."
        )
    return normalise(frame.importance, knots.knots())


def importance_levels(frame: LabelledFrame, manifest: Manifest) -> NDArray[np.uint8]:
    """Compute (rows, cols) levels from a frame's importance; they equal its label in a valid dataset.

    Raises:
        DatasetError: see `normalised_importance`.
    """
    return to_levels(normalised_importance(frame, manifest), manifest.num_levels)
