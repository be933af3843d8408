"""Labeling's detectors as deployment calls detectors, and the command that takes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from deploy.core.errors import OptionError
from deploy.detectors.onnx_detector import OnnxDetector
from deploy.inputs.video import Frame
from deploy.worth_it.options import WorthOptions
from labeling.detectors import create_detector
from labeling.networks.array_detector import ArrayDetector, open_any_detector
from tests.helpers.label_helpers import run_script


def options(detector: str | Path, **more: object) -> WorthOptions:
    return WorthOptions(video=Path("v.mp4"), detector=Path(detector), threads=1, **more)  # type: ignore[arg-type]


def test_a_detector_by_name(vtest_frames: list[Frame]) -> None:
    image = vtest_frames[1].image[60:350, 100:515]
    detector = open_any_detector(options("hog"), None, 0.2)
    wanted = create_detector("hog", score_threshold=0.2)
    (found,) = wanted.detect(torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255)
    ours = detector(image)
    assert len(ours) == len(found.scores) > 0 and ours.class_names == wanted.class_names
    np.testing.assert_array_equal(ours.xyxy, found.boxes.numpy())
    np.testing.assert_allclose(ours.confidence, found.scores.detach().numpy())
    assert detector.size_for((290, 415)) == (290, 415) and detector.zoom((290, 415)) == 1
    larger = open_any_detector(options("hog"), (580, 864), 0.2)
    assert isinstance(larger, ArrayDetector) and larger.zoom((290, 432)) == 2


def test_files(assets: Path, tmp_path: Path) -> None:
    class Corner(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.tensor([[0.0, 0.0, 9.0, 9.0]]), image.mean().reshape(1, 1)

    torch.jit.script(Corner()).save(str(tmp_path / "corner.pt"))
    (tmp_path / "names.txt").write_text("corner\n")
    detector = open_any_detector(options(tmp_path / "corner.pt", class_names=tmp_path / "names.txt"), None, 0.3)
    found = detector(np.full((32, 32, 3), 255, np.uint8))
    assert found.xyxy.tolist() == [[0, 0, 9, 9]] and found.class_names == ("corner",)
    with pytest.raises(OptionError, match="detector_size=64x64 is for ONNX files"):
        open_any_detector(options(tmp_path / "corner.pt", detector_size="64x64"), None, 0.3)
    with pytest.raises(OptionError, match="nosuch"):
        open_any_detector(options("nosuch"), None, 0.3)
    if (assets / "yolox_nano.onnx").is_file():
        assert isinstance(open_any_detector(options(assets / "yolox_nano.onnx"), None, 0.3), OnnxDetector)


def test_the_command(vtest: Path) -> None:
    ended = run_script(
        "labeling/worth.py", vtest, "--detector", "hog", "--frames", 1, "--height", 96, "--threads", 1,
        "--score-threshold", 0.05,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "everything super-resolved" in ended.stdout and "detector at 480x384, interpolated" in ended.stdout
