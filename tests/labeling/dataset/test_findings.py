"""What looks wrong with a dataset, and the page that says so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deploy.core.errors import DatasetError
from deploy.core.grid import Grid
from labeling.dataset.findings import (
    all_findings,
    detection_findings,
    level_findings,
    resolution_findings,
    shared_frames,
)
from labeling.dataset.manifest import ModelRecord, read_manifest
from labeling.dataset.reader import LabelledFrame, read_split
from labeling.maths.split import SPLITS
from tests.helpers.label_helpers import SMALL, crop_clip, run_script
from tests.helpers.paddle_helpers import make_dataset


@pytest.mark.parametrize(
    ("histogram", "whole", "messages"),
    [
        ([10, 10, 10], True, []),
        ([96, 2, 2], True, ["96.0 % level 0"]),
        ([95, 3, 2], True, []),
        ([50, 0, 50], True, ["has no level 1"]),
        ([50, 0, 50], False, []),
        ([100, 0, 0], True, ["100.0 % level 0", "has no level 1, 2"]),
        ([0, 0, 0], True, []),
    ],
)
def test_levels(histogram: list[int], whole: bool, messages: list[str]) -> None:
    found = level_findings("train", histogram, splits_whole=whole, curve="linear")
    assert len(found) == len(messages)
    assert all(message in finding and "train" in finding for message, finding in zip(messages, found, strict=True))
    again = level_findings("train", histogram, splits_whole=whole, curve="quantile")
    assert all("--curve" in finding for finding in found) and not any("--curve" in finding for finding in again)


def test_detections() -> None:
    detector = ModelRecord(name="d", weights_sha256="", settings={"score_threshold": 0.4, "classes": ("car", "bus")})
    assert detection_findings("a", np.array([1, 2]), detector) == []
    assert detection_findings("a", np.array([0, 2]), detector) == ["a: no detections on 1 of 2 frames"]
    (found,) = detection_findings("a", np.array([0, 0]), detector)
    assert "any of its 2 frames" in found and "d detects car, bus from a score of 0.4 on: try another" in found


def frame_of(path: Path, pixels: np.ndarray, index: int) -> LabelledFrame:
    Image.fromarray(pixels).save(path)
    return LabelledFrame("v", index, path, path, np.zeros((2, 3), np.float32), 1)


def test_frames_that_two_splits_share(tmp_path: Path) -> None:
    """Noise is no difference; one block that moved is."""
    grid, random = Grid(32, 48, 3), np.random.default_rng(0)
    scene = random.integers(40, 200, (32, 48, 3), np.uint8)
    noisy = np.clip(scene + random.integers(-6, 7, scene.shape), 0, 255).astype(np.uint8)
    moved = scene.copy()
    moved[16:, 32:] = np.roll(moved[16:, 32:], 1, axis=0) // 2
    train = [frame_of(tmp_path / "a.png", scene, 0)]
    other = [frame_of(tmp_path / "b.png", moved, 7)]
    assert shared_frames({"train": train, "val": other, "test": []}, grid) == []
    same = [*other, frame_of(tmp_path / "c.png", noisy, 9)]
    (finding,) = shared_frames({"train": train, "val": [], "test": same}, grid)
    assert "1 of 2 frames of test" in finding and "v/000009 and v/000000" in finding


def test_a_dataset_of_one_repeated_frame(vtest: Path, tmp_path: Path) -> None:
    """A standing picture is labeled: the page, the command and the check of the splits all say so."""
    from tests.helpers.label_helpers import write_video

    clip = crop_clip(vtest, tmp_path / "person.avi", count=1)
    from deploy.inputs.video import FrameSelection, read_frames

    still = next(iter(read_frames(clip, selection=FrameSelection()))).image
    video = write_video(tmp_path / "still.avi", [still] * 12)
    out = tmp_path / "dataset"
    made = run_script("labeling/make_labels.py", video, "--out", out, *SMALL, "--upscaler", "reference")
    assert made.returncode == 0, made.stderr
    page = tmp_path / "report.html"
    reported = run_script("labeling/make_report.py", out, "--out", page)
    assert reported.returncode == 0, reported.stderr
    text = page.read_text()
    manifest = read_manifest(out)
    frames = {split: list(read_split(out, manifest, split)) for split in SPLITS}
    found = all_findings(manifest, frames)
    assert sum("look the same as a frame of" in finding for finding in found) == 3  # of three pairs of splits
    for finding in found:
        assert f"warning: {finding}" in reported.stdout
        assert finding.split(":")[0] in text
    assert "Share of each level in each video" not in text and "http://" not in text.replace("http://www.w3.org", "")
    assert json.loads((out / "manifest.json").read_text())["schema_version"] == 2


def test_several_videos_are_shown_side_by_side(tmp_path: Path) -> None:
    page, dataset = tmp_path / "report.html", make_dataset(tmp_path / "dataset")
    command = ("labeling/make_report.py", dataset, "--out", page)
    refused = run_script(*command)
    assert refused.returncode == 2 and "has no calibration 'test_video/0'" in refused.stderr
    knots = {"importance": [0.0, 1.0], "value": [0.0, 1.0]}
    manifest = json.loads((dataset / "manifest.json").read_text())
    manifest |= {"scope": "dataset", "calibrations": {"dataset": knots}}
    (dataset / "manifest.json").write_text(json.dumps(manifest))
    reported = run_script(*command)
    assert reported.returncode == 0, reported.stderr
    assert "Share of each level in each video" in page.read_text()


@pytest.mark.parametrize(
    ("size", "fit", "hidden"),
    [("416x416", "corner", True), ("416x416", "stretch", False), ("960x544", "corner", False), (None, "corner", False)],
)
def test_a_detector_that_sees_nothing_of_super_resolution(size: str | None, fit: str, hidden: bool) -> None:
    """A frame of 480 x 270, three times enlarged: 415 x 233 in 416 x 416 (YOLOX cuts off), or 416 x 416 stretched."""
    settings = {"fit": fit} | ({} if size is None else {"input_size": size})
    found = resolution_findings(ModelRecord(name="onnx", weights_sha256="", settings=settings), Grid(270, 480, scale=3))
    assert bool(found) == hidden
    if hidden:
        assert "1440 x 810 at 415 x 233" in found[0] and "--detector-size 1440x832" in found[0]


def test_a_manifest_of_the_first_version_is_read(tmp_path: Path) -> None:
    path = make_dataset(tmp_path / "d") / "manifest.json"
    now = json.loads(path.read_text())
    path.write_text(json.dumps(now | {"schema_version": 1}))
    assert read_manifest(tmp_path / "d").schema_version == 1
    path.write_text(json.dumps(now | {"schema_version": 5}))
    with pytest.raises(DatasetError, match="schema_version"):
        read_manifest(tmp_path / "d")
