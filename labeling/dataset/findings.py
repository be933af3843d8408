"""Problems of a dataset: uninformative levels, videos without objects, splits that share frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from deploy.core.files import read_image
from deploy.core.grid import Grid
from deploy.detectors.geometry import Fit, place
from labeling.dataset.manifest import Manifest, ModelRecord
from labeling.dataset.reader import LabelledFrame
from labeling.maths.split import SPLITS, SplitName, evenly_spaced

MOSTLY_LEVEL_0 = 0.95
SAME_FRAME = 1.5
"""Two frames of which no block's mean color differs by more, of 255, show the same: camera noise is below that."""
MOST_FRAMES = 200
"""Frames of a split that are compared with the others, evenly spaced."""


def level_findings(where: str, histogram: Sequence[int], *, splits_whole: bool, curve: str) -> list[str]:
    """Find levels that are never used, and labels that are nearly all level 0.

    Args:
        where: origin of the histogram, for the message.
        histogram: pixels or blocks at each level.
        curve: how importance was normalized.
        splits_whole: whether to report unused levels; they are expected in a small part of a dataset.
    """
    counts = np.asarray(histogram)
    share = counts[0] / max(1, counts.sum())
    found = []
    advice = (
        "use more frames with objects, or fewer --levels"
        if curve == "quantile"
        else "use --curve quantile, which uses all levels"
    )
    if share > MOSTLY_LEVEL_0:
        found.append(f"{where} is {100 * share:.1f} % level 0: a model will learn to predict only that; {advice}")
    unused = np.flatnonzero(counts == 0).tolist()
    if splits_whole and unused and counts.sum():
        names = ", ".join(map(str, unused))
        found.append(f"{where} has no level {names}: {advice}")
    return found


def detection_findings(video_id: str, num_detections: NDArray[np.integer], detector: ModelRecord) -> list[str]:
    """Find frames without a detection, whose labels are all zero."""
    empty, count = int((num_detections == 0).sum()), len(num_detections)
    if not empty:
        return []
    of = f"any of its {count} frames; all its labels are level 0" if empty == count else f"{empty} of {count} frames"
    found = f"{video_id}: no detections on {of}"
    if 2 * empty > count:
        least = detector.settings.get("score_threshold")
        found += f". {detector.name} detects {_classes(detector)} from a score of {least} on: "
        found += "try another --detector, --classes, or a lower --score-threshold"
    return [found]


def _classes(detector: ModelRecord) -> str:
    names = detector.settings.get("classes")
    return ", ".join(names) if isinstance(names, tuple) else "all its classes"


def resolution_findings(detector: ModelRecord, grid: Grid) -> list[str]:
    """Find detectors of fixed input size that see the super-resolved frame no larger than the low-resolution one.

    Args:
        detector: record of the detector, whose settings contain its input size and resizing, if fixed.
        grid: sizes of the frames.
    """
    size, fit = (detector.settings.get(name) for name in ("input_size", "fit"))
    if not isinstance(size, str) or fit not in get_args(Fit):
        return []
    width, height = map(int, size.split("x"))
    sr_height, sr_width = grid.height_px * grid.scale, grid.width_px * grid.scale
    seen = place(sr_height, sr_width, (height, width), fit)  # type: ignore[arg-type]  # it is one of them
    if seen.height_px > grid.height_px or seen.width_px > grid.width_px:
        return []
    seen_as, own = f"{seen.width_px} x {seen.height_px}", f"{grid.width_px} x {grid.height_px}"
    enough = f"{-(-sr_width // 32) * 32}x{-(-sr_height // 32) * 32}"
    return [
        f"the detector's network of {width} x {height} sees the super-resolved frame of {sr_width} x {sr_height} at "
        f"{seen_as}, no larger than the low-resolution frame of {own}: super-resolution cannot help; export the "
        f"detector at {enough}, use --detector-size {enough} if its size is dynamic, or use a smaller --height"
    ]


def shared_frames(frames: Mapping[SplitName, list[LabelledFrame]], grid: Grid) -> list[str]:
    """Find frames of one split that look the same as a frame of another split.

    Args:
        frames: frames by split, all of one size.
        grid: the blocks whose mean colors are compared.
    """
    sampled = {split: evenly_spaced(found, MOST_FRAMES) for split, found in frames.items() if found}
    colours = {split: _block_colours(found, grid) for split, found in sampled.items()}
    found = []
    for left, right in combinations(sampled, 2):
        distance = np.stack([np.abs(colours[left] - row).max(axis=1) for row in colours[right]])
        same = distance.min(axis=1) <= SAME_FRAME
        if same.any():
            one = int(np.argmax(same))
            other = sampled[left][int(distance[one].argmin())]
            found.append(
                f"{int(same.sum())} of {len(same)} frames of {right} look the same as a frame of {left}, first "
                f"{_name(sampled[right][one])} and {_name(other)}: results on {right} are too optimistic; "
                "use a larger --gap-seconds, or split by whole videos"
            )
    return found


def all_findings(manifest: Manifest, frames: Mapping[SplitName, list[LabelledFrame]]) -> list[str]:
    """Return all problems, one sentence each."""
    found = []
    for split in SPLITS:
        histogram = manifest.splits[split].level_histogram
        found += level_findings(split, histogram, splits_whole=split == "train", curve=manifest.curve)
    everything = [frame for split in SPLITS for frame in frames[split]]
    for source in manifest.sources:
        counts = [frame.num_detections for frame in everything if frame.video_id == source.video_id]
        found += detection_findings(source.video_id, np.array(counts), manifest.detector) if counts else []
    for grid, videos in manifest.grids.items():
        found += resolution_findings(manifest.detector, grid)
        alike = {split: [frame for frame in frames[split] if frame.video_id in videos] for split in SPLITS}
        found += shared_frames(alike, grid)
    return found


def _block_colours(frames: Sequence[LabelledFrame], grid: Grid) -> NDArray[np.float32]:
    """(frames, rows * cols * 3) mean colors, 0 to 255."""
    return np.stack([_block_colour(frame.image, grid) for frame in frames])


def _block_colour(path: Path, grid: Grid) -> NDArray[np.float32]:
    return grid.pool(read_image(path).transpose(2, 0, 1)).ravel()


def _name(frame: LabelledFrame) -> str:
    return f"{frame.video_id}/{frame.index:06d}"
