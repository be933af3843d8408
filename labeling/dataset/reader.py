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
        except (OSError, ValueError, KeyError) as error:
            raise DatasetError(f"cannot read {path}: {error}", hint="Make the dataset again.") from None
        if importance.shape[1:] != shape or len(importance) != len(indices):
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
            )


def read_levels(frame: LabelledFrame, manifest: Manifest) -> NDArray[np.uint8]:
    """The label of a frame as (rows, cols) importance levels.

    Raises:
        DatasetError: the PNG is missing or damaged, has another size, or holds a level that does not exist.
    """
    grid = manifest.make_grid()
    try:
        with Image.open(frame.label) as image:
            pixels = np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise DatasetError(f"cannot read label {frame.label}: {error}", hint="Make the dataset again.") from None
    if pixels.shape != (grid.height_px, grid.width_px) or pixels.max() >= manifest.num_levels:
        raise DatasetError(
            f"{frame.label}: {pixels.shape} pixels up to {pixels.max()}, not {grid.height_px} x {grid.width_px} levels "
            f"below {manifest.num_levels}",
            hint="Make the dataset again.",
        )
    return np.rint(grid.pool(pixels)).astype(np.uint8)
