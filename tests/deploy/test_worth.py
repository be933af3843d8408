"""The command, as a user gives it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.detectors.onnx_detector import OnnxDetector
from deploy.inputs.video import FrameSelection, read_frames
from tests.helpers.label_helpers import run_script


def detector_of(assets: Path) -> Path:
    path = assets / "yolox_nano.onnx"
    if not path.is_file():
        pytest.skip("no yolox_nano.onnx in the folder of detectors")
    return path


def test_it_answers(vtest: Path, assets: Path, tmp_path: Path) -> None:
    files = "--json", tmp_path / "w.json", "--out", tmp_path / "w.html"
    ended = run_script(
        "deploy/worth.py", vtest, "--detector", detector_of(assets), "--detector-size", "416x320", "--height", "96",
        "--frames", 3, "--threads", 1, *files,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    stored = json.loads((tmp_path / "w.json").read_text())
    assert (
        "objects in them." in ended.stdout
        and stored["verdict"] in ended.stdout
        and "3 frames of 128 x 96 (area), x3 to 384 x 288" in ended.stdout
    )
    rows = {row["way"]: row for row in stored["rows"]}
    assert [row["budget"] for row in stored["rows"]][:6] == [0, 1, 0.05, 0.1, 0.2, 0.3]
    assert {"random 20%", "2 x 2 slices, interpolated", "boxes of the frame before, 20%"} <= set(rows)
    assert {"detector at 544x416, interpolated", "detector at 832x640, interpolated"} <= set(rows)
    assert all(0 <= row["f1_low"] <= row["f1"] <= row["f1_high"] <= 1 for row in rows.values())
    assert "data:image/png" in (tmp_path / "w.html").read_text()


def test_a_detector_that_sees_less_than_the_low_resolution_frame(vtest: Path, assets: Path, tmp_path: Path) -> None:
    ended = run_script(
        "deploy/worth.py", vtest, "--detector", detector_of(assets), "--detector-size", "128x96", "--frames", 1,
        "--threads", 1, "--height", 96, "--detector-layout", "yolox",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "shrinks frames below the low-resolution size, so enhancement cannot help" in ended.stdout
    assert "--detector-size 384x288" in ended.stdout


def test_annotations_give_average_precision(vtest: Path, assets: Path, tmp_path: Path) -> None:
    """Those of the detector itself on the true frames: all is found that it finds there."""
    marked = tmp_path / "gt.txt"
    detector = OnnxDetector(detector_of(assets), size=(320, 416), classes=("person",), threads=1)
    lines = []
    for frame in read_frames(vtest, selection=FrameSelection(indices=frozenset({40, 80}))):
        for x0, y0, x1, y1 in detector(frame.image).xyxy.tolist():
            lines.append(f"{frame.index + 1},-1,{x0},{y0},{x1 - x0},{y1 - y0},1\n")
    marked.write_text("".join(lines))
    ended = run_script(
        "deploy/worth.py", vtest, "--detector", detector_of(assets), "--detector-size", "416x320",
        "--classes", "person", "--annotations", marked, "--threads", 1, "--json", tmp_path / "w.json",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "2 frames of 256 x 192" in ended.stdout and "AP50" in ended.stdout
    rows = {row["way"]: row for row in json.loads((tmp_path / "w.json").read_text())["rows"]}
    assert 0.3 < rows["everything super-resolved"]["mean_ap"] <= rows["everything super-resolved"]["ap50"] <= 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--detector", "none.onnx"], "detector not found: none.onnx"),
        (["--detector", __file__], "cannot use"),
        (["--detector", "none.onnx", "--frames", "0"], "frames=0 must be at least 1"),
        (["--detector", "none.onnx", "--height", "577"], "height=577 is more than the source's 576"),
        (["--detector", "none.onnx", "--upscaler", "none.onnx"], "upscaler not found: none.onnx"),
    ],
)
def test_what_cannot_be_used_is_told(options: list[str], said: str, vtest: Path) -> None:
    ended = run_script("deploy/worth.py", vtest, *options)
    assert ended.returncode == 2 and said in ended.stderr and "hint:" in ended.stderr
