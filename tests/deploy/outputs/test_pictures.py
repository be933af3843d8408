"""Overlays, palettes, the color scale and the video writer."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from deploy.core.errors import OptionError, OutputError
from deploy.core.grid import Grid
from deploy.inputs.video import read_frames
from deploy.outputs.overlay import color_table, colors_of, importance_overlay, legend_bar, level_palette, with_legend
from deploy.outputs.video_writer import VideoWriter

GRID = Grid(40, 56, scale=3)
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


def test_colours_grow_lighter() -> None:
    lightness = color_table() @ LUMINANCE
    assert (np.diff(lightness) > 0).all()
    np.testing.assert_array_equal(colors_of(np.array([-1.0, 0.0, 1.0, 2.0])), color_table()[[0, 0, 255, 255]])


@pytest.mark.parametrize("num_levels", [2, 5, 10, 20, 255, 256])
def test_palette_grows_lighter_by_level(num_levels: int) -> None:
    palette = level_palette(num_levels)
    assert len(palette) == 768
    colours = np.array(palette).reshape(256, 3)
    assert (np.diff(colours[:num_levels] @ LUMINANCE) > 0).all()
    assert (colours[num_levels:] == 128).all()


@pytest.mark.parametrize("num_levels", [1, 257])
def test_palette_refuses_other_numbers(num_levels: int) -> None:
    with pytest.raises(OptionError, match="num_levels"):
        level_palette(num_levels)


def test_overlay_blends_each_block_with_its_colour() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
    importance = np.random.default_rng(1).random((GRID.rows, GRID.cols)).astype(np.float32)
    before = frame.copy()
    overlay = importance_overlay(frame, importance, GRID, 0.5)
    expected = 0.5 * frame + 0.5 * colors_of(GRID.upsample(importance))
    assert np.abs(overlay - expected).max() <= 1
    np.testing.assert_array_equal(frame, before)
    np.testing.assert_array_equal(importance_overlay(frame, importance, GRID, 0), frame)
    np.testing.assert_array_equal(importance_overlay(frame, importance, GRID, 1), colors_of(GRID.upsample(importance)))


def test_overlay_outlines_selected_regions() -> None:
    selected = np.zeros((GRID.rows, GRID.cols), np.bool_)
    selected[1, 1:3] = True
    frame, importance = np.zeros((40, 56, 3), np.uint8), np.zeros(selected.shape, np.float32)
    white = (importance_overlay(frame, importance, GRID, 0, selected) == 255).all(axis=-1)
    expected = np.zeros((40, 56), np.bool_)
    expected[16:32, 16:48] = True
    expected[17:31, 17:47] = False
    np.testing.assert_array_equal(white, expected)


def test_overlay_refuses_what_does_not_fit() -> None:
    importance = np.zeros((GRID.rows, GRID.cols), np.float32)
    with pytest.raises(OptionError, match="does not match the grid's 40 x 56 pixels"):
        importance_overlay(np.zeros((56, 40, 3), np.uint8), importance, GRID)
    with pytest.raises(OptionError, match="alpha"):
        importance_overlay(np.zeros((40, 56, 3), np.uint8), importance, GRID, 45)


def test_legend_runs_from_dark_to_bright_below_the_picture() -> None:
    bar = legend_bar(300)
    np.testing.assert_array_equal(bar[0, [0, -1]], color_table()[[0, 255]])
    picture = np.full((10, 300, 3), 7, np.uint8)
    np.testing.assert_array_equal(with_legend(picture), np.concatenate([picture, bar]))


@pytest.mark.parametrize("step", [Fraction(1, 25), Fraction(1001, 24000), Fraction(1001, 60000)])
@pytest.mark.parametrize("start", [Fraction(0), Fraction(10)])
def test_video_keeps_exact_times_and_even_sizes(tmp_path: Path, step: Fraction, start: Fraction) -> None:
    times = [start + step * index for index in (0, 1, 2, 5, 6)]
    with VideoWriter(tmp_path / "v.mp4", frame_rate=1 / step) as writer:
        for index, pts_seconds in enumerate(times):
            writer.write(np.full((31, 45, 3), 40 * index, np.uint8), pts_seconds=pts_seconds)
    frames = list(read_frames(tmp_path / "v.mp4"))
    assert [frame.pts_seconds for frame in frames] == times
    assert frames[0].image.shape == (32, 46, 3)
    assert [round(float(frame.image.mean()) / 40) for frame in frames] == [0, 1, 2, 3, 4]


def test_video_without_x264(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.outputs.video_writer.av.codecs_available", {"mpeg4"})
    with VideoWriter(tmp_path / "v.mp4", frame_rate=Fraction(25)) as writer:
        for index in range(5):
            writer.write(np.full((32, 32, 3), 40 * index, np.uint8), pts_seconds=Fraction(index, 25))
    with av.open(str(tmp_path / "v.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
    assert [frame.pts_seconds for frame in read_frames(tmp_path / "v.mp4")] == [Fraction(i, 25) for i in range(5)]


def test_repeated_times_move_on(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "v.mp4", frame_rate=Fraction(25)) as writer:
        for pts_seconds in (Fraction(-1), Fraction(1), Fraction(1)):
            writer.write(np.zeros((32, 32, 3), np.uint8), pts_seconds=pts_seconds)
    times = [frame.pts_seconds for frame in read_frames(tmp_path / "v.mp4")]
    assert times == [0, 1, 1 + Fraction(1, 360_000)]


def test_failed_video_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), VideoWriter(tmp_path / "v.mp4", frame_rate=Fraction(25)) as writer:
        writer.write(np.zeros((32, 32, 3), np.uint8), pts_seconds=Fraction(0))
        raise KeyError("stop")
    with pytest.raises(OutputError, match="no frames"), VideoWriter(tmp_path / "v.mp4", frame_rate=Fraction(25)):
        pass
    assert list(tmp_path.iterdir()) == []
