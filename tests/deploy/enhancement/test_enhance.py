"""The command: videos and images in, enhanced video out, and what is done survives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deploy import Enhancer, Frame, FrameSelection, Upscaler, enhance, read_frames
from deploy.core.cli import EXIT_USER_ERROR, run
from deploy.core.resize import area_resize
from deploy.inputs.sources import FrameSource
from deploy.outputs.growing_folder import UNFINISHED
from tests.helpers.deploy_helpers import card_of, striped_frame, trt_infer_command, write_model, write_video

SCRIPT = Path(enhance.__file__)
RATE = Fraction(30000, 1001)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A brightness model of 48 x 80 pixels."""
    return write_model(tmp_path / "model.onnx", card_of())


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Six frames of 48 x 80, stripes that move."""
    return write_video(tmp_path / "v.mp4", [striped_frame(shift=shift) for shift in range(6)], rate=RATE)


def command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Run deploy/enhance.py in this process; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["enhance.py", "--threads", "1", *map(str, arguments)])
    try:
        run(enhance.main)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def listing(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "blocks.jsonl").read_text().splitlines()]


def test_video_end_to_end(
    model: Path, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs" / "out"
    assert command(monkeypatch, "--predictor", model, "--input", video, "--out", out, "--budget", "20%") == 0
    printed = capsys.readouterr()
    assert "80 x 48 becomes 240 x 144" in printed.err and "upscaler: edsr, x3" in printed.err
    stages = ("decode", "predict", "select", "regions", "pack", "network", "paste", "write")
    assert all(stage in printed.out for stage in (*stages, "frames/s"))
    assert listing(out) == ["blocks.jsonl", "enhanced.mp4", "latency.json"]
    assert not (tmp_path / "runs" / ".out.partial").exists()

    frames = list(read_frames(out / "enhanced.mp4"))
    assert [frame.seconds for frame in frames] == [n / RATE for n in range(6)]
    with Enhancer(model, threads=1) as enhancer:
        expected = list(enhancer.video(video))
    for frame, there in zip(frames, expected, strict=True):
        assert np.abs(frame.image.astype(int) - there.image).mean() < 6, "but for the codec the same"

    first, *lines = lines_of(out)
    assert (first["width_px"], first["height_px"], first["scale"], first["block_px"]) == (80, 48, 3, 16)
    assert (first["source_width_px"], first["source_height_px"], first["budget"]) == (80, 48, "20%")
    for number, (line, there) in enumerate(zip(lines, expected, strict=True)):
        assert line["index"] == number and line["pts_seconds"] == pytest.approx(number / float(RATE))
        blocks = {(y // 16, x // 16) for x, y, _, _ in line["blocks"]}
        assert blocks == {tuple(map(int, place)) for place in np.argwhere(there.selected)}
        for (x, y, width, height), padded, region in zip(
            line["regions"], line["padded_regions"], there.regions, strict=True
        ):
            assert (x, y, width, height) == (region.left, region.top, region.width, region.height)
            assert padded[2] * padded[3] == region.padded_px
    report = json.loads((out / "latency.json").read_text())
    assert report["num_frames"] == 6 and set(stages) == set(report["stages"])


def test_without_a_prediction_there_are_no_maps(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--input", video, "--out", tmp_path / "out", "--maps", "npz", "--budget", "100%")
    assert command(monkeypatch, *given) == EXIT_USER_ERROR
    assert "nothing is predicted" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_maps_are_those_of_inference(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of frames of the model's own size both have the same grid."""
    video = write_video(tmp_path / "v.mp4", [striped_frame(shift=shift) for shift in range(10)])
    given = ("--predictor", model, "--input", video, "--no-video", "--predict-every", 2)
    assert command(monkeypatch, *given, "--out", tmp_path / "npz", "--maps", "npz", "--segment-seconds", 0.2) == 0
    assert command(monkeypatch, *given, "--out", tmp_path / "jsonl", "--maps", "jsonl", "--segment-seconds", 0.2) == 0
    known = ("--model", model, "--input", video, "--no-overlay-video", "--predict-every", 2, "--segment-seconds", 0.2)
    assert trt_infer_command(monkeypatch, *known, "--out", tmp_path / "known") == 0
    lines = [json.loads(line) for line in (tmp_path / "jsonl" / "importance.jsonl").read_text().splitlines()]
    selected = lines_of(tmp_path / "npz")[1:]
    for number in range(2):
        name = f"importance-{number:06d}.npz"
        maps, expected = np.load(tmp_path / "npz" / name), np.load(tmp_path / "known" / name)
        assert set(maps) == set(expected)
        for array in ("importance", "levels", "frame_index", "pts_numerator", "pts_denominator", "grid_name", "scale"):
            np.testing.assert_array_equal(maps[array], expected[array], err_msg=array)
        part = slice(5 * number, 5 * number + 5)
        np.testing.assert_array_equal(maps["predicted"], [True, False, True, False, True])
        assert maps["selected"].sum(axis=(1, 2)).tolist() == [len(line["blocks"]) for line in selected[part]]
        np.testing.assert_allclose([line["importance"] for line in lines[part]], maps["importance"], atol=6e-5)


def test_several_inputs_reduced_with_images_and_maps(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = [frame.repeat(2, axis=0).repeat(2, axis=1) for frame in map(striped_frame, [48] * 2)]
    video = write_video(tmp_path / "a b.mp4", large)
    folder = tmp_path / "images"
    folder.mkdir()
    for number, size in enumerate(((48, 80), (96, 160))):
        Image.fromarray(np.resize(striped_frame(*size), (*size, 3))).save(folder / f"{number}.png")
    out = tmp_path / "out"
    given = ("--predictor", model, "--input", video, folder, "--input-height", 48, "--out", out, "--frames", "png")
    assert command(monkeypatch, *given) == 0
    assert listing(out) == [
        "latency.json",
        "stream-00-a_b", "stream-00-a_b/blocks.jsonl", "stream-00-a_b/enhanced",
        "stream-00-a_b/enhanced.mp4", "stream-00-a_b/enhanced/000000.png", "stream-00-a_b/enhanced/000001.png",
        "stream-01-images", "stream-01-images/blocks.jsonl", "stream-01-images/enhanced",
        "stream-01-images/enhanced/000000.png", "stream-01-images/enhanced/000001.png",
    ]  # fmt: skip
    first, line = lines_of(out / "stream-00-a_b")[:2]
    assert (first["source_width_px"], first["width_px"]) == (160, 80) and "image" not in line
    assert Image.open(out / "stream-00-a_b/enhanced/000001.png").size == (240, 144)
    assert lines_of(out / "stream-01-images")[1]["image"] == "0.png"


def test_files_share_a_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy camera takes what a quiet one does not need."""
    model = write_model(tmp_path / "model.onnx", card_of())
    busy = write_video(tmp_path / "busy.mp4", [striped_frame().clip(120, 255)] * 3)
    quiet = write_video(tmp_path / "quiet.mp4", [striped_frame().clip(0, 40)] * 3)
    given = ("--predictor", model, "--input", busy, quiet, "--no-video")
    assert command(monkeypatch, *given, "--out", tmp_path / "shared") == 0
    assert command(monkeypatch, *given, "--out", tmp_path / "rate", "--budget", "50/s") == 0
    for name, blocks in (("shared", 18), ("rate", 50)):
        by_stream = [
            sum(len(line["blocks"]) for line in lines_of(tmp_path / name / stream)[1:])
            for stream in ("stream-00-busy", "stream-01-quiet")
        ]
        assert sum(by_stream) == blocks and by_stream[0] == min(blocks, 45), by_stream


def test_a_live_input_gets_less_rather_than_late(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera of 50 frames a second, which this upscaler cannot follow at the whole budget."""
    images = [striped_frame(96, 160, shift) for shift in range(8)]

    def paced() -> Iterator[Frame]:
        started = time.monotonic()
        for number in range(150):
            time.sleep(max(0.0, started + number / 50 - time.monotonic()))
            yield Frame(number, Fraction(number, 50), images[number % 8])

    def source(*_: object) -> FrameSource:
        return FrameSource(paced(), 0, Fraction(50), is_live=True)

    monkeypatch.setattr("deploy.inference.streams.open_source", source)
    given = ("--predictor", model, "--input", "webcam:0", "--out", tmp_path / "out", "--no-video", "--budget", "80%")
    assert command(monkeypatch, *given) == 0
    report = json.loads((tmp_path / "out" / "latency.json").read_text())
    counts = [len(line["blocks"]) for line in lines_of(tmp_path / "out")[1:]]
    assert np.mean(counts[10:]) < 0.7 * 48, "80 % of 60 blocks are the budget"
    assert report["stages"]["lag"]["p99_ms"] < 1000
    assert report["num_dropped"] + report["num_frames"] == 150 and report["num_frames"] > 40


def test_a_detector_behind(video: Path, assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = read_frames(assets / "solidWhiteRight.mp4", selection=FrameSelection(stop_seconds=0.1))
    small = [area_resize(frame.image, height_px=180, width_px=320) for frame in frames]
    clip, out = write_video(tmp_path / "cars.mp4", small), tmp_path / "out"
    given = ("--input", clip, "--detector", assets / "yolox_nano.onnx", "--out", out, "--frames", "png")
    assert command(monkeypatch, *given) == 0
    lines = [json.loads(line) for line in (out / "detections.jsonl").read_text().splitlines()]
    assert len(lines) == len(small) and sum("car" in line["classes"] for line in lines) >= 1
    assert all(0 <= x0 < x1 <= 960 for line in lines for x0, _, x1, _ in line["boxes"])
    assert "detect" in json.loads((out / "latency.json").read_text())["stages"]


def test_raw_frames_go_to_a_program_behind(model: Path, video: Path, tmp_path: Path) -> None:
    given = ["--predictor", model, "--input", video, "--raw", "-", "--budget", "100%", "--threads", "1"]
    ended = subprocess.run([sys.executable, SCRIPT, *map(str, given)], capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr
    frames = np.frombuffer(ended.stdout, np.uint8).reshape(6, 144, 240, 3)
    with Upscaler(threads=1) as upscaler:
        whole = upscaler(np.stack([frame.image for frame in read_frames(video)]))
    assert np.abs(frames.astype(int) - whole).max() <= 1
    assert b"frames/s" in ended.stderr and listing(tmp_path) == ["model.json", "model.onnx", "v.mp4"]


def start(model: Path, video: Path, out: Path, *more: object) -> subprocess.Popen[bytes]:
    words = ["--predictor", model, "--input", video, "--out", out, "--threads", 1, "--segment-seconds", 0.2, *more]
    return subprocess.Popen([sys.executable, str(SCRIPT), *map(str, words)], stderr=subprocess.PIPE)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_closed_segments_survive_and_the_same_command_goes_on(how: signal.Signals, model: Path, tmp_path: Path) -> None:
    frames = [striped_frame(96, 160, shift) for shift in range(60)]
    video, out, undisturbed = write_video(tmp_path / "v.mp4", frames), tmp_path / "out", tmp_path / "whole"
    process = start(model, video, out)
    while not (out / "enhanced-000003.mp4").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    assert len(lines_of(out)) > 15 and (out / UNFINISHED).exists(), "lines can be read while it runs"
    assert "not finished" in (out / UNFINISHED).read_text() and str(video) not in (out / UNFINISHED).read_text()
    kept = (out / "enhanced-000001.mp4").stat()
    os.kill(process.pid, how)
    process.communicate()
    assert (out / UNFINISHED).exists() and len(list(read_frames(out / "enhanced-000003.mp4"))) == 5
    assert not (out / "latency.json").exists()

    again = start(model, video, out)
    _, said = again.communicate()
    assert again.returncode == 0 and b"resuming at" in said, said
    assert not (out / UNFINISHED).exists() and (out / "enhanced-000001.mp4").stat() == kept
    start(model, video, undisturbed).communicate()
    assert listing(out) == listing(undisturbed)
    assert lines_of(out) == lines_of(undisturbed) and len(lines_of(out)) == 61
    for number in range(12):
        times = [frame.seconds for frame in read_frames(out / f"enhanced-{number:06d}.mp4")]
        assert times == [Fraction(n, 25) for n in range(5)]


def test_a_full_disk_is_told_and_the_same_command_goes_on(model: Path, tmp_path: Path) -> None:
    """No file may become larger than 12 kB: blocks.jsonl hits that first."""
    video = write_video(tmp_path / "v.mp4", [striped_frame(96, 160, shift) for shift in range(60)])
    words = [
        "--predictor",
        model,
        "--input",
        video,
        "--out",
        tmp_path / "out",
        "--segment-seconds",
        0.2,
        "--threads",
        1,
    ]
    command_line = " ".join(map(str, [sys.executable, SCRIPT, *words]))
    ended = subprocess.run(["bash", "-c", f"ulimit -f 12; {command_line}"], capture_output=True, text=True, check=False)
    assert ended.returncode == EXIT_USER_ERROR and "Traceback" not in ended.stderr, ended.stderr
    assert "error: " in ended.stderr and " hint: " in ended.stderr
    closed = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("enhanced-*.mp4")}
    assert len(closed) > 2 and (tmp_path / "out" / UNFINISHED).exists()
    again = subprocess.run(["bash", "-c", command_line], capture_output=True, text=True, check=False)
    assert again.returncode == 0 and len(lines_of(tmp_path / "out")) == 61, again.stderr
    assert all(path.stat().st_mtime_ns == then for path, then in sorted(closed.items())[:-1])


def test_other_work_does_not_go_on_there(
    model: Path, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / UNFINISHED).write_text("something else")
    (out / "blocks.jsonl").write_text("{}\n")
    given = ("--predictor", model, "--input", video, "--out", out)
    assert command(monkeypatch, *given) == EXIT_USER_ERROR
    assert "unfinished run with other options" in capsys.readouterr().err
    assert command(monkeypatch, *given, "--overwrite") == 0 and len(lines_of(out)) == 7


def test_results_are_not_overwritten_unasked(
    model: Path, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--predictor", model, "--input", video, "--out", tmp_path / "out")
    assert command(monkeypatch, *given) == 0
    before = (tmp_path / "out" / "enhanced.mp4").stat()
    assert command(monkeypatch, *given) == EXIT_USER_ERROR and "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "out" / "enhanced.mp4").stat() == before
    assert command(monkeypatch, *given, "--overwrite") == 0


def test_two_processes_do_not_share_an_output(model: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mp4", [striped_frame(96, 160, shift) for shift in range(60)])
    first = start(model, video, tmp_path / "out")
    while not (tmp_path / "out" / "blocks.jsonl").exists():
        assert first.poll() is None, first.communicate()
        time.sleep(0.01)
    second = start(model, video, tmp_path / "out")
    _, said = second.communicate()
    assert second.returncode == EXIT_USER_ERROR and b"another process is working on" in said
    first.communicate()
    assert first.returncode == 0 and not (tmp_path / "out" / UNFINISHED).exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--input {video}", "neither --out nor --raw"),
        ("--input {video} {video} --raw -", "--raw takes one input"),
        ("--input {video} --raw - --maps npz", "--maps needs a folder"),
        ("--input {video} --out {out} --budget 20", "budget='20' is not a valid budget"),
        ("--input {video} --out {out} --predict-every 0", "predict_every=0"),
        ("--input {video} --out {out} --upscaler missing.onnx", "upscaler not found: missing.onnx"),
        ("--input {video} --out {out} --upscaler {model}", "upscaler card"),
        ("--input missing.mp4 --out {out}", "missing.mp4"),
        ("--input {model} --out {out}", "model.onnx"),
        ("--input {video} --out {video}", "is a file"),
        ("--input {video} --out {out} --segment-seconds 0", "segment_seconds=0.0"),
    ],
)
def test_what_cannot_be_is_told_and_nothing_stays(
    arguments: str,
    said: str,
    model: Path,
    video: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = listing(tmp_path)
    words = arguments.format(video=video, model=model, out=tmp_path / "out" / "deep").split()
    assert command(monkeypatch, "--predictor", model, *words) == EXIT_USER_ERROR
    printed = capsys.readouterr().err
    assert said in printed and " hint: " in printed
    assert listing(tmp_path) in (before, sorted([*before, "out"]))
