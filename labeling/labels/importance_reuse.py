"""Reuse the raw importance of an existing dataset: different levels, curves, scopes or splits then take seconds."""

from __future__ import annotations

from pathlib import Path

from deploy.core.files import read_image
from labeling.dataset.manifest import ModelRecord, read_manifest
from labeling.dataset.reader import read_split
from labeling.labels.compatibility import require_same_kind
from labeling.labels.draft import WorkFolder
from labeling.labels.job import BEFORE, LabelJob, option_values
from labeling.labels.options import LabelOptions
from labeling.maths.split import SPLITS

# Options of normalization and frame selection may differ.
_AFTERWARDS = {"levels", "curve", "scope", "split", "gap_seconds", "start_seconds", "stop_seconds", "every"}


def reuse_importance(
    dataset: Path,
    job: LabelJob,
    options: LabelOptions,
    models: tuple[ModelRecord, ModelRecord],
    versions: dict[str, str],
    work: WorkFolder,
) -> int:
    """Copy the importance of the job's frames from `dataset` into the work folder, as if they had been labeled.

    Args:
        dataset: folder of a finished dataset.
        job: the labeling job.
        options: options of the new labels.
        models: detector and upscaler of the new labels.
        versions: installed package versions.
        work: work folder of the job.

    Returns:
        Number of frames that were copied.

    Raises:
        OptionError: the importance is of another kind.
        DatasetError: the dataset cannot be read.
    """
    manifest = read_manifest(dataset)
    # Frames of an encoded video depend on the start of the video.
    coded: set[str] = set()
    same: dict[str, tuple[object, object]] = {"versions": (versions, manifest.versions)}
    if options.lr_codec:
        coded = {"start_seconds", "stop_seconds"}
        same["clips"] = ([video.by_hand for video in job.videos], [source.clips for source in manifest.sources])
    require_same_kind(
        manifest,
        options,
        models,
        sorted((option_values(options).keys() | BEFORE.keys()) - (_AFTERWARDS - coded)),
        same,
        named=f"--importance-from {dataset}",
        hint="Use the same options and weights, except for levels, curve, scope and frames; or label again.",
    )
    ids = {(source.sha256, source.lr_sha256): source.video_id for source in manifest.sources}
    frames = {frame.key: frame for split in SPLITS for frame in read_split(dataset, manifest, split)}
    taken = 0
    for video in job.videos:
        for index in video.splits:
            frame = frames.get((ids.get((video.sha256, video.twin_sha256), ""), index))
            if frame is not None and not work.frame_file(video.video_id, index).exists():
                work.store_image(video.video_id, index, read_image(frame.image))
                work.store_frame(video.video_id, index, frame.importance, frame.num_detections)
                taken += 1
    return taken
