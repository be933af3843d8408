"""Decoding: exact times, upright pictures, flat memory, and clear errors."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise, product
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from deploy.core.errors import InputError, OptionError
from deploy.core.resize import area_resize
from deploy.inputs.video import Frame, FrameSelection, Upright, probe, read_frames

Image = NDArray[np.uint8]
MILLISECOND = Fraction(1, 1000)


def numbered(count: int, height: int = 48, width: int = 64) -> list[Image]:
    """Flat pictures whose brightness tells their number."""
    return [np.full((height, width, 3), 40 + 6 * (number % 32), np.uint8) for number in range(count)]


def number_of(frame: Frame) -> int:
    return round((float(frame.image.mean()) - 40) / 6)


def write(
    path: Path,
    frames: Sequence[Image],
    codec: str = "libx264",
    *,
    rate: int = 10,
    pix_fmt: str = "yuv420p",
    max_b_frames: int = 0,
    millis: Sequence[int] | None = None,
) -> Path:
    """Encode frames at a steady rate, or at times in milliseconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.codec_context.max_b_frames, stream.bit_rate = max_b_frames, 2_000_000
        if millis is not None:
            stream.codec_context.time_base = MILLISECOND
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if millis is not None:
                frame.pts, frame.time_base = millis[number], MILLISECOND
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_times_of_a_variable_rate_are_exact(tmp_path: Path) -> None:
    millis = np.cumsum(np.random.default_rng(0).integers(5, 90, 30)).tolist()
    path = write(tmp_path / "vfr.mp4", numbered(30), max_b_frames=2, millis=millis)
    frames = list(read_frames(path))
    assert [frame.pts_seconds for frame in frames] == [Fraction(milli, 1000) for milli in millis]
    assert [number_of(frame) for frame in frames] == list(range(30))
    assert probe(path).times == tuple(frame.pts_seconds for frame in frames)


@pytest.mark.parametrize("max_b_frames", [0, 3])
@pytest.mark.parametrize(
    ("codec", "suffix"),
    [
        ("libx264", "mp4"),
        ("libx264", "mkv"),
        ("libx264", "ts"),
        ("libx264", "avi"),
        ("mpeg4", "mp4"),
        ("mpeg4", "avi"),
    ],
)
def test_probed_times_are_those_of_decoding(tmp_path: Path, codec: str, suffix: str, max_b_frames: int) -> None:
    path = write(tmp_path / f"clip.{suffix}", numbered(24), codec, max_b_frames=max_b_frames)
    frames, info = list(read_frames(path)), probe(path)
    assert info.times == tuple(frame.pts_seconds for frame in frames)
    assert [after - before for before, after in pairwise(info.times)] == [Fraction(1, 10)] * 23
    assert [number_of(frame) for frame in frames] == list(range(24))
    assert (info.num_frames, info.frame_rate, info.width_px, info.height_px) == (24, 10, 64, 48)


def test_times_of_the_demo_clip(vtest: Path) -> None:
    info = probe(vtest)
    assert (info.num_frames, info.width_px, info.height_px, info.frame_rate) == (795, 768, 576, 10)
    assert info.times == tuple(Fraction(index, 10) for index in range(795))


@pytest.mark.parametrize("max_b_frames", [0, 3])
def test_what_an_edit_list_cuts_away_is_not_there(tmp_path: Path, max_b_frames: int) -> None:
    """Phones trim a video by an edit list: the frames before it are decoded but never shown."""
    whole = write(tmp_path / "whole.mp4", numbered(30), max_b_frames=max_b_frames).read_bytes()
    at = whole.index(b"elst") + 12  # after the version and the number of entries: duration, first media time
    duration, media_time = struct.unpack(">Ii", whole[at : at + 8])
    timescale = probe(tmp_path / "whole.mp4").times[1]
    with av.open(str(tmp_path / "whole.mp4")) as container:
        ticks_per_frame = int(timescale / container.streams.video[0].time_base)
    trimmed = tmp_path / "trimmed.mp4"
    entry = struct.pack(">Ii", duration - 800, media_time + 8 * ticks_per_frame)
    trimmed.write_bytes(whole[:at] + entry + whole[at + 8 :])
    frames = list(read_frames(trimmed))
    assert [number_of(frame) for frame in frames] == list(range(8, 30))
    assert probe(trimmed).times == tuple(frame.pts_seconds for frame in frames)
    assert frames[0].pts_seconds == 0


@pytest.mark.parametrize(
    ("selection", "wanted"),
    [
        (FrameSelection(), range(20)),
        (FrameSelection(every=3), range(0, 20, 3)),
        (FrameSelection(start_seconds=0.5), range(5, 20)),
        (FrameSelection(stop_seconds=0.5), range(5)),
        (FrameSelection(start_seconds=0.3, stop_seconds=1.2, every=2), range(4, 12, 2)),
        (FrameSelection(start_seconds=0.31, stop_seconds=0.35), range(0)),
        (FrameSelection(start_seconds=99), range(0)),
    ],
)
def test_selection(tmp_path: Path, selection: FrameSelection, wanted: range) -> None:
    path = write(tmp_path / "clip.mp4", numbered(20), max_b_frames=2)
    frames = list(read_frames(path, selection=selection))
    assert [frame.index for frame in frames] == list(wanted) == [number_of(frame) for frame in frames]
    assert [i for i, time in enumerate(probe(path).times) if selection.takes(i, time)] == list(wanted)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"every": 0}, "every=0"),
        ({"start_seconds": -1.0}, "at least 0"),
        ({"start_seconds": 2.0, "stop_seconds": 2.0}, "not after"),
    ],
)
def test_impossible_selections(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(OptionError, match=message) as error:
        FrameSelection(**arguments)  # type: ignore[arg-type]
    assert error.value.hint


def quarters(height: int = 48, width: int = 64) -> Image:
    """Red, green, blue and white quarters: no two orientations look alike."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = (250, 10, 10)
    image[: height // 2, width // 2 :] = (10, 250, 10)
    image[height // 2 :, : width // 2] = (10, 10, 250)
    image[height // 2 :, width // 2 :] = (240, 240, 240)
    return image


@pytest.mark.parametrize(
    ("matrix", "show"),
    [
        # (a, b, c, d): the pixel (x, y) is shown at (a x + c y, b x + d y). ffmpeg calls these rotations -90, 90, 180.
        ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
        ((0, -1, 1, 0), lambda image: np.rot90(image, 1)),
        ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
        ((1, 0, 0, 1), lambda image: image),
        ((-1, 0, 0, 1), np.fliplr),
        ((1, 0, 0, -1), np.flipud),
        ((0, 1, 1, 0), lambda image: image.swapaxes(0, 1)),
        ((0, -1, -1, 0), lambda image: np.rot90(image.swapaxes(0, 1), 2)),
    ],
    ids=["clockwise", "counterclockwise", "half", "none", "mirrored", "upside-down", "transposed", "transversed"],
)
def test_frames_are_upright(tmp_path: Path, matrix: tuple[int, int, int, int], show: Callable[[Image], Image]) -> None:
    data = write(tmp_path / "turned.mp4", [quarters()] * 3).read_bytes()
    a, b, c, d = (value << 16 for value in matrix)
    # Moved so that the corner that is shown first is the origin.
    shift = (64 << 16) * (a < 0) + (48 << 16) * (c < 0), (64 << 16) * (b < 0) + (48 << 16) * (d < 0)
    at = data.index(b"tkhd") + 44  # version 0: the matrix follows times, duration, layer and volume
    assert data[at : at + 36] == struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    turned = struct.pack(">9i", a, b, 0, c, d, 0, *shift, 1 << 30)
    (tmp_path / "turned.mp4").write_bytes(data[:at] + turned + data[at + 36 :])

    wanted = show(quarters())
    frame = next(read_frames(tmp_path / "turned.mp4"))
    assert frame.image.shape == wanted.shape and frame.image.flags.c_contiguous
    off = np.abs(frame.image.astype(int) - wanted).max(axis=2)
    assert np.mean(off > 40) < 0.1, "other quarters than expected"
    half = next(read_frames(tmp_path / "turned.mp4", fit=lambda height, width: (height // 2, width // 2)))
    expected = area_resize(frame.image, height_px=wanted.shape[0] // 2, width_px=wanted.shape[1] // 2)
    assert half.image.shape == expected.shape
    assert np.mean(np.abs(half.image.astype(int) - expected).max(axis=2) > 40) < 0.1
    info = probe(tmp_path / "turned.mp4")
    assert (info.height_px, info.width_px) == wanted.shape[:2]


@pytest.mark.parametrize(("height", "width"), [(47, 63), (1, 5), (33, 7)])
def test_odd_sizes_are_decoded_losslessly(tmp_path: Path, height: int, width: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    path = write(tmp_path / "odd.avi", [image] * 2, "ffv1", pix_fmt="bgr0")
    frames = list(read_frames(path))
    assert len(frames) == 2
    np.testing.assert_array_equal(frames[0].image, image)
    assert (probe(path).height_px, probe(path).width_px) == (height, width)


@pytest.mark.parametrize(
    ("codec", "message"), [(b"CSCD", "'camstudio' is not safe"), (b"ZZZZ", "no decoder for this codec")]
)
def test_a_codec_that_is_not_safe_is_refused(tmp_path: Path, codec: bytes, message: str) -> None:
    path = write(tmp_path / "clip.avi", numbered(2), "mpeg4")
    path.write_bytes(path.read_bytes().replace(b"FMP4", codec))
    for read in (probe, lambda file: next(read_frames(file))):
        with pytest.raises(InputError, match=message):
            read(path)


def test_frames_do_not_share_memory(tmp_path: Path) -> None:
    first, second = read_frames(write(tmp_path / "two.mp4", numbered(2)))
    assert not np.shares_memory(first.image, second.image)
    assert number_of(first) == 0 and number_of(second) == 1


def test_a_stream_may_change_its_size_and_colours_midway() -> None:
    rng = np.random.default_rng(0)
    upright = Upright(fit=lambda height, width: (height // 2, width) if width == 64 else (height, width))
    kinds = product([(48, 64), (40, 50), (33, 47)], ["yuv420p", "yuvj420p", "yuv444p", "gray", "nv12"], [1, 5, 9])
    for (height, width), pixels, colours in rng.permutation(np.array(list(kinds), object)):
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        decoded = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pixels)
        decoded.colorspace = colours
        scaled = {"height": height // 2, "width": width, "interpolation": "AREA"} if width == 64 else {}
        np.testing.assert_array_equal(upright(decoded), decoded.to_ndarray(format="rgb24", **scaled))


def test_memory_stays_flat(tmp_path: Path) -> None:
    path = write(tmp_path / "long.mp4", numbered(300, 96, 128))
    frame_bytes = 96 * 128 * 3
    probe(path)
    tracemalloc.start()
    for frame in read_frames(path):
        assert frame.image.nbytes == frame_bytes
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * frame_bytes, f"{peak / frame_bytes:.0f} frames were alive"


@pytest.mark.parametrize(("height", "width", "factor"), [(12, 18, 3), (8, 8, 2), (20, 12, 4), (9, 15, 1)])
def test_area_resize_is_the_mean_of_the_pixels(height: int, width: int, factor: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    resized = area_resize(image, height_px=height // factor, width_px=width // factor)
    assert resized.dtype == np.uint8
    for y in range(height // factor):
        for x in range(width // factor):
            area = image[y * factor : (y + 1) * factor, x * factor : (x + 1) * factor]
            # Rounded twice: along rows, then along columns.
            assert np.abs(resized[y, x] - area.reshape(-1, 3).mean(axis=0)).max() <= 1.0


@pytest.mark.parametrize("size", [(360, 640), (384, 512), (360, 480), (864, 800), (101, 77), (359, 479), (10, 700)])
def test_area_resize_at_any_ratio_is_opencvs(size: tuple[int, int]) -> None:
    image = np.random.default_rng(3).integers(0, 256, (576, 768, 3), np.uint8)
    expected = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(area_resize(image, height_px=size[0], width_px=size[1]) - expected).max() <= 1


def test_area_resize_by_a_fraction_counts_border_pixels_by_their_part() -> None:
    """5 pixels to 2: each output covers two and a half."""
    line = np.array([10, 60, 200, 80, 30], np.uint8)
    image = np.repeat(line[None, :, None], 3, axis=2)
    resized = area_resize(image, height_px=1, width_px=2)
    assert resized[0, :, 0].tolist() == [(10 + 60 + 200 / 2) / 2.5, (200 / 2 + 80 + 30) / 2.5]


def test_frames_scaled_while_decoded_equal_those_scaled_afterwards(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    smooth = cv2.resize(rng.integers(90, 170, (9, 16, 3), np.uint8), (480, 270), interpolation=cv2.INTER_CUBIC)
    path = write(tmp_path / "plain.mp4", [smooth] * 2)
    (whole, _), (small, _) = read_frames(path), read_frames(path, fit=lambda height, width: (height // 3, width // 3))
    expected = area_resize(whole.image, height_px=90, width_px=160)
    difference = np.abs(small.image.astype(int) - expected)
    assert small.image.shape == expected.shape
    assert difference.mean() < 1.5 and difference.max() < 12


def audio_only(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        for number in range(8):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 44100, number * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def without_frames(path: Path) -> None:
    with av.open(str(path), "w", format="avi") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        container.start_encoding()


def truncated(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (30, 48, 64, 3), np.uint8)
    data = write(path.with_name("whole.avi"), list(noise), "mpeg4").read_bytes()
    path.write_bytes(data[: len(data) // 2])


def index_lost(path: Path) -> None:
    data = write(path.with_name("whole.mp4"), numbered(30)).read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 4])


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("headless.mp4", index_lost, "not a readable video"),
        ("text.mp4", lambda path: path.write_text("no video\n" * 99), "not a readable video"),
        ("nothing.mp4", lambda path: path.write_bytes(b""), "not a readable video"),
        ("sound.m4a", audio_only, "no video stream"),
        ("unwritten.avi", without_frames, "no frames|not a readable video"),
        ("missing.mp4", lambda path: None, "video not found"),
        ("folder.mp4", Path.mkdir, "not a file"),
    ],
)
def test_unusable_files(tmp_path: Path, name: str, make: Callable[[Path], object], message: str) -> None:
    path = tmp_path / name
    make(path)
    with pytest.raises(InputError, match=message) as error:
        probe(path)
    assert error.value.hint and name in str(error.value)
    if message.startswith(("not", "video", "no video")):
        with pytest.raises(InputError, match=message):
            next(read_frames(path))


def test_objects_print_shapes_not_pixels(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mp4", numbered(3))
    assert repr(next(read_frames(path))) == "Frame(index=0, pts_seconds=0, image=(48, 64, 3))"
    assert repr(probe(path)) == "VideoInfo(clip.mp4, 64 x 48, 3 frames)"
