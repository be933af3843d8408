"""Real footage: clocks, hidden and lost frames, covers, oblong pixels, HDR. Each is read as it is shown."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from deploy import read_frames
from deploy.core.errors import InputError, OptionError
from deploy.inputs import pictures
from deploy.inputs.clock import Clock, PacketLedger
from deploy.inputs.cut_off import missing_bytes
from deploy.inputs.live import LiveOptions, read_live
from deploy.inputs.video import FrameSelection, ReadOptions, SourceReport, expect, probe
from tests.helpers.footage import cut, number_of, picture, spoil, write
from tests.helpers.footage_cases import CASES, WHOLE, Case, each_case, paths_of, write_hdr
from tests.helpers.http_server import serving

FIRST_PTS = {"04_cut_midgop.ts": 4, "08_clock_1000.ts": 1000, "08_clock_5000.ts": 5000, "03_dropped_frames.avi": 0}
STOP = ReadOptions(damaged="stop")


def numbers(path: Path, report: SourceReport | None = None) -> list[int]:
    return [number_of(frame.image) for frame in read_frames(path, report=report)]


@each_case
def test_pictures_times_and_positions(case: Case, tmp_path: Path) -> None:
    for path in paths_of(case, tmp_path):
        report = SourceReport(path.name)
        frames = list(read_frames(path, report=report))
        assert [number_of(frame.image) for frame in frames] == list(case.numbers), path.name
        assert [frame.index for frame in frames] == list(range(len(frames)))
        assert [frame.seconds for frame in frames] == case.seconds, path.name
        assert {frame.image.shape for frame in frames} == {(192, 256, 3)}
        assert all(later.pts_seconds > earlier.pts_seconds for earlier, later in pairwise(frames))
        assert frames[0].pts_seconds == FIRST_PTS.get(path.name, frames[0].pts_seconds)
        assert sum(loss.count for loss in report.losses) == case.lost
        info = probe(path, report=SourceReport(path.name))
        assert info.times == tuple(frame.pts_seconds for frame in frames)
        assert list(info.seconds) == case.seconds
        assert (info.height_px, info.width_px) == (192, 256)


@each_case
def test_packets_tell_how_many_frames_will_come(case: Case, tmp_path: Path) -> None:
    """Frames that are lost, or never shown, are packets too."""
    expected = expect(case.make(tmp_path), FrameSelection(), ReadOptions())
    hidden = 6 if case.name == "hidden frames" else 0
    assert expected.num_frames - hidden == len(case.numbers) + case.lost


@pytest.mark.parametrize("case", [case for case in CASES if case.lost], ids=lambda case: case.name)
def test_what_is_lost_is_an_error_where_nothing_may_be(case: Case, tmp_path: Path) -> None:
    path = case.make(tmp_path)
    with pytest.raises(InputError, match=r"could not be decoded|of another size") as error:
        list(read_frames(path, reading=STOP))
    assert path.name in str(error.value) and "--damaged skip" in error.value.hint
    with pytest.raises(InputError):
        probe(path, reading=STOP)


def test_a_selection_counts_from_the_first_frame(tmp_path: Path) -> None:
    path = write(tmp_path / "v.ts", start=10_000)
    selection = FrameSelection(start_seconds=2, stop_seconds=3)
    frames = list(read_frames(path, selection=selection))
    assert [number_of(frame.image) for frame in frames] == list(range(20, 30))
    assert frames[0].pts_seconds == 1002 and frames[0].seconds == 2
    assert expect(path, selection, ReadOptions()).num_frames == 10


# The clock


@pytest.mark.parametrize(
    ("given", "right"),
    [
        ([0, 1, 2], [0, 1, 2]),
        ([1000, 1001, 1003], [1000, 1001, 1003]),
        ([-3, -2, 0], [-3, -2, 0]),
        ([5, 6, 7, 0, 1, 3], [5, 6, 7, 8, 9, 11]),  # at the new clock's pace
        ([5, 6, 0, 1, 40, 41], [5, 6, 7, 8, 40, 41]),  # later again than all before
        ([5, 6, 0, 1, 0, 1], [5, 6, 7, 8, 9, 10]),  # twice
        ([0, 1, 1, 2], [0, 1, 2, 3]),
        ([None, None, None], [0, 1, 2]),
        ([None, None, 70, 71], [0, 1, 2, 3]),  # RTSP: the first frames come before the time is known
        ([7, None, 9], [7, 8, 9]),
    ],
)
def test_the_clock(given: list[int | None], right: list[int]) -> None:
    clock = Clock(Fraction(1))
    assert [clock(None if time is None else Fraction(time)) for time in given] == right


def test_the_ledger_names_a_lost_packet_once() -> None:
    ledger = PacketLedger(in_decoding_order=False)
    lost = []
    for time in range(100):
        ledger.sent(time)
        if time != 40:
            assert ledger.came(time) == time
        lost += ledger.overdue()
    assert lost == [40] and ledger.overdue(at_end=True) == [] and not ledger.lacks_its_tail
    ledger.sent(100)
    assert ledger.lacks_its_tail and ledger.overdue(at_end=True) == [100]


def test_times_of_decoding_recover_from_a_loss() -> None:
    """Frame 1 is shown after 2 and 3, 4 after 5 and 6, and so on; the container has the times of decoding."""
    ledger, shown = PacketLedger(in_decoding_order=True), {}
    for first in range(0, 150, 3):
        for time in (first + 1, first + 2, first + 3):
            ledger.sent(time)
        for time in (first + 2, first + 3, first + 1):
            if time != 32:
                shown[time] = ledger.came(time)
                ledger.overdue()
    assert [shown[time] for time in (2, 3, 1, 5, 6, 4)] == [1, 2, 3, 4, 5, 6]
    assert [shown[time] for time in (140, 141, 139)] == [139, 140, 141]


# Damage


@pytest.mark.parametrize("codec", ["libx264", "mpeg4", "mjpeg", "libx265"])
@pytest.mark.parametrize("number", [20, 45])
@pytest.mark.parametrize("threads", [1, 16])
def test_one_bad_packet_loses_one_picture(
    codec: str, number: int, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the number of threads: an error must not take the frames that wait beside it."""
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    settings = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    path = write(tmp_path / "v.mp4", WHOLE, codec, pix_fmt=pix_fmt, gop_size=1, settings=settings)
    spoil(path, number)
    choose = pictures.video_stream

    def with_threads(*arguments: object) -> av.VideoStream:
        stream = choose(*arguments)  # type: ignore[arg-type]
        stream.codec_context.thread_count = threads
        return stream

    monkeypatch.setattr(pictures, "video_stream", with_threads)
    report = SourceReport("v")
    assert numbers(path, report) == [*range(number), *range(number + 1, 48)]
    assert [(loss.kind, loss.count) for loss in report.losses] == [("undecodable", 1)]
    assert f"{(number - (codec in ('mpeg4', 'mjpeg'))) / 10:.3f} s" in report.losses[0].places[0]
    with pytest.raises(InputError, match="could not be decoded"):
        list(read_frames(path, reading=STOP))


def test_a_bad_packet_leaves_the_times_of_the_others(tmp_path: Path) -> None:
    path = spoil(write(tmp_path / "v.mp4", max_b_frames=2, settings={"b-adapt": "0"}), 17)
    frames = list(read_frames(path))
    whole = {frame.pts_seconds for frame in read_frames(write(tmp_path / "whole.mp4", max_b_frames=2))}
    assert len(frames) == 47 and {frame.pts_seconds for frame in frames} < whole
    assert frames[-1].seconds == Fraction(47, 10)


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("v.mp4", "libx264", {"movflags": "faststart"}),
        ("v.mp4", "libx264", {"movflags": "frag_keyframe+empty_moov"}),
        ("v.mkv", "libx264", {}),
        ("v.webm", "libvpx-vp9", {}),
        ("v.avi", "mpeg4", {}),
        ("v.asf", "libx264", {}),
    ],
)
def test_a_file_that_is_cut_off_is_told(name: str, codec: str, options: dict[str, str], tmp_path: Path) -> None:
    settings = {"cpu-used": "8", "deadline": "realtime"} if codec == "libvpx-vp9" else {}
    path = write(tmp_path / name, WHOLE, codec, options=options, settings=settings, gop_size=4)
    assert missing_bytes(path) == 0
    whole_bytes = path.stat().st_size
    cut(path)
    removed = whole_bytes - path.stat().st_size
    if "frag" in str(options):  # each fragment declares its own length alone
        assert 0 < missing_bytes(path) < removed
    else:
        assert removed - 8 <= missing_bytes(path) <= removed
    report = SourceReport("v")
    found = numbers(path, report)
    assert 10 < len(found) < 40 and found == list(range(len(found)))
    lost = {loss.kind: loss.count for loss in report.losses}
    assert "bytes are missing" in str(report.losses[-1])
    if name in ("v.mkv", "v.webm", "v.avi") or options == {"movflags": "faststart"}:
        assert lost["cut_off"] + lost.get("corrupt", 0) == 48 - len(found)
    with pytest.raises(InputError, match="truncated"):
        next(read_frames(path, reading=STOP))


def test_frames_that_the_decoder_calls_damaged_are_left_out(tmp_path: Path) -> None:
    """A transport stream of which one packet in twenty is lost."""
    data = write(tmp_path / "v.ts", range(120), max_b_frames=2).read_bytes()
    parts, rng = [data[at : at + 188] for at in range(0, len(data), 188)], np.random.default_rng(1)
    (tmp_path / "v.ts").write_bytes(b"".join(part for part in parts if rng.random() > 0.05))
    report, reading = SourceReport("v"), ReadOptions(frame_threads=False)
    frames = list(read_frames(tmp_path / "v.ts", report=report, reading=reading))
    with av.open(str(tmp_path / "v.ts")) as container:
        container.streams.video[0].thread_type = "FRAME"
        flags = [decoded.is_corrupt for decoded in container.decode(video=0)]
    assert sum(flags) > 0 and len(frames) == flags.count(False)
    assert next(loss.count for loss in report.losses if loss.kind == "corrupt") == sum(flags)
    again = read_frames(tmp_path / "v.ts", report=SourceReport("v"), reading=reading)
    assert [frame.image.tobytes() for frame in again] == [frame.image.tobytes() for frame in frames]
    assert expect(tmp_path / "v.ts", FrameSelection(), ReadOptions()).is_damaged


def test_a_library_user_is_told_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = spoil(write(tmp_path / "v.mp4", gop_size=1), 20)
    list(read_frames(path))
    assert capsys.readouterr().err == f"note: {path}: left out: frames that could not be decoded: 1 (2.000 s)\n"
    list(read_frames(write(tmp_path / "good.mp4")))
    assert capsys.readouterr().err == ""


# Streams and shapes


def test_a_stream_by_its_number(tmp_path: Path) -> None:
    case = next(case for case in CASES if case.name == "preview first")
    path = case.make(tmp_path)
    frames = list(read_frames(path, reading=ReadOptions(stream=0)))
    assert len(frames) == 10 and frames[0].image.shape == (48, 64, 3)
    with pytest.raises(InputError, match="stream 7 is not a video stream") as error:
        probe(path, reading=ReadOptions(stream=7))
    assert "0, 1" in error.value.hint
    with pytest.raises(OptionError, match="at least 0"):
        ReadOptions(stream=-1)
    with pytest.raises(OptionError, match="unknown"):
        ReadOptions(damaged="mend")  # type: ignore[arg-type]


def test_a_cover_alone_is_no_video(tmp_path: Path) -> None:
    from av.stream import Disposition

    with av.open(str(tmp_path / "song.m4a"), "w", format="mp4") as container:
        sound = container.add_stream("aac", rate=44100, layout="mono")
        cover = container.add_stream("mjpeg", rate=10)
        cover.height, cover.width, cover.pix_fmt, cover.disposition = 64, 64, "yuvj420p", Disposition.attached_pic
        packets = cover.encode(av.VideoFrame.from_ndarray(picture(0, 64, 64), format="rgb24")) + cover.encode()
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 44100, 0
        sounds = sound.encode(frame) + sound.encode()
        container.mux(packets + sounds)
    with pytest.raises(InputError, match="no video stream"):
        probe(tmp_path / "song.m4a")


def test_oblong_pixels_are_scaled_while_decoded(tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", range(2), aspect=Fraction(16, 11), size=(192, 176))
    asked = []

    def fit(height: int, width: int) -> tuple[int, int]:
        asked.append((height, width))
        return 96, 128

    frames = list(read_frames(path, fit=fit))
    assert asked[0] == (192, 256) and frames[1].image.shape == (96, 128, 3) and number_of(frames[1].image) == 1


@pytest.mark.parametrize("aspect", [Fraction(1, 100), Fraction(100, 1)])
def test_pixels_as_long_as_lines_are_not_believed(aspect: Fraction, tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", range(2), aspect=aspect, size=(48, 64))
    assert next(read_frames(path)).image.shape == (48, 64, 3)


def turned(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Write a display matrix of 16.16 numbers into the track header (ISO/IEC 14496-12, 8.3.2)."""
    data = bytearray(path.read_bytes())
    a, b, c, d = matrix
    at = data.index(b"tkhd") + 44
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("matrix", [(46341, 46341, -46341, 46341), (65536, 6554, -6554, 65536), (0, 0, 0, 0)])
def test_odd_angles_are_told_and_not_applied(matrix: tuple[int, int, int, int], tmp_path: Path) -> None:
    path, report = turned(write(tmp_path / "v.mp4", range(8)), matrix), SourceReport("v")
    assert numbers(path, report) == list(range(8))
    assert report.notes == ("its display matrix is not a multiple of 90 degrees and is ignored",)


def test_oblong_pixels_of_a_lying_picture(tmp_path: Path) -> None:
    """The width is stretched before the picture is turned."""
    path = turned(
        write(tmp_path / "v.mp4", range(3), aspect=Fraction(16, 11), size=(192, 176)), (0, 1 << 16, -1 << 16, 0)
    )
    frames = list(read_frames(path))
    assert [number_of(np.rot90(frame.image)) for frame in frames] == [0, 1, 2]
    assert frames[0].image.shape == (256, 192, 3)


def interlaced(path: Path) -> Path:
    return write(path, range(4), "mpeg2video", settings={"flags": "+ildct+ilme"})


def deep_gray(path: Path) -> Path:
    return write(path, range(2), "ffv1", pix_fmt="gray16le")


@pytest.mark.parametrize(
    ("name", "make", "note"),
    [
        ("v.mpg", interlaced, "interlaced, not deinterlaced"),
        ("v.mkv", write_hdr, "HDR (PQ) is converted to BT.709 colors"),
    ],
)
def test_notes_come_once(name: str, make: Callable[[Path], Path], note: str, tmp_path: Path) -> None:
    report = SourceReport("v")
    assert len(numbers(make(tmp_path / name), report)) > 2
    assert len(report.notes) == 1 and report.notes[0].startswith(note)
    assert report.lines() == [f"note: v: {report.notes[0]}"]


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_has_the_contrast_of_other_video(transfer: int, tmp_path: Path) -> None:
    path = write_hdr(tmp_path / "v.mkv", transfer)
    image = next(read_frames(path, fit=lambda height, width: (height // 2, width // 2))).image
    with av.open(str(path)) as container:
        plain = next(container.decode(video=0)).to_ndarray(format="rgb24")
    dark, bright = image[48, 8].mean(), image[8, :].max()
    assert float(bright) - dark > 1.1 * (float(plain[16, :].max()) - plain[96, 16].mean())
    if transfer == 16:  # 0.35 and 176 candelas are 20 and 234 of 255 beside a white of 203 (ITU-R BT.2408)
        assert abs(dark - 20) <= 2


def test_sixteen_bit_gray_is_refused(tmp_path: Path) -> None:
    path = deep_gray(tmp_path / "thermal.mkv")
    for read in (probe, lambda file: next(read_frames(file))):
        with pytest.raises(InputError, match="gray16le, not 8 bits per channel") as error:
            read(path)
        assert "ffmpeg" in error.value.hint


def test_a_live_stream_follows_the_same_rules(tmp_path: Path) -> None:
    """Recordings that were joined, served as one stream; the second half has another shape."""
    case = next(case for case in CASES if case.name == "clock restarts")
    joined = case.make(tmp_path)
    joined.write_bytes(joined.read_bytes() + write(tmp_path / "tall.ts", range(5), size=(256, 192)).read_bytes())
    report = SourceReport("camera")
    with serving(tmp_path) as address:
        frames = list(read_live(f"{address}/{joined.name}", FrameSelection(), LiveOptions(reconnects=0), report=report))
    assert [number_of(frame.image) for frame in frames] == list(case.numbers)
    assert [frame.seconds for frame in frames] == case.seconds
    assert [(loss.kind, loss.count) for loss in report.losses] == [("other_size", 5)]
