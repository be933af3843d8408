"""Assemble a dataset folder from the raw importance of all frames. The folder appears complete or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deploy.core.files import read_npz, write_image, write_npz, write_text
from deploy.core.work_folder import remove_temporaries, replace_folder
from deploy.outputs.overlay import level_palette
from labeling.dataset.findings import detection_findings, level_findings
from labeling.dataset.layout import image_name, label_name
from labeling.dataset.manifest import (
    Calibration,
    GridRecord,
    Manifest,
    ModelRecord,
    SplitRecord,
    calibration_key,
    write_manifest,
)
from labeling.labels.draft import WorkFolder
from labeling.labels.job import LabelJob, option_values
from labeling.labels.options import LabelOptions
from labeling.maths.quantise import Knots, fit_knots, level_edges, normalise, to_levels
from labeling.maths.split import SPLITS, SplitName


@dataclass(frozen=True, eq=False)
class VideoImportance:
    """Raw importance of one video's labeled frames."""

    frame_index: NDArray[np.int64]
    """(N,) position of each frame in the video."""
    importance: NDArray[np.float32]
    """(N, rows, cols)."""
    num_detections: NDArray[np.int64]
    """(N,) detections on the interpolated frame."""
    splits: tuple[SplitName, ...]
    """(N,) where each frame belongs."""


def assemble_dataset(
    job: LabelJob,
    options: LabelOptions,
    work: WorkFolder,
    *,
    models: tuple[ModelRecord, ModelRecord],
    versions: dict[str, str],
    fingerprint: str,
    calibration: Manifest | None = None,
) -> None:
    """Normalize, quantize, write every file into the work folder, then rename it to ``options.out``."""
    videos = {video.video_id: _load(video.video_id, video.splits, work) for video in job.videos}
    knots = {"dataset": calibration.calibrations["dataset"].knots()} if calibration else _fit(videos, options)
    histograms = {split: np.zeros(options.levels, np.int64) for split in SPLITS}
    lists: dict[SplitName, list[str]] = {split: [] for split in SPLITS}
    palette = level_palette(options.levels)
    for planned in job.videos:
        video_id, video = planned.video_id, videos[planned.video_id]
        for position, index in enumerate(video.frame_index.tolist()):
            value = normalise(video.importance[position], knots[calibration_key(options.scope, video_id, index)])
            label = planned.grid.upsample(to_levels(value, options.levels))
            image = Image.fromarray(label).convert("P")
            image.putpalette(palette)
            write_image(work.dataset / label_name(video_id, index), image)
            split = video.splits[position]
            histograms[split] += np.bincount(label.ravel(), minlength=options.levels)
            lists[split].append(f"{image_name(video_id, index)} {label_name(video_id, index)}\n")
    _write_lists(work.dataset, lists, options.levels)
    _write_importance(work.dataset, videos, job)
    manifest = _manifest(job, options, knots, models, versions, fingerprint, histograms, lists)
    if calibration:
        manifest = manifest.model_copy(update={"options": manifest.options | {"calibration": calibration.job_sha256}})
    write_manifest(work.dataset, manifest)
    remove_temporaries(work.dataset, below=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    replace_folder(work.dataset, options.out)
    _report(manifest, videos, options)


def _load(video_id: str, splits: dict[int, SplitName], work: WorkFolder) -> VideoImportance:
    frames = [read_npz(work.frame_file(video_id, index)) for index in splits]
    return VideoImportance(
        np.array(list(splits), np.int64),
        np.stack([frame["importance"] for frame in frames]),
        np.array([int(frame["num_detections"]) for frame in frames], np.int64),
        tuple(splits.values()),
    )


def _fit(videos: dict[str, VideoImportance], options: LabelOptions) -> dict[str, Knots]:
    """One normalization for the dataset (from its training frames, if any), for each video, or for each frame."""
    if options.scope == "dataset":
        train = [video.importance[[split == "train" for split in video.splits]] for video in videos.values()]
        if not any(map(len, train)):
            print(
                "note: without training frames, importance is normalized over all frames of this dataset: its levels "
                "are not those of other datasets; use --calibration DATASET to share another dataset's scale"
            )
            train = [video.importance for video in videos.values()]
        return {"dataset": fit_knots(np.concatenate([part.ravel() for part in train]), options.curve)}
    if options.scope == "video":
        return {video_id: fit_knots(video.importance, options.curve) for video_id, video in videos.items()}
    return {
        calibration_key(options.scope, video_id, index): fit_knots(video.importance[position], options.curve)
        for video_id, video in videos.items()
        for position, index in enumerate(video.frame_index.tolist())
    }


def _write_lists(dataset: Path, lists: dict[SplitName, list[str]], num_levels: int) -> None:
    for split, lines in lists.items():
        write_text(dataset / f"{split}.txt", "".join(lines))
    write_text(dataset / "labels.txt", "".join(f"level_{level}\n" for level in range(num_levels)))


def _write_importance(dataset: Path, videos: dict[str, VideoImportance], job: LabelJob) -> None:
    for planned in job.videos:
        video = videos[planned.video_id]
        times = [planned.info.times[index] for index in video.frame_index]
        names = [planned.info.image_names[index] for index in video.frame_index if planned.info.image_names]
        write_npz(
            dataset / "importance" / f"{planned.video_id}.npz",
            schema_version=np.array(1),
            importance=video.importance,
            num_detections=video.num_detections,
            frame_index=video.frame_index,
            pts_numerator=np.array([time.numerator for time in times], np.int64),
            pts_denominator=np.array([time.denominator for time in times], np.int64),
            split=np.array(video.splits),
            **({"image_names": np.array(names, np.str_)} if names else {}),
        )


def _manifest(
    job: LabelJob,
    options: LabelOptions,
    knots: dict[str, Knots],
    models: tuple[ModelRecord, ModelRecord],
    versions: dict[str, str],
    fingerprint: str,
    histograms: dict[SplitName, NDArray[np.int64]],
    lists: dict[SplitName, list[str]],
) -> Manifest:
    grid, of_one_size = job.grid, len(job.grids) == 1
    edges = {} if options.scope == "frame" else {key: level_edges(k, options.levels) for key, k in knots.items()}
    return Manifest(
        schema_version=2 if of_one_size else 3,
        frame_height_px=grid.height_px,
        frame_width_px=grid.width_px,
        grid=GridRecord(name=grid.name, block_px=grid.block_px, scale=grid.scale, rows=grid.rows, cols=grid.cols),
        num_levels=options.levels,
        scope=options.scope,
        curve=options.curve,
        calibrations={key: Calibration(importance=tuple(raw), value=tuple(v)) for key, (raw, v) in knots.items()},
        level_edges={key: tuple(edge) for key, edge in edges.items()},
        detector=models[0],
        upscaler=models[1],
        options=option_values(options),
        sources=tuple(video.source_record(of_one_size=of_one_size) for video in job.videos),
        splits={
            split: SplitRecord(num_frames=len(lists[split]), level_histogram=tuple(histograms[split].tolist()))
            for split in SPLITS
        },
        versions=versions,
        job_sha256=fingerprint,
    )


def _report(manifest: Manifest, videos: dict[str, VideoImportance], options: LabelOptions) -> None:
    """Print a summary, and warn about uninformative labels."""
    print(f"wrote {options.out}")
    for split, record in manifest.splits.items():
        pixels = max(1, sum(record.level_histogram))
        shares = " ".join(f"{100 * count / pixels:.0f}" for count in record.level_histogram)
        print(f"  {split:5s} {record.num_frames} frames; share of each level in %: {shares}")
        for finding in level_findings(
            split, record.level_histogram, splits_whole=split == "train", curve=manifest.curve
        ):
            print(f"  warning: {finding}")
    for video_id, video in videos.items():
        for finding in detection_findings(video_id, video.num_detections, manifest.detector):
            print(f"  warning: {finding}")
