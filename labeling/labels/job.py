"""Plan a labeling job: videos, frames, sizes and splits. Does not need PyTorch."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path

from deploy.core.errors import InputError, OptionError
from deploy.core.grid import Grid
from deploy.inputs.report import Loss, ReadOptions, SourceReport
from deploy.inputs.sources import probe_source, sha256_of_source
from deploy.inputs.video import FrameSelection, VideoInfo
from labeling.core.frames import FrameSize, LrStream, frame_size
from labeling.dataset.manifest import ClipRecord, LossRecord, Manifest, ModelRecord, SourceRecord
from labeling.labels.clips import Clip, clips_of, span_of
from labeling.labels.lr_twin import match_twin
from labeling.labels.options import LabelOptions
from labeling.maths.split import SPLITS, SplitName, assign_splits

# Options that do not affect any label.
_NOT_PART_OF_THE_JOB = {
    "videos",
    "out",
    "dry_run",
    "overwrite",
    "detector_weights",
    "upscaler_weights",
    # The records of the detector and the upscaler contain these options.
    "class_names",
    "detector_layout",
    "detector_size",
    "upscaler_option",
    "offline",
    "calibration",
    "importance_from",
    "shard",
    "sr_cache",
    "engine",
    "ray_address",
    "preview",
    "damaged",
    "lr",
    # The records of the sources contain these options.
    "train",
    "val",
    "test",
    "clips",
}

BEFORE: dict[str, object] = {"stream": None, "reduce": "area", "lr_codec": None}
"""What held before there was a choice. Such values are not recorded: a dataset of then stays the same job."""


@dataclass(frozen=True)
class PlannedVideo:
    """One video and the frames to label."""

    video_id: str
    """Name of its folders in the dataset."""
    info: VideoInfo
    """What probing found."""
    size: FrameSize
    """The size of its frames."""
    grid: Grid
    """The macroblocks of its frames."""
    sha256: str
    """Hash of the file."""
    splits: dict[int, SplitName]
    """Frame index -> split, for the frames that are labeled; increasing."""
    clips: tuple[Clip, ...]
    """Of which parts of it they are."""
    losses: tuple[Loss, ...] = ()
    """What of it cannot be used."""
    twin: LrStream | None = None
    """Where its low-resolution frames were recorded."""
    twin_sha256: str = ""
    """Hash of that file."""

    def reading(self, options: LabelOptions) -> ReadOptions:
        """How its frames are read: always the same bytes, even with losses."""
        return replace(reading(options), frame_threads=not self.losses)

    @property
    def span(self) -> FrameSelection:
        """Range from its first part to its last."""
        return span_of(self.clips)

    @property
    def by_hand(self) -> tuple[ClipRecord, ...]:
        """Parts whose split was set by hand."""
        return tuple(
            ClipRecord(
                split=clip.split,
                start_seconds=clip.selection.start_seconds,
                stop_seconds=clip.selection.stop_seconds,
                every=clip.selection.every,
            )
            for clip in self.clips
            if clip.split
        )

    def source_record(self, *, of_one_size: bool = True) -> SourceRecord:
        """Its entry in the manifest, with a frame size only if the videos' sizes differ."""
        return SourceRecord(
            video_id=self.video_id,
            path=_as_text(str(self.info.path.resolve())),
            sha256=self.sha256,
            width_px=self.info.width_px,
            height_px=self.info.height_px,
            frame_rate=str(self.info.frame_rate),
            num_frames=self.info.num_frames,
            lr_path=None if self.twin is None else _as_text(str(self.twin.path.resolve())),
            lr_sha256=self.twin_sha256,
            clips=self.by_hand,
            losses=tuple(
                LossRecord(kind=loss.kind, num_frames=loss.count, places=tuple(map(_as_text, loss.places)))
                for loss in self.losses
            ),
            frame_height_px=None if of_one_size else self.size.height_px,
            frame_width_px=None if of_one_size else self.size.width_px,
        )


@dataclass(frozen=True)
class LabelJob:
    """A planned labeling job."""

    videos: tuple[PlannedVideo, ...]
    """In the order they were named. They have one scale, block size and kind of grid."""

    @property
    def grids(self) -> list[Grid]:
        """Distinct grids of the videos."""
        return list(dict.fromkeys(video.grid for video in self.videos))

    @property
    def grid(self) -> Grid:
        """The macroblocks of the smallest frame that can contain the frames of all videos, at its upper left."""
        height_px, width_px = (max(getattr(grid, side) for grid in self.grids) for side in ("height_px", "width_px"))
        return replace(self.grids[0], height_px=height_px, width_px=width_px)

    @property
    def num_frames(self) -> int:
        """Number of frames to label."""
        return sum(len(video.splits) for video in self.videos)

    def describe(self) -> str:
        """Describe the plan in a few lines."""
        grid, up_to = self.grid, "up to " if len(self.grids) > 1 else ""
        found = {"yes" if video.size.has_reference else "no" for video in self.videos}
        lines = [
            f"{self.num_frames} frames at {up_to}{grid.width_px} x {grid.height_px}, x{grid.scale}; "
            f"grid {grid.name}: {grid.rows} x {grid.cols} macroblocks of {grid.block_px} px; "
            f"true high-resolution frames: {found.pop() if len(found) == 1 else 'of some videos'}"
        ]
        for video in self.videos:
            counts = ", ".join(f"{split} {list(video.splits.values()).count(split)}" for split in SPLITS)
            own = f" at {video.size.width_px} x {video.size.height_px}" if up_to else ""
            lines.append(f"  {video.video_id}{own}: {video.info.num_frames} frames in the file; {counts}")
        return "\n".join(lines)

    def frames_of(self, part: int, parts: int) -> dict[str, set[int]]:
        """Frame indices by video of one of `parts` contiguous parts of nearly equal length, counted from 1."""
        frames = [(video.video_id, index) for video in self.videos for index in video.splits]
        chosen = frames[len(frames) * (part - 1) // parts : len(frames) * part // parts]
        return {video.video_id: {index for name, index in chosen if name == video.video_id} for video in self.videos}

    def fingerprint(
        self,
        options: LabelOptions,
        models: tuple[ModelRecord, ModelRecord],
        versions: object,
        calibration: Manifest | None = None,
    ) -> str:
        """Hash of everything that determines the labels."""
        parts = {
            "options": option_values(options),
            "videos": [
                (
                    video.video_id,
                    video.sha256,
                    *([video.twin_sha256] if video.twin else []),
                    *(clip.model_dump(mode="json") for clip in video.by_hand),
                )
                for video in self.videos
            ],
            "models": [model.model_dump(mode="json") for model in models],
            "versions": versions,
        }
        if calibration:
            parts["calibration"] = calibration.calibrations["dataset"].model_dump(mode="json")
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def _as_text(name: str) -> str:
    """Convert a path to text; paths may be invalid in any encoding."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def option_values(options: LabelOptions) -> dict[str, object]:
    """Options that determine the labels, as plain values."""
    values = {name: value for name, value in asdict(options).items() if name not in _NOT_PART_OF_THE_JOB}
    return {name: value for name, value in values.items() if name not in BEFORE or value != BEFORE[name]}


def reading(options: LabelOptions) -> ReadOptions:
    """How each video is read."""
    return ReadOptions(options.stream, options.damaged)


def plan_job(options: LabelOptions) -> LabelJob:
    """Probe the videos, report losses, and assign every frame to a split.

    Raises:
        InputError: a video cannot be used.
        OptionError: a video is given twice, or no frame is left for a split.
    """
    paths = _by_path(clips_of(options))
    if options.lr and len(options.lr) != len(paths):
        raise OptionError(
            f"{len(options.lr)} --lr for {len(paths)} videos",
            hint="Specify one low-resolution video per video, in the same order.",
        )
    reports = [SourceReport(str(path), options.damaged) for path in paths]
    infos = [
        _probed(path, span_of(parts), reading(options), report)
        for (path, parts), report in zip(paths.items(), reports, strict=True)
    ]
    hashes = [sha256_of_source(path) for path in paths]
    for path, digest in zip(paths, hashes, strict=True):
        if hashes.count(digest) > 1:
            raise OptionError(f"the same video twice: {path}", hint="Use the same path for each part of it.")
    names = _video_ids(list(paths), hashes)
    clips = dict(zip(names, paths.values(), strict=True))
    splits = _split_frames(dict(zip(names, infos, strict=True)), clips, options)
    twins = [_probed(path, FrameSelection(), ReadOptions(), SourceReport(str(path), "stop")) for path in options.lr]
    videos = []
    for position, (name, info) in enumerate(zip(names, infos, strict=True)):
        size = _size_of(info, twins[position] if twins else None, options)
        twin = match_twin(info, twins[position], list(splits[name])) if twins else None
        twin_sha256 = sha256_of_source(options.lr[position]) if twins else ""
        losses = reports[position].losses
        videos.append(
            PlannedVideo(
                name, info, size, options.make_grid(size.height_px, size.width_px), hashes[position], splits[name],
                tuple(clips[name]), losses, twin, twin_sha256,
            )
        )  # fmt: skip
    return LabelJob(tuple(videos))


def _by_path(clips: Sequence[Clip]) -> dict[Path, list[Clip]]:
    """Group parts by video; a video without splits may be given only once."""
    found: dict[Path, list[Clip]] = {}
    for clip in clips:
        found.setdefault(clip.path, []).append(clip)
        if clip.split is None and len(found[clip.path]) > 1:
            raise OptionError(f"the same video twice: {clip.path}", hint="Specify each video once.")
    return found


def _split_frames(
    infos: dict[str, VideoInfo], clips: dict[str, list[Clip]], options: LabelOptions
) -> dict[str, dict[int, SplitName]]:
    """Assign every labeled frame to a split."""
    by_hand: dict[str, dict[int, SplitName]] = {}
    by_shares: dict[str, dict[int, Fraction]] = {}
    for name, info in infos.items():
        for clip in clips[name]:
            frames = {
                index: seconds
                for index, seconds in enumerate(info.seconds)
                if index not in info.unusable and clip.selection.takes(index, seconds)
            }
            if not frames:
                raise OptionError(
                    f"no frame of {name!r} is selected", hint="Check --start-seconds, --stop-seconds, --every."
                )
            if clip.split is None:
                by_shares[name] = frames
                continue
            known = by_hand.setdefault(name, {})
            twice = next((index for index in frames if known.get(index, clip.split) != clip.split), None)
            if twice is not None:
                both = f"{known[twice]} and {clip.split}"
                raise OptionError(
                    f"frame {twice} of {name!r} ({float(frames[twice]):.3f} s) is in {both}",
                    hint="Parts of a video in different splits must not overlap.",
                )
            known.update(dict.fromkeys(frames, clip.split))
    if by_hand:
        return {name: dict(sorted(frames.items())) for name, frames in by_hand.items()}
    times = {name: list(frames.values()) for name, frames in by_shares.items()}
    assigned = assign_splits(times, options.split, options.gap_seconds)
    return {
        name: {index: split for index, split in zip(frames, assigned[name], strict=True) if split}
        for name, frames in by_shares.items()
    }


def _probed(path: Path, selection: FrameSelection, how: ReadOptions, report: SourceReport) -> VideoInfo:
    info = probe_source(path, selection, how, report)
    report.show()
    return info


def _size_of(info: VideoInfo, twin: VideoInfo | None, options: LabelOptions) -> FrameSize:
    """Frame size of a video: from its low-resolution twin, or from the options."""
    if twin is not None:
        size = FrameSize.of(twin.height_px, twin.width_px, options.scale, info)
    else:
        size = frame_size(info, options.height, options.scale)
    if (options.upscaler == "reference" or options.reference == "true") and not size.has_reference:
        raise InputError(
            f"{info.path} ({info.width_px} x {info.height_px}) is smaller than {options.scale} x {size.height_px}",
            hint="Use a smaller --height or --scale, or the super-resolved frame: --upscaler edsr --reference sr.",
        )
    return size


def _video_ids(paths: Sequence[Path], hashes: Sequence[str]) -> list[str]:
    """File names reduced to safe characters, with a part of the hash if ambiguous."""
    plain = [re.sub(r"[^A-Za-z0-9_-]+", "_", path.stem).strip("_-")[:48] or "video" for path in paths]
    return [
        name if plain.count(name) == 1 else f"{name}-{digest[:8]}" for name, digest in zip(plain, hashes, strict=True)
    ]
