"""Read a finished dataset back: the frames of a split with their raw importance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deploy.core.errors import DatasetError
from labeling.dataset.manifest import Manifest, SplitName

_HINT = "Make the dataset again: python labeling/make_labels.py VIDEO --out DIR"


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
        """Which frame of which video."""
        return self.video_id, self.index


def read_split(dataset: Path, manifest: Manifest, split: SplitName) -> Iterator[LabelledFrame]:
    """The frames of a split in order.

    Raises:
        DatasetError: an importance file is missing, damaged or does not fit the manifest.
    """
    shape = (manifest.grid.rows, manifest.grid.cols)
    for source in manifest.sources:
        path = dataset / "importance" / f"{source.video_id}.npz"
        try:
            with np.load(path, allow_pickle=False) as stored:
                importance, indices, splits = stored["importance"], stored["frame_index"], stored["split"]
                counts = stored["num_detections"]
        except (OSError, ValueError, KeyError) as error:
            raise DatasetError(f"cannot read {path}: {error}", hint=_HINT) from None
        if importance.shape[1:] != shape or not len(importance) == len(indices) == len(counts):
            raise DatasetError(
                f"{path}: importance of shape {importance.shape} for a {shape} grid", hint="Make it again."
            )
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


def read_label(path: Path, manifest: Manifest) -> NDArray[np.uint8]:
    """Read a label PNG as (H, W) uint8 levels.

    Raises:
        DatasetError: not a palette PNG of the frame's size, or a value is no level.
    """
    try:
        with Image.open(path, formats=("PNG",)) as image:
            mode, levels = image.mode, np.array(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DatasetError(f"cannot read label {path}: {error}", hint=_HINT) from None
    if mode != "P":
        raise DatasetError(f"label {path} has mode {mode!r}, not a palette of levels", hint=_HINT)
    require_frame_size(levels, manifest, path)
    if levels.max() >= manifest.num_levels:
        raise DatasetError(f"label {path} has level {levels.max()}, the last is {manifest.num_levels - 1}", hint=_HINT)
    return levels


def require_frame_size(pixels: NDArray[np.uint8], manifest: Manifest, path: Path) -> None:
    """Raise DatasetError unless (H, W, ...) pixels have the size of the dataset's frames."""
    (height, width), expected = pixels.shape[:2], (manifest.frame_height_px, manifest.frame_width_px)
    if (height, width) != expected:
        raise DatasetError(
            f"{path} is {width} x {height} pixels, the dataset's frames are {expected[1]} x {expected[0]}",
            hint="Frames are never resized: label the videos of each size separately.",
        )


def read_levels(frame: LabelledFrame, manifest: Manifest) -> NDArray[np.uint8]:
    """The label of a frame as (rows, cols) importance levels.

    Raises:
        DatasetError: the label cannot be used.
    """
    return np.rint(manifest.make_grid().pool(read_label(frame.label, manifest))).astype(np.uint8)
