"""Inference on real footage: positions, times, windows, segments, damage, folders of images."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deploy.core.cli import EXIT_USER_ERROR
from deploy.inputs.video import read_frames
from deploy.outputs.growing_folder import UNFINISHED
from tests.helpers.deploy_helpers import card_of, striped_frame, write_model, write_video
from tests.helpers.deploy_helpers import trt_infer_command as command
from tests.helpers.footage import cut, spoil, write
from tests.helpers.footage_cases import CASES, Case, each_case, paths_of


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A brightness model of 48 x 64 pixels, the shape of the cases."""
    return write_model(tmp_path / "model.onnx", card_of(48, 64))


def case_named(name: str) -> Case:
    return next(case for case in CASES if case.name == name)


def times_of(results: Any) -> list[Fraction]:
    return [Fraction(int(n), int(d)) for n, d in zip(results["pts_numerator"], results["pts_denominator"], strict=True)]


def run(monkeypatch: pytest.MonkeyPatch, model: Path, inputs: list[Path], out: Path, *more: object) -> int:
    return command(
        monkeypatch, "--model", model, "--input", *inputs, "--out", out, "--no-overlay-video", "--overlays", 0, *more
    )


@each_case
def test_every_frame_once_at_its_time(
    case: Case, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "videos").mkdir()
    for position, path in enumerate(paths_of(case, tmp_path / "videos")):
        out = tmp_path / f"out-{position}"
        assert run(monkeypatch, model, [path], out) == 0
        said = capsys.readouterr().err
        results = np.load(out / "importance.npz")
        frames = list(read_frames(path))
        assert results["frame_index"].tolist() == list(range(len(case.numbers)))
        assert times_of(results) == [frame.pts_seconds for frame in frames]
        assert [time - times_of(results)[0] for time in times_of(results)] == case.seconds
        (about,) = json.loads((out / "latency.json").read_text())["inputs"]
        assert about["name"] == str(path) and about["num_frames"] == len(case.numbers)
        assert about["first_pts_seconds"] == float(frames[0].pts_seconds)
        assert sum(loss["count"] for loss in about["losses"]) == case.lost
        assert ("left out" in said) == bool(case.lost)


def test_segments_of_joined_recordings_keep_all_maps(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = case_named("clock restarts").make(tmp_path)
    assert run(monkeypatch, model, [path], tmp_path / "out", "--segment-seconds", 2) == 0
    parts = [np.load(file)["frame_index"] for file in sorted((tmp_path / "out").glob("importance-*.npz"))]
    assert [len(part) for part in parts] == [20, 20, 20, 20, 16]
    assert np.concatenate(parts).tolist() == list(range(96))


def test_a_budget_of_joined_recordings(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = case_named("clock restarts").make(tmp_path)
    assert run(monkeypatch, model, [path], tmp_path / "out", "--select", "budget-50-per-second") == 0
    assert np.load(tmp_path / "out" / "importance.npz")["selected"].sum() == 500  # ten windows of a second begin


def test_two_cameras_of_one_scene_share_a_budget_whatever_their_clocks(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = [write(tmp_path / "a.ts", start=10_000), write(tmp_path / "b.ts", start=50_000)]
    assert run(monkeypatch, model, inputs, tmp_path / "out", "--select", "budget-100-per-second") == 0
    results = [np.load(tmp_path / "out" / name / "importance.npz") for name in ("stream-00-a", "stream-01-b")]
    assert sum(int(result["selected"].sum()) for result in results) == 500  # 4.8 s are five windows
    assert times_of(results[0])[0] == 1000 and times_of(results[1])[0] == 5000
    # Both take part in every window, as one video twice would.
    assert all(result["selected"].any() for result in results)
    again = [tmp_path / "a.ts", tmp_path / "a.ts"]
    assert run(monkeypatch, model, again, tmp_path / "same", "--select", "budget-100-per-second") == 0
    for result, name in zip(results, ("stream-00-a", "stream-01-a"), strict=True):
        np.testing.assert_array_equal(
            result["selected"], np.load(tmp_path / "same" / name / "importance.npz")["selected"]
        )


@pytest.mark.parametrize("start", [0, 10_000])
def test_start_and_stop_count_from_the_first_frame(
    start: int, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "v.ts", start=start)
    assert run(monkeypatch, model, [path], tmp_path / "out", "--start-seconds", 2, "--stop-seconds", 3) == 0
    assert np.load(tmp_path / "out" / "importance.npz")["frame_index"].tolist() == list(range(20, 30))
    assert run(monkeypatch, model, [path], tmp_path / "none", "--start-seconds", 1002) == EXIT_USER_ERROR
    assert "is selected" in capsys.readouterr().err and not (tmp_path / "none").exists()


@pytest.mark.parametrize("kind", ["spoiled", "cut off", "turned", "image"])
def test_damage_is_left_out_and_counted_or_ends_the_run(
    kind: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if kind == "spoiled":
        path, left, lost = spoil(write(tmp_path / "v.mp4", gop_size=1), 20), 47, {"undecodable": 1}
    elif kind == "cut off":
        path, left = cut(write(tmp_path / "v.mkv", gop_size=1), 0.5), None
        lost = {"cut_off": 48 - len(list(read_frames(path)))}
    elif kind == "turned":
        path, left, lost = case_named("turned").make(tmp_path), 48, {"other_size": 48}
    else:
        path, left, lost = tmp_path / "images", 2, {"unreadable": 1}
        path.mkdir()
        for number in range(3):
            Image.fromarray(striped_frame(48, 64, number)).save(path / f"{number}.png")
        (path / "1.png").write_bytes((path / "1.png").read_bytes()[:90])
    capsys.readouterr()
    before, out = set(tmp_path.iterdir()), tmp_path / "out"
    assert run(monkeypatch, model, [path], out, "--damaged", "stop") == EXIT_USER_ERROR
    message = capsys.readouterr().err
    assert message.count("error: ") == 1 and str(path) in message and "--damaged skip" in message
    if kind in ("spoiled", "turned"):  # found after the first frames, whose lines stay
        assert set(tmp_path.iterdir()) - before == {out} and (out / UNFINISHED).exists()
        assert not (out / "importance.npz").exists() and not (out / "latency.json").exists()
    else:
        assert set(tmp_path.iterdir()) == before
    if kind == "spoiled":
        assert run(monkeypatch, model, [path], out, "--damaged", "skip", "--every", 2) == EXIT_USER_ERROR
        assert "unfinished run with other options" in capsys.readouterr().err
    assert run(monkeypatch, model, [path], out, "--damaged", "skip") == 0, "as the hint says"
    assert not (out / UNFINISHED).exists()
    report = json.loads((out / "latency.json").read_text())
    assert len((out / "blocks.jsonl").read_text().splitlines()) == report["num_frames"]
    assert {loss["kind"]: loss["count"] for loss in report["inputs"][0]["losses"]} == lost
    assert left is None or report["num_frames"] == left
    if kind == "image":
        results = np.load(tmp_path / "out" / "importance.npz")
        assert results["image_names"].tolist() == ["0.png", "2.png"] and results["frame_index"].tolist() == [0, 2]


def test_a_stream_by_its_number(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = case_named("preview first").make(tmp_path)
    assert run(monkeypatch, model, [path], tmp_path / "out", "--stream", 0) == 0
    assert len(np.load(tmp_path / "out" / "importance.npz")["frame_index"]) == 10
    assert run(monkeypatch, model, [path], tmp_path / "none", "--stream", 5) == EXIT_USER_ERROR


def test_images_in_natural_order(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "images").mkdir()
    for number in (1, 2, 11):
        Image.fromarray(striped_frame(48, 64, number)).save(tmp_path / "images" / f"frame_{number}.png")
    assert run(monkeypatch, model, [tmp_path / "images"], tmp_path / "out") == 0
    results = np.load(tmp_path / "out" / "importance.npz")
    assert results["image_names"].tolist() == ["frame_1.png", "frame_2.png", "frame_11.png"]
    brightest = results["importance"].argmax(axis=2)[:, 0]
    assert brightest.tolist() == [2, 1, 0]  # column (3 - number) % 4


def test_an_image_of_another_shape_is_named(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "images").mkdir()
    for name, height in (("good.png", 48), ("tall.png", 90)):
        Image.fromarray(striped_frame(height, 64)).save(tmp_path / "images" / name)
    assert run(monkeypatch, model, [tmp_path / "images"], tmp_path / "out") == 0
    assert "tall.png: 64 x 90, but the first image is 64 x 48" in capsys.readouterr().err
    assert run(monkeypatch, model, [tmp_path / "images" / "tall.png"], tmp_path / "none") == EXIT_USER_ERROR
    assert "tall.png: frame of 64 x 90 has another aspect ratio" in capsys.readouterr().err


def test_a_video_of_another_shape_is_named(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_video(tmp_path / "tall.mp4", [striped_frame(90, 64)])
    assert run(monkeypatch, model, [path], tmp_path / "out") == EXIT_USER_ERROR
    assert "tall.mp4: frame of 64 x 90 has another aspect ratio" in capsys.readouterr().err
