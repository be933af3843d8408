"""Results that can be read while inference runs, and what a kill leaves of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from deploy import enhance, trt_infer
from deploy.core.cli import EXIT_USER_ERROR, run
from deploy.inputs.live import LiveOptions, read_live
from deploy.inputs.options import SourceOptions
from deploy.inputs.sources import FrameSource
from deploy.inputs.video import Frame, read_frames
from deploy.outputs.going_on import keep_files
from deploy.outputs.growing_folder import UNFINISHED, growing
from tests.helpers.deploy_helpers import card_of, striped_frame, trt_infer_command, write_model, write_video
from tests.helpers.http_server import serving
from tests.helpers.label_helpers import tree_bytes

RATE = Fraction(25)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A brightness model of 48 x 80 pixels."""
    return write_model(tmp_path / "model.onnx", card_of())


def start(model: Path, out: Path, *more: object) -> subprocess.Popen[str]:
    words = ["--model", model, "--out", out, "--threads", 1, "--segment-seconds", 0.2, *more]
    command = [sys.executable, trt_infer.__file__, *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "blocks.jsonl").read_text().splitlines()]


def assert_equal(found: Path, expected: Path) -> None:
    """All files byte by byte, but for times, and for videos, whose encoder decides differently on a busy machine."""
    there, wanted = tree_bytes(found), tree_bytes(expected)
    assert there.keys() == wanted.keys()
    for name in there:
        if name.endswith(".mp4"):
            pairs = list(zip(read_frames(found / name), read_frames(expected / name), strict=True))
            assert [one.seconds for one, _ in pairs] == [other.seconds for _, other in pairs]
            assert all(np.abs(one.image.astype(int) - other.image).mean() < 2 for one, other in pairs), name
        elif not name.endswith("latency.json"):
            assert there[name] == wanted[name], name


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_closed_segments_survive_and_the_same_command_goes_on(how: signal.Signals, model: Path, tmp_path: Path) -> None:
    """Two inputs that share windows, of which one ends early; predictions that are reused."""
    long = write_video(tmp_path / "long.mp4", [striped_frame(shift=shift) for shift in range(300)], rate=RATE)
    short = write_video(tmp_path / "short.mp4", [striped_frame(shift=shift) for shift in range(75)], rate=RATE)
    given = ["--input", short, long, "--window-seconds", 0.4, "--predict-every", 3]
    out, undisturbed = tmp_path / "out", tmp_path / "whole"
    process, growing_one = start(model, out, *given), out / "stream-01-long"
    wait_for((growing_one / "importance-000015.npz").exists, process)
    assert len(lines_of(growing_one)) > 70 and (out / UNFINISHED).exists(), "lines can be read while it runs"
    assert len(np.load(growing_one / "importance-000014.npz")["frame_index"]) == 5
    kept = {path: path.stat() for path in out.rglob("*-00000?.*")}
    assert len(kept) == 2 * 2 * 10, "maps and overlay videos of two streams"
    os.kill(process.pid, how)
    _, said = process.communicate()
    assert (out / UNFINISHED).exists() and not (out / "latency.json").exists(), said

    again = start(model, out, *given)
    _, said = again.communicate()
    assert again.returncode == 0 and "resuming at" in said, said
    assert not (out / UNFINISHED).exists() and {path: path.stat() for path in kept} == kept
    assert json.loads((out / "latency.json").read_text())["num_frames"] < 300
    start(model, undisturbed, *given).communicate()
    assert_equal(out, undisturbed)
    assert [line["index"] for line in lines_of(growing_one)] == list(range(300))
    times = [frame.seconds for frame in read_frames(growing_one / "overlay-000015.mp4")]
    assert times == [Fraction(n, 25) for n in range(5)]


def test_lines_go_to_a_program_behind_as_they_come(model: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mp4", [striped_frame(shift=shift) for shift in range(2000)], rate=RATE)
    process = start(model, tmp_path / "out", "--input", video, "--blocks", "-", "--no-overlay-video")
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    assert process.poll() is None and first["stream"] == 0 and first["index"] == 0 and len(first["blocks"]) == 3
    lines = [first, *map(json.loads, process.stdout)]
    _, said = process.communicate()
    assert [{"stream": 0} | line for line in lines_of(tmp_path / "out")] == lines and len(lines) == 2000
    assert process.returncode == 0 and "frames/s" in said


def test_a_camera_goes_on_in_a_new_segment(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it saw before does not come again, so that nothing of it is done again."""

    def frames(last: int) -> Iterator[Frame]:
        for index in count():
            if index == last:
                raise OSError(5, "the machine fails", "somewhere")
            time.sleep(0.02)
            yield Frame(index, index / RATE, striped_frame())

    def source(*arguments: Any) -> FrameSource:
        return FrameSource(frames(lasts.pop(0)), 0, RATE, is_live=True)

    lasts, out = [13, 12], tmp_path / "out"
    monkeypatch.setattr("deploy.inference.streams.open_source", source)
    given = ["--model", model, "--input", "webcam:0", "--out", out, "--segment-seconds", 0.2, "--no-overlay-video"]
    assert trt_infer_command(monkeypatch, *given) == EXIT_USER_ERROR
    assert (out / UNFINISHED).exists() and sorted(path.name for path in out.glob("*.npz")) == [
        "importance-000000.npz",
        "importance-000001.npz",
    ]
    before = lines_of(out)
    assert trt_infer_command(monkeypatch, *given) == EXIT_USER_ERROR and "resuming at 0.6 s" in capsys.readouterr().err
    after = lines_of(out)
    assert after[: len(before)] == before and len(after) > len(before)
    assert after[len(before)]["index"] == before[-1]["index"] + 1 and after[len(before)]["seconds"] == 0.6
    assert len(np.load(out / "importance-000003.npz")["frame_index"]) == 5


class Vanishing(SimpleHTTPRequestHandler):
    """Sends the first half of the file, and then there is nothing any more; for a while, if `back` is above 0."""

    back: ClassVar[int] = 0
    answers: ClassVar[int] = 0

    def do_GET(self) -> None:
        type(self).answers += 1
        if 1 < self.answers <= self.back:
            self.send_error(404)
            return
        data = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if self.answers == 1 else data)

    def log_message(self, *_arguments: Any) -> None:
        pass


def run_command(name: str, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    if name == "trt_infer":
        return trt_infer_command(monkeypatch, "--model", *arguments)
    monkeypatch.setattr(sys, "argv", ["enhance.py", "--threads", "1", "--predictor", *map(str, arguments)])
    try:
        run(enhance.main)
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


@pytest.mark.parametrize(("name", "video"), [("trt_infer", "overlay"), ("enhance", "enhanced")])
def test_a_camera_that_is_gone(
    name: str,
    video: str,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_video(tmp_path / "camera.ts", [striped_frame(shift=shift) for shift in range(40)], rate=RATE)
    patience = LiveOptions(timeout_seconds=3, reconnects=2, wait_seconds=0.01)
    monkeypatch.setattr("deploy.inputs.sources.read_live", partial(read_live, options=patience))
    monkeypatch.setattr(Vanishing, "back", 3)  # two tries in vain
    monkeypatch.setattr(Vanishing, "answers", 0)
    out = tmp_path / "out"
    with serving(tmp_path, Vanishing) as address:
        given = [model, "--input", f"{address}/camera.ts", "--out", out, "--segment-seconds", 0.2]
        assert run_command(name, monkeypatch, *given) == EXIT_USER_ERROR
        said = capsys.readouterr().err
        assert "gone, and not back after several tries" in said and " hint: " in said and "Traceback" not in said
        closed = {path: path.read_bytes() for path in out.glob(f"{video}-*.mp4")}
        assert closed and (out / UNFINISHED).exists() and not list(out.glob(".*"))
        before = lines_of(out)
        assert run_command(name, monkeypatch, *given) == 0
    assert "resuming at" in capsys.readouterr().err and not (out / UNFINISHED).exists()
    assert {path: path.read_bytes() for path in closed} == closed and len(list(out.glob(f"{video}-*.mp4"))) > len(
        closed
    )
    lines = lines_of(out)
    assert lines[: len(before)] == before and len(lines) > len(before)
    indices = [line["index"] for line in lines if "index" in line]
    assert indices == sorted(set(indices)), "numbers go on"


def test_a_file_that_is_cut_off_meanwhile(model: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.ts", [striped_frame(shift=shift) for shift in range(1500)], rate=RATE)
    whole, out = video.read_bytes(), tmp_path / "out"
    process = start(model, out, "--input", video, "--overlays", 0)
    wait_for((out / "importance-000003.npz").exists, process)
    os.truncate(video, len(whole) // 2)
    _, said = process.communicate()
    assert process.returncode == EXIT_USER_ERROR and "was cut off while it was read" in said, said
    closed = {path: path.stat() for path in out.glob("*-00000?.*")}
    assert (out / UNFINISHED).exists() and len(closed) >= 6
    video.write_bytes(whole)
    again = start(model, out, "--input", video, "--overlays", 0)
    _, said = again.communicate()
    assert again.returncode == 0 and len(lines_of(out)) == 1500, said
    assert sum(path.stat() == then for path, then in closed.items()) >= len(closed) - 2, "but for the last ones"


def test_an_output_named_from_the_current_folder(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "v.mp4", [striped_frame()] * 3, rate=RATE)
    monkeypatch.chdir(tmp_path)
    for name, made in (("trt_infer", "importance.npz"), ("enhance", "enhanced.mp4")):
        assert run_command(name, monkeypatch, model.name, "--input", "v.mp4", "--out", f"runs/{name}") == 0
        assert (tmp_path / "runs" / name / made).is_file() and len(lines_of(Path("runs") / name)) >= 3


def test_what_stopped_at_damage_can_be_resumed_but_losses_not_by_what_refuses_them() -> None:
    skips, stops = (SourceOptions(input=("v.mp4",), damaged=damaged) for damaged in ("skip", "stop"))
    assert skips.resumable() == {skips.work(), stops.work()} and stops.resumable() == {stops.work()} != {skips.work()}


def test_earlier_results_are_put_back_where_nothing_was_done(tmp_path: Path) -> None:
    out = tmp_path / "runs" / "out"
    out.mkdir(parents=True)
    (out / "blocks.jsonl").write_text("earlier")
    with pytest.raises(ZeroDivisionError), growing(out, "work", [], overwrite=True):
        raise ZeroDivisionError
    assert (out / "blocks.jsonl").read_text() == "earlier" and [path.name for path in out.iterdir()] == ["blocks.jsonl"]
    with pytest.raises(ZeroDivisionError), growing(out, "work", [], overwrite=True):
        (out / "blocks.jsonl").write_text("later")
        raise ZeroDivisionError
    assert (out / "blocks.jsonl").read_text() == "later" and (out / UNFINISHED).exists()
    with growing(out, "work", [], overwrite=False):
        assert (out / "blocks.jsonl").read_text() == "later"
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["out"]
    with pytest.raises(ZeroDivisionError), growing(tmp_path / "new" / "out", "work", [], overwrite=False):
        raise ZeroDivisionError
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("last", "segment", "window", "starts"),
    [
        ([3, 3], 2, None, [6, 6]),
        ([3, 2], 2, None, [4, 4]),
        ([9, 2], 2, None, [18, 4]),
        ([5], 2, 3, [6]),
        ([5, 4], Fraction(1, 2), Fraction(1, 3), [2, 2]),
        ([7], None, 1, [0]),
    ],
)
def test_where_streams_go_on(
    last: list[int], segment: Fraction | None, window: Fraction | None, starts: list[int], tmp_path: Path
) -> None:
    folders = [tmp_path / str(number) for number in range(len(last))]
    for folder, number in zip(folders, last, strict=True):
        folder.mkdir()
        (folder / f"importance-{number:06d}.npz").touch()
        (folder / "blocks.jsonl").write_text(
            "".join(f'{{"index": {n}, "seconds": {n}}}\n' for n in range(20)) + '{"ind'
        )
    kept = keep_files(folders, segment and Fraction(segment), window and Fraction(window))
    assert [done.seconds for done in kept] == starts
    assert [done.num_frames for done in kept] == [done.next_index for done in kept] == starts
