"""No frame of one split has a neighbor in another."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from deploy.core.errors import OptionError
from labeling.labels.options import LabelOptions
from labeling.maths.split import SPLITS, Ratios, assign_splits, check_ratios

RATIOS: Ratios = (0.6, 0.2, 0.2)


def regular(count: int, rate: int = 10) -> list[Fraction]:
    return [Fraction(index, rate) for index in range(count)]


@st.composite
def shares(draw: st.DrawFn) -> Ratios:
    parts = [draw(st.integers(1, 10)) for _ in SPLITS]
    train, val, test = (part / sum(parts) for part in parts)
    return train, val, test


TIMES = st.lists(st.integers(1, 400), min_size=3, max_size=120, unique=True).map(
    lambda millis: [Fraction(m, 100) for m in sorted(millis)]
)


@settings(max_examples=120, deadline=None)
@given(TIMES, shares(), st.sampled_from([0.0, 0.04, 0.1, 0.25, 0.5]))
def test_segments_are_contiguous_and_a_gap_apart(times: list[Fraction], ratios: Ratios, gap_seconds: float) -> None:
    try:
        (splits,) = assign_splits({"clip": times}, ratios, gap_seconds).values()
    except OptionError:
        assume(False)
        raise
    assert len(splits) == len(times)
    kept = [(time, split) for time, split in zip(times, splits, strict=True) if split]
    order = [split for _, split in kept]
    assert order == sorted(order, key=SPLITS.index), "not contiguous"
    assert set(order) == set(SPLITS)
    for (before, left), (after, right) in pairwise(kept):
        if left != right:
            assert after - before >= Fraction(gap_seconds).limit_denominator(1000)
    # Only what lies near a cut is left out: the first and the last frame never are, unless the cut is beside them.
    if gap_seconds == 0:
        assert None not in splits


@pytest.mark.parametrize("gap_seconds", [0.0, 0.1, 0.3, 0.7, 2.0])
@pytest.mark.parametrize("rate", [10, 25, 30])
def test_the_gap_is_no_longer_than_needed(gap_seconds: float, rate: int) -> None:
    """At steady rates the frames left out at a cut span the gap and at most two frames more."""
    (splits,) = assign_splits({"clip": regular(rate * 30, rate)}, RATIOS, gap_seconds).values()
    for left, right in pairwise(SPLITS):
        last = max(i for i, split in enumerate(splits) if split == left)
        first = next(i for i, split in enumerate(splits) if split == right)
        assert gap_seconds <= (first - last) / rate + 1e-9 <= gap_seconds + 2.001 / rate


def test_shares_are_kept() -> None:
    (splits,) = assign_splits({"clip": regular(1000)}, RATIOS, 0).values()
    assert [splits.count(split) for split in SPLITS] == [600, 200, 200]


def test_each_of_two_videos_is_cut() -> None:
    splits = assign_splits({"a": regular(100), "b": regular(50)}, RATIOS, 0.5)
    assert all(set(SPLITS) <= set(frames) for frames in splits.values())


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(1, 300), min_size=3, max_size=12), shares())
def test_three_videos_or_more_stay_whole(lengths: list[int], ratios: Ratios) -> None:
    times = {f"video{number}": regular(length) for number, length in enumerate(lengths)}
    splits = assign_splits(times, ratios, gap_seconds=2.0)
    assert {video: len(frames) for video, frames in splits.items()} == {v: len(t) for v, t in times.items()}
    of_video = {video: set(frames) for video, frames in splits.items()}
    assert all(len(found) == 1 for found in of_video.values()), "a video in two splits"
    assert set().union(*of_video.values()) == set(SPLITS)


def test_many_videos_come_near_the_shares() -> None:
    times = {f"video{number:02}": regular(50 + number) for number in range(40)}
    splits = assign_splits(times, RATIOS, 0)
    frames = [split for found in splits.values() for split in found]
    for split, ratio in zip(SPLITS, RATIOS, strict=True):
        assert frames.count(split) / len(frames) == pytest.approx(ratio, abs=0.03)


def test_the_order_of_videos_does_not_matter() -> None:
    times = {f"video{number}": regular(20) for number in range(7)}
    backwards = dict(reversed(times.items()))
    assert assign_splits(times, RATIOS, 0) == assign_splits(backwards, RATIOS, 0)


@pytest.mark.parametrize("ratios", [(0.0, 0.0, 0.0), (0.5, 0.5, 0.5), (1.2, -0.1, -0.1), (float("nan"), 0.5, 0.5)])
def test_bad_shares(ratios: Ratios) -> None:
    with pytest.raises(OptionError, match="three shares") as error:
        check_ratios(ratios)
    assert error.value.hint


@pytest.mark.parametrize("gap_seconds", [-1.0, float("nan"), float("inf")])
def test_impossible_gaps(gap_seconds: float) -> None:
    with pytest.raises(OptionError, match="--gap-seconds") as error:
        LabelOptions(videos=(Path("clip.mp4"),), out=Path("dataset"), gap_seconds=gap_seconds)
    assert error.value.hint


@pytest.mark.parametrize(("count", "gap_seconds"), [(1, 0.0), (2, 0.0), (5, 2.0), (40, 2.0), (0, 0.0)])
def test_a_video_too_short_for_three_splits(count: int, gap_seconds: float) -> None:
    with pytest.raises(OptionError, match="no frame of 'clip' is left for") as error:
        assign_splits({"clip": regular(count)}, RATIOS, gap_seconds)
    assert "--gap-seconds" in error.value.hint
