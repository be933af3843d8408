"""Score maps of the previous frame's detections, added to a dataset: available at run time at no cost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deploy.core.errors import DatasetError
from deploy.core.files import write_image
from deploy.core.progress import track
from deploy.core.resize import reduce_frame
from deploy.detectors.detections import Detections
from deploy.enhancement.interpolation import Bicubic
from deploy.inputs.report import ReadOptions, SourceReport
from deploy.inputs.sources import read_source
from deploy.inputs.video import FrameSelection
from deploy.prediction.previous import score_map
from labeling.dataset.layout import previous_name
from labeling.dataset.manifest import Manifest, ModelRecord, read_manifest, write_manifest
from labeling.dataset.reader import read_split
from labeling.maths.split import SPLITS

Detect = Callable[[NDArray[np.uint8]], Detections]


def add_previous(dataset: Path, detect: Detect, record: ModelRecord) -> int:
    """Write ``previous/VIDEO/000123.png`` for every frame of a dataset: gray, of the LR frame's size.

    The detector gets the interpolated version of the previous video frame (not of the previous sampled frame), reduced
    like the dataset's frames, but not coded. The first frame of a video has a map of zeros. Existing maps are kept.

    Args:
        dataset: a finished dataset whose videos are still in place.
        detect: function from (H, W, 3) uint8 RGB to detections.
        record: the detector, for the manifest.

    Returns:
        Number of maps.

    Raises:
        DatasetError: a previous frame cannot be read.
    """
    manifest = read_manifest(dataset)
    wanted: dict[str, set[int]] = {}
    for split in SPLITS:
        for frame in read_split(dataset, manifest, split):
            wanted.setdefault(frame.video_id, set()).add(frame.index)
    for source in track(manifest.sources, total=len(manifest.sources), label="previous detections", unit="video"):
        _add_to_video(dataset, manifest, source.video_id, Path(source.path), wanted.get(source.video_id, set()), detect)
    write_manifest(dataset, manifest.model_copy(update={"schema_version": 4, "previous": record}))
    return sum(map(len, wanted.values()))


def _add_to_video(
    dataset: Path, manifest: Manifest, video_id: str, path: Path, wanted: set[int], detect: Detect
) -> None:
    grid = manifest.make_grid(video_id)
    missing = {index for index in wanted if not (dataset / previous_name(video_id, index)).exists()}
    if 0 in missing:
        _write(dataset, video_id, 0, np.zeros((grid.height_px, grid.width_px), np.uint8))
        missing.discard(0)
    if not missing:
        return
    bicubic = Bicubic(grid.height_px, grid.width_px, grid.scale)
    enlarged = np.empty((grid.height_px * grid.scale, grid.width_px * grid.scale, 3), np.uint8)
    selection = FrameSelection(indices=frozenset(index - 1 for index in missing))
    for frame in read_source(path, selection, ReadOptions(), SourceReport(str(path))):
        lr = reduce_frame(frame.image, height_px=grid.height_px, width_px=grid.width_px, reduction=manifest.reduction)
        bicubic(lr, enlarged)
        found = detect(enlarged)
        _write(
            dataset,
            video_id,
            frame.index + 1,
            score_map(found.xyxy / grid.scale, found.confidence, grid.height_px, grid.width_px),
        )
        missing.discard(frame.index + 1)
    if missing:
        raise DatasetError(
            f"{path}: the frame before frame {min(missing)} cannot be read",
            hint="Check that the video is still in place.",
        )


def _write(dataset: Path, video_id: str, index: int, scores: NDArray[np.uint8]) -> None:
    write_image(dataset / previous_name(video_id, index), Image.fromarray(scores))
