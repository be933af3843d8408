"""Read a finished dataset back: the frames of a split with their raw importance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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
            raise DatasetError(f"{path}: importance of shape {importance.shape} for a {shape} grid", hint="Make it again.")
        for position in np.flatnonzero(splits == split):
            index = int(indices[position])
            name = f"{source.video_id}/{index:06d}.png"
            yield LabelledFrame(
                source.video_id, index, dataset / "origin_images" / name, dataset / "labels" / name, importance[position]
            )
