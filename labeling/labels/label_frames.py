"""Label selected frames of one video and store each when it is done; used by every engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.core.errors import InputError
from deploy.core.files import write_image
from deploy.core.progress import track
from deploy.inputs.video import FrameSelection
from deploy.outputs.lr_codec import LrCodec
from labeling.core.frames import FramePair, LrStream, read_pairs
from labeling.dataset.layout import frame_file_name
from labeling.labels.coded_lr import encode_lr
from labeling.labels.draft import WorkFolder
from labeling.labels.job import LabelJob, PlannedVideo
from labeling.labels.options import LabelOptions
from labeling.labels.preview import preview
from labeling.maths.quantise import Knots

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    from labeling.labels.labeller import Labeller


def label_here(job: LabelJob, part: int, parts: int, labeller: Labeller, work: WorkFolder, knots: Knots | None) -> None:
    """Label, in this process, the frames of one part of the job (see `LabelJob.frames_of`) that are not done yet."""
    for video in job.videos:
        wanted = job.frames_of(part, parts)[video.video_id]
        missing = missing_frames(video, wanted, work)
        done = len(wanted) - len(missing)
        if done:
            print(f"{video.video_id}: {done} of {len(wanted)} frames are already done")
        if missing:
            frames = label_frames(video, missing, labeller, work, knots)
            deque(track(frames, total=len(wanted), done=done, label=f"labeling {video.video_id}"), maxlen=0)


def try_one_frame(job: LabelJob, labeller: Labeller) -> str:
    """Process the first frame to label, forward and backward, and return a summary.

    Raises:
        RegenError: the detector or the upscaler cannot be used.
    """
    video = job.videos[0]
    selection = replace(video.span, indices=frozenset({min(video.splits)}))
    for pair in _pairs(video, selection, labeller.options, None):
        _, num_detections = labeller.label(pair, always_differentiate=True)
        return (
            f"the detector and the upscaler work: {num_detections} detections on frame {pair.frame.index} of "
            f"{video.video_id}"
        )
    raise InputError(f"{video.info.path}: its first frame cannot be decoded", hint="Check that the file plays.")


def _pairs(
    video: PlannedVideo, selection: FrameSelection, options: LabelOptions, work: WorkFolder | None
) -> Iterator[FramePair]:
    """Read the selected frames at both sizes; without a work folder, low-resolution frames are not coded."""
    stream = video.twin if work is None else lr_stream(video, options, work)
    reading = video.reading(options)
    return read_pairs(video.info.path, video.size, selection, reading, reduction=options.reduce, lr_stream=stream)


def lr_stream(video: PlannedVideo, options: LabelOptions, work: WorkFolder) -> LrStream | None:
    """Source of low-resolution frames other than the reduced source, if any; encoded if needed."""
    if not options.lr_codec:
        return video.twin
    codec, path = LrCodec.parse(options.lr_codec), work.coded_file(video.video_id)
    reading, selection = video.reading(options), video.span
    return encode_lr(video.info, video.size, selection, reading, options.reduce, codec, path)


def missing_frames(video: PlannedVideo, wanted: set[int], work: WorkFolder) -> set[int]:
    """Selected frames that are not done yet."""
    return {index for index in wanted if not work.frame_file(video.video_id, index).exists()}


def label_frames(
    video: PlannedVideo,
    missing: set[int],
    labeller: Labeller,
    work: WorkFolder,
    knots: Knots | None = None,
) -> Iterator[int]:
    """Label frames; yields the index of each frame when its importance is on disk.

    Args:
        video: the video.
        missing: indices of the frames to label.
        labeller: the loaded networks.
        work: work folder for the results.
        knots: scale of the labels for previews, if known in advance.

    Raises:
        InputError: the file ends or is damaged before the last of the frames.
    """
    left = set(missing)
    every = labeller.options.preview
    selection = replace(video.span, indices=frozenset(missing))
    for pair in _pairs(video, selection, labeller.options, work):
        index = pair.frame.index
        importance, num_detections = labeller.label(pair)
        work.store_image(video.video_id, index, pair.lr)
        if every and list(video.splits).index(index) % every == 0:
            path = preview_folder(labeller.options.out) / video.video_id / frame_file_name(index)
            _write_preview(path, pair, importance, num_detections, labeller, knots)
        work.store_frame(video.video_id, index, importance, num_detections)
        left.discard(index)
        yield index
        if not left:
            return
    if left:
        raise InputError(
            f"{video.info.path}: {len(left)} of {len(missing)} frames cannot be decoded, first {min(left)}",
            hint="Re-encode it: ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4, or stop before with --stop-seconds.",
        )


def preview_folder(out: Path) -> Path:
    """Folder for previews, next to the dataset."""
    return out.with_name(f"{out.resolve().name}-preview")


def _write_preview(
    path: Path,
    pair: FramePair,
    importance: NDArray[float32],
    num_detections: int,
    labeller: Labeller,
    knots: Knots | None,
) -> None:
    caption = f"frame {pair.frame.index}, {float(pair.frame.pts_seconds):.2f} s, {num_detections} detections"
    write_image(path, preview(pair.lr, importance, labeller.options, caption, knots))
