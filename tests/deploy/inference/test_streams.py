"""Several inputs, live streams, selection over all of them, reuse of predictions, maps in segments and as lines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import count, pairwise
from pathlib import Path
from typing import Any, ClassVar

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.core.cli import EXIT_USER_ERROR
from deploy.core.errors import InputError, OptionError
from deploy.inference.background import Ahead, Behind
from deploy.inputs.live import LiveOptions, file_name_of, is_live, read_live, shown_name
from deploy.inputs.sources import FrameSource
from deploy.inputs.video import Frame, FrameSelection, read_frames
from deploy.prediction.predictor import Predictor
from deploy.prediction.reuse import ReuseRule, frame_change
from deploy.prediction.selection import SelectionRule
from tests.helpers.deploy_helpers import card_of, striped_frame, write_model, write_video
from tests.helpers.deploy_helpers import trt_infer_command as command

RATE = Fraction(10)
IMPATIENT = LiveOptions(timeout_seconds=3, reconnects=2, wait_seconds=0.01)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A brightness model of 48 x 80 pixels."""
    return write_model(tmp_path / "model.onnx", card_of())


# Selection


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("top-20%", SelectionRule("top", Fraction(1, 5))),
        ("top-12.5%", SelectionRule("top", Fraction(1, 8))),
        ("threshold-0.5", SelectionRule("threshold", Fraction(1, 2))),
        ("budget-3000-per-second", SelectionRule("budget", Fraction(3000))),
        ("budget-0.5", SelectionRule("budget", Fraction(1, 2))),
    ],
)
def test_rules_are_read(text: str, rule: SelectionRule) -> None:
    assert SelectionRule.parse(text) == rule


@pytest.mark.parametrize("text", ["", "top", "top-20", "top-120%", "threshold-2", "budget--3", "best-3", "top-1e3%"])
def test_other_rules_are_refused(text: str) -> None:
    with pytest.raises(OptionError):
        SelectionRule.parse(text)


def slow_reference(maps: list[np.ndarray[Any, Any]], count: int) -> list[set[tuple[int, int]]]:
    """Sort all macroblocks by importance, then frame, row and column, and take the first."""
    every = [
        (-float(m[r, c]), f, r, c) for f, m in enumerate(maps) for r in range(m.shape[0]) for c in range(m.shape[1])
    ]
    chosen: list[set[tuple[int, int]]] = [set() for _ in maps]
    for _, frame, row, col in sorted(every)[:count]:
        chosen[frame].add((row, col))
    return chosen


@given(
    values=st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=1, max_size=4),
    percent=st.integers(0, 100),
)
def test_the_queue_is_global_and_ties_are_decided(values: list[list[int]], percent: int) -> None:
    maps = [np.array(frame, np.float32).reshape(2, 3) / 3 for frame in values]
    masks = SelectionRule("top", Fraction(percent, 100)).select(maps, 0, Fraction(1))
    expected = slow_reference(maps, -(-percent * 6 * len(maps) // 100))
    assert [set(zip(*np.nonzero(mask), strict=True)) for mask in masks] == expected


def test_budgets_add_up_exactly_over_windows() -> None:
    rule, maps = SelectionRule.parse("budget-7"), [np.random.default_rng(0).random((5, 5)).astype(np.float32)]
    third = Fraction(1, 3)
    counts = [int(rule.select(maps, window, third)[0].sum()) for window in range(30)]
    assert sum(counts) == 70
    assert set(counts) == {2, 3}


def test_threshold() -> None:
    maps = [np.array([[0.2, 0.5], [0.7, 0.49]], np.float32)]
    (mask,) = SelectionRule.parse("threshold-0.5").select(maps, 0, Fraction(1))
    np.testing.assert_array_equal(mask, [[False, True], [True, False]])


def dim(brightness: int) -> np.ndarray[Any, Any]:
    return np.full((48, 80, 3), brightness, np.uint8)


def test_a_busy_stream_takes_the_budget_of_a_quiet_one(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bright = write_video(tmp_path / "a.mp4", [dim(240)] * 20, rate=RATE)
    dark = write_video(tmp_path / "b.mp4", [dim(10)] * 20, rate=RATE)
    out = tmp_path / "out"
    arguments = ["--model", model, "--input", dark, bright, "--out", out, "--no-overlay-video", "--overlays", 0]
    assert command(monkeypatch, *arguments, "--select", "budget-100-per-second") == 0
    quiet, busy = (np.load(out / name / "importance.npz") for name in ("stream-00-b", "stream-01-a"))
    assert busy["selected"].sum() == 200
    assert not quiet["selected"].any()
    # Equally important macroblocks: the earlier frame first, then row-major order. 15 macroblocks a frame.
    np.testing.assert_array_equal(
        busy["selected"].sum(axis=(1, 2)), [15] * 6 + [10, 0, 0, 0] + [15] * 6 + [10, 0, 0, 0]
    )
    assert (out / "stream-00-b" / "blocks.jsonl").is_file()
    assert json.loads((out / "latency.json").read_text())["num_frames"] == 40


def test_two_equal_streams_give_equal_results_every_time(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = write_video(tmp_path / "same.mp4", [striped_frame(shift=i) for i in range(12)], rate=RATE)
    found = []
    for name in ("one", "two"):
        out = tmp_path / name
        arguments = ["--model", model, "--input", video, video, "--out", out, "--select", "top-30%"]
        assert command(monkeypatch, *arguments) == 0
        found.append([(out / f"stream-0{i}-same" / "importance.npz").read_bytes() for i in range(2)])
        assert (out / "stream-01-same" / "overlay.mp4").is_file()
    assert found[0] == found[1]
    arguments = ["--model", model, "--input", video, "--out", tmp_path / "one", "--overwrite"]
    assert command(monkeypatch, *arguments) == 0  # the streams' folders are results of this command
    assert not (tmp_path / "one" / "stream-00-same").exists()


def test_one_broken_stream_of_two_leaves_nothing(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = write_video(tmp_path / "good.mp4", [striped_frame()] * 5)
    bad = write_video(tmp_path / "bad.mp4", [striped_frame(80, 80)] * 5)
    before = sorted(tmp_path.iterdir())
    arguments = ["--model", model, "--input", good, bad, "--out", tmp_path / "out"]
    assert command(monkeypatch, *arguments) == EXIT_USER_ERROR
    assert sorted(tmp_path.iterdir()) == before


# Maps


def test_maps_in_segments_and_as_lines_hold_the_same(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = write_video(tmp_path / "v.mp4", [striped_frame(shift=i) for i in range(25)], rate=RATE)
    arguments = ["--model", model, "--input", video, "--no-overlay-video", "--overlays", 0]
    assert command(monkeypatch, *arguments, "--out", tmp_path / "whole") == 0
    assert command(monkeypatch, *arguments, "--out", tmp_path / "parts", "--segment-seconds", 1) == 0
    assert command(monkeypatch, *arguments, "--out", tmp_path / "lines", "--maps", "jsonl") == 0
    whole = np.load(tmp_path / "whole" / "importance.npz")
    parts = [np.load(tmp_path / "parts" / f"importance-{segment:06d}.npz") for segment in range(3)]
    assert [len(part["frame_index"]) for part in parts] == [10, 10, 5]
    for name in ("importance", "levels", "selected", "frame_index", "pts_numerator", "predicted"):
        np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), whole[name])
    lines = [json.loads(line) for line in (tmp_path / "lines" / "importance.jsonl").read_text().splitlines()]
    np.testing.assert_allclose([line["importance"] for line in lines], whole["importance"], atol=6e-5)
    assert [line["pts"] for line in lines][:3] == [[0, 1], [1, 10], [1, 5]]
    assert sorted(path.name for path in (tmp_path / "parts").iterdir())[-1] == "latency.json"


@pytest.mark.parametrize(
    "wrong",
    [
        ["--segment-seconds", 0],
        ["--segment-seconds", 1, "--maps", "jsonl"],
        ["--select", "best"],
        ["--predict-every", 0],
        ["--on-change", 2],
        ["--window-seconds", 0],
    ],
)
def test_bad_options_are_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: list[object]
) -> None:
    video = write_video(tmp_path / "v.mp4", [striped_frame()])
    arguments = ["--model", model, "--input", video, "--out", tmp_path / "out", *wrong]
    assert command(monkeypatch, *arguments) == EXIT_USER_ERROR
    assert not (tmp_path / "out").exists()


# Reuse


def test_predictions_are_reused_between(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = write_video(tmp_path / "v.mp4", [striped_frame(shift=i) for i in range(10)], rate=RATE)
    arguments = ["--model", model, "--input", video, "--out", tmp_path / "out", "--predict-every", 4]
    assert command(monkeypatch, *arguments) == 0
    results = np.load(tmp_path / "out" / "importance.npz")
    np.testing.assert_array_equal(np.flatnonzero(results["predicted"]), [0, 4, 8])
    np.testing.assert_array_equal(results["levels"][3], results["levels"][0])
    assert (results["levels"][4] != results["levels"][3]).any()
    assert len(json.loads((tmp_path / "out" / "latency.json").read_text())["stages"]) == 6


def test_a_change_is_predicted_at_once() -> None:
    rule, still, other = ReuseRule(every=None, change=0.1), striped_frame(), striped_frame(shift=1)
    assert [rule.wants(frame) for frame in (still, still, other, other, still)] == [True, False, True, False, True]
    both = ReuseRule(every=2, change=0.1)
    assert [both.wants(frame) for frame in (still, still, still, other, other)] == [True, False, True, True, False]


def test_change_is_a_mean_difference() -> None:
    assert frame_change(dim(0), dim(255)) == 1
    assert frame_change(dim(100), dim(151)) == pytest.approx(0.2)
    assert frame_change(dim(151), dim(100)) == pytest.approx(0.2)


# Threads


def test_ahead_keeps_order_and_passes_errors_on() -> None:
    def broken() -> Iterator[int]:
        yield from range(10)
        raise InputError("torn", hint="none")

    seen = []
    with pytest.raises(InputError, match="torn"), Ahead(broken(), 2) as items:
        seen += [item for item in items]  # noqa: C416  # it must go item by item
    with pytest.raises(InputError, match="torn"), Ahead(broken(), 2) as items:
        for item in items:
            seen.append(item)
    assert seen == list(range(10))


def test_ahead_can_be_left_early() -> None:
    with Ahead(iter(range(10**9)), 2) as items:
        assert next(iter(items)) == 0
    assert threading.active_count() < 10


def test_ahead_drops_the_oldest() -> None:
    gate = threading.Event()

    def source() -> Iterator[int]:
        yield from range(100)
        gate.set()

    with Ahead(source(), 3, drop_oldest=True) as items:
        assert gate.wait(5)
        left = list(items)
    assert left[-1] == 99
    assert len(left) <= 4
    assert items.num_dropped == 100 - len(left)


def test_behind_keeps_order_waits_and_passes_errors_on() -> None:
    done: list[int] = []

    def slow(item: int) -> None:
        time.sleep(0.001)
        if item == 50:
            raise InputError("full", hint="none")
        done.append(item)

    with Behind(slow, 2) as behind:
        for item in range(20):
            behind.put(item)
    assert done == list(range(20))
    with pytest.raises(InputError, match="full"), Behind(slow, 2) as behind:
        for item in range(40, 1000):
            behind.put(item)
    assert done[-1] == 49


# Live streams


class Torn(SimpleHTTPRequestHandler):
    """Sends a part of the file for the first requests, then all of it."""

    cuts: ClassVar[list[float]] = []

    def do_GET(self) -> None:
        data = Path(self.translate_path(self.path)).read_bytes()
        whole = len(data)
        data = data[: int(whole * (self.cuts.pop(0) if self.cuts else 1))]
        self.send_response(200)
        self.send_header("Content-Length", str(whole))
        self.send_header("Content-Type", "video/mp2t")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_arguments: Any) -> None:
        pass


@contextmanager
def serving(handler: Any) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def served(folder: Path, cuts: list[float]) -> Iterator[str]:
    """The files of a folder, the first answers cut to these parts."""
    with serving(partial(type("Handler", (Torn,), {"cuts": cuts}), directory=str(folder))) as address:
        yield address


def transport_stream(folder: Path, count: int = 30) -> Path:
    return write_video(folder / "camera.ts", [striped_frame(shift=i) for i in range(count)], rate=RATE)


def test_http_stream_end_to_end(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transport_stream(tmp_path)
    out = tmp_path / "out"
    with served(tmp_path, []) as address:
        # Three seconds of video, of which two are taken: the selection ends the stream.
        arguments = ["--model", model, "--input", f"{address}/camera.ts", "--out", out, "--stop-seconds", 2]
        assert command(monkeypatch, *arguments) == 0
    results = np.load(out / "importance.npz")
    times = [
        Fraction(int(n), int(d)) for n, d in zip(results["pts_numerator"], results["pts_denominator"], strict=True)
    ]
    report = json.loads((out / "latency.json").read_text())
    assert report["num_frames"] + report["num_dropped"] == 20
    assert set(times) <= {Fraction(i, 10) for i in range(20)}
    assert times == sorted(times)
    assert (out / "overlay.mp4").is_file()


@pytest.mark.parametrize("at_work_on", ["reading", "predicting", "writing"])
def test_ctrl_c_ends_a_camera_and_keeps_its_results(
    at_work_on: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the process is doing when the signal comes."""

    def interrupt_at_the_fifth(kind: str, number: int) -> None:
        if kind == at_work_on and number == 5:
            os.kill(os.getpid(), signal.SIGINT)

    def frames() -> Iterator[Frame]:
        for index in count():
            interrupt_at_the_fifth("reading", index)
            yield Frame(index, index / RATE, striped_frame())

    def watched(kind: str, function: Any) -> Any:
        numbers = count(1)

        def call(*arguments: Any) -> Any:
            interrupt_at_the_fifth(kind, next(numbers))
            return function(*arguments)

        return call

    monkeypatch.setattr(Predictor, "postprocess", watched("predicting", Predictor.postprocess))
    monkeypatch.setattr(Behind, "put", watched("writing", Behind.put))
    monkeypatch.setattr("deploy.inference.streams.open_source", lambda *_: FrameSource(frames(), 0, RATE, is_live=True))
    out = tmp_path / "out"
    assert command(monkeypatch, "--model", model, "--input", "rtsp://me:secret@camera", "--out", out) == 0
    assert 4 <= len(np.load(out / "importance.npz")["frame_index"]) < 20
    assert (out / "latency.json").is_file() and (out / "overlay.mp4").is_file()


def test_a_torn_stream_is_connected_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = [frame.image for frame in read_frames(transport_stream(tmp_path))]
    with served(tmp_path, [0.5]) as address:
        frames = list(read_live(f"{address}/camera.ts", FrameSelection(), IMPATIENT))
    assert len(frames) > len(whole) * 1.3
    assert [frame.index for frame in frames] == list(range(len(frames)))
    times = [frame.pts_seconds for frame in frames]
    assert all(later > earlier for earlier, later in pairwise(times))
    said = capsys.readouterr().err
    assert "reconnecting in 0.0 s (1 of 2)" in said


def test_every_second_frame_of_a_stream(tmp_path: Path) -> None:
    transport_stream(tmp_path)
    options = LiveOptions(reconnects=0)
    with served(tmp_path, []) as address:
        frames = list(read_live(f"{address}/camera.ts", FrameSelection(every=2), options))
    assert [frame.index for frame in frames] == list(range(0, 30, 2))
    assert [frame.pts_seconds for frame in frames] == [Fraction(i, 10) for i in range(0, 30, 2)]


def test_a_stream_that_is_not_there_is_one_message(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(tmp_path, []) as address:
        pass
    with pytest.raises(InputError, match="no frame from"):
        list(read_live(f"{address}/none.ts", FrameSelection(), IMPATIENT))
    monkeypatch.setattr("deploy.inputs.sources.read_live", partial(read_live, options=IMPATIENT))
    arguments = ["--model", model, "--input", f"{address}/none.ts", "--out", tmp_path / "out"]
    assert command(monkeypatch, *arguments) == EXIT_USER_ERROR
    assert capsys.readouterr().err.count("error: ") == 1
    assert not (tmp_path / "out").exists()


class Camera(BaseHTTPRequestHandler):
    """FFmpeg encodes while the client reads, 50 frames a second."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        with av.open(self.wfile, "w", format="mpegts") as container:
            stream = container.add_stream("libx264", rate=RATE, options={"tune": "zerolatency", "preset": "ultrafast"})
            stream.width, stream.height, stream.pix_fmt = 80, 48, "yuv420p"
            for shift in range(15):
                picture = av.VideoFrame.from_ndarray(striped_frame(shift=shift), format="rgb24")
                container.mux(stream.encode(picture))
                time.sleep(0.02)
            container.mux(stream.encode(None))

    def log_message(self, *_arguments: Any) -> None:
        pass


def test_ffmpeg_as_the_camera(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Camera) as address:
        frames = list(read_live(f"{address}/live.ts", FrameSelection(stop_seconds=1.2), IMPATIENT))
        arguments = ["--model", model, "--input", f"{address}/live.ts", "--out", tmp_path / "out", "--stop-seconds", 1]
        assert command(monkeypatch, *arguments) == 0
    assert [frame.pts_seconds for frame in frames] == [Fraction(i, 10) for i in range(12)]
    results = np.load(tmp_path / "out" / "importance.npz")
    for index, levels in zip(results["frame_index"].tolist(), results["levels"], strict=True):
        np.testing.assert_array_equal(levels, [np.roll([0, 0, 1, 2, 2], -index)] * 3)


@contextmanager
def rtsp_camera(video: Path, port: int = 0) -> Iterator[str]:
    """GStreamer serves a video over RTSP: the address, with a free port unless one is given."""
    python = Path("/usr/bin/python3")
    gstreamer = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    if not python.exists() or subprocess.run([python, "-c", gstreamer], capture_output=True, check=False).returncode:
        pytest.skip("GStreamer's RTSP server is missing: apt-get install python3-gi gir1.2-gst-rtsp-server-1.0 …")
    script = Path(__file__).parents[2] / "helpers" / "rtsp_camera.py"
    with subprocess.Popen([python, script, video, str(port)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def test_rtsp_times_pixels_and_a_camera_that_restarts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first frame comes without a time; the camera is killed and comes back on the same port."""
    video = write_video(tmp_path / "camera.mp4", [striped_frame(shift=shift) for shift in range(12)])
    with rtsp_camera(video) as address:
        port = int(address.rpartition(":")[2].partition("/")[0])
        patient = LiveOptions(timeout_seconds=5, reconnects=8, wait_seconds=0.2)
        stream = read_live(address, FrameSelection(stop_seconds=60), patient, fit=lambda height, width: (24, 40))
        frames = [next(stream) for _ in range(5)]
    with rtsp_camera(video, port):
        frames += [next(stream) for _ in range(10)]
        stream.close()
    assert [frame.index for frame in frames] == list(range(15))
    times = [frame.pts_seconds for frame in frames]
    assert times[:5] == [Fraction(i, 25) for i in range(5)]
    assert all(later > earlier for earlier, later in pairwise(times))
    assert "reconnecting" in capsys.readouterr().err
    (first, *_) = read_frames(video, fit=lambda height, width: (24, 40))
    assert frames[0].image.shape == (24, 40, 3)
    np.testing.assert_array_equal(frames[0].image, first.image)


@pytest.mark.parametrize(
    ("name", "live"),
    [("rtsp://camera/1", True), ("http://h/x", True), ("webcam:0", True), ("video.mp4", False), ("rtsp", False)],
)
def test_what_is_live(name: str, live: bool) -> None:
    assert is_live(name) == live


def test_passwords_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Camera) as address:
        port = address.rpartition(":")[2]
    options = LiveOptions(timeout_seconds=1, reconnects=1, wait_seconds=0.01)
    with pytest.raises(InputError) as caught:
        list(read_live(f"http://me:secret@127.0.0.1:{port}/x.ts", FrameSelection(), options))
    assert "//***@127.0.0.1" in str(caught.value)
    assert "secret" not in str(caught.value) + capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "shown", "file_name"),
    [
        ("rtsp://me:p@ss@10.0.0.7/live?key=1", "rtsp://***@10.0.0.7/live?***", "10.0.0.7/live"),
        ("rtsp://10.0.0.7", "rtsp://10.0.0.7", "10.0.0.7"),
        ("webcam:0", "webcam:0", "webcam:0"),
        ("a//b@c?d.mp4", "a//b@c?d.mp4", "b@c?d"),
    ],
)
def test_names_of_inputs(name: str, shown: str, file_name: str) -> None:
    assert (shown_name(name), file_name_of(name)) == (shown, file_name)


def test_a_missing_webcam_is_one_message() -> None:
    with pytest.raises(InputError, match="no frame from webcam:97"):
        list(read_live("webcam:97", FrameSelection(), LiveOptions(reconnects=0)))
