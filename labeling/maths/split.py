"""Split frames into train, val and test: by video, or by contiguous segments of a video with gaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Literal, TypeVar

import numpy as np

from deploy.core.errors import OptionError

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
Item = TypeVar("Item")
Ratios = tuple[float, float, float]
"""Shares of train, val and test."""


def check_ratios(ratios: Ratios) -> None:
    """Raise OptionError unless the shares are nonnegative and sum to 1."""
    if not (min(ratios) >= 0 and abs(sum(ratios) - 1) <= 1e-6):  # in this form, NaN is refused, too
        raise OptionError(
            f"split={ratios} must be three shares, none negative, that sum to 1", hint="Try 0.6 0.2 0.2, or 0 0 1."
        )


def assign_splits(
    times: Mapping[str, Sequence[Fraction]], ratios: Ratios, gap_seconds: float
) -> dict[str, list[SplitName | None]]:
    """Assign each frame of each video to a split.

    Videos are kept whole if there is at least one for each split with a share; otherwise each is cut into contiguous
    segments.

    Args:
        times: video_id -> presentation times of its frames, increasing.
        ratios: shares of the frames.
        gap_seconds: frames within half of this from a cut belong to no split (None).

    Raises:
        OptionError: the shares are invalid, or a split would have no frame.
    """
    check_ratios(ratios)
    if len(times) >= sum(ratio > 0 for ratio in ratios):
        by_video = _assign_videos({video: len(frames) for video, frames in times.items()}, ratios)
        return {video: [by_video[video]] * len(frames) for video, frames in times.items()}
    return {video: _cut(video, frames, ratios, gap_seconds) for video, frames in times.items()}


def _assign_videos(num_frames: Mapping[str, int], ratios: Ratios) -> dict[str, SplitName]:
    """Assign each video, longest first, to the split that lacks the most frames; no split with a share stays empty."""
    total = sum(num_frames.values())
    lacking = {split: ratio * total for split, ratio in zip(SPLITS, ratios, strict=True) if ratio}
    assigned: dict[str, SplitName] = {}
    for video in sorted(num_frames, key=lambda name: (-num_frames[name], name)):
        empty = [split for split in lacking if split not in assigned.values()]
        videos_left = len(num_frames) - len(assigned)
        candidates = empty if len(empty) >= videos_left else list(lacking)
        split = max(candidates, key=lambda name: lacking[name])
        assigned[video] = split
        lacking[split] -= num_frames[video]
    return assigned


def _cut(video: str, times: Sequence[Fraction], ratios: Ratios, gap_seconds: float) -> list[SplitName | None]:
    count, gap = len(times), Fraction(gap_seconds).limit_denominator(10**6)
    cuts = [round(count * ratios[0]), round(count * (ratios[0] + ratios[1]))]
    splits: list[SplitName | None] = []
    for position, time in enumerate(times):
        near_cut = any(0 < cut < count and abs(time - _cut_time(times, cut)) * 2 < gap for cut in cuts)
        splits.append(None if near_cut else SPLITS[sum(position >= cut for cut in cuts)])
    for split, ratio in zip(SPLITS, ratios, strict=True):
        if ratio and split not in splits:
            raise OptionError(
                f"no frame of {video!r} is left for {split}: {count} frames, shares {ratios}, gap {gap_seconds} s",
                hint="Use a longer video, a smaller --every, or a smaller --gap-seconds.",
            )
    return splits


def _cut_time(times: Sequence[Fraction], cut: int) -> Fraction:
    return (times[cut - 1] + times[cut]) / 2


def evenly_spaced(items: Sequence[Item], most: int) -> list[Item]:
    """Select at most `most` items, evenly spaced from the first to the last, in order."""
    picks = np.unique(np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int))
    return [items[pick] for pick in picks]
