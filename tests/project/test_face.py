"""The public names: what they are, that they cost nothing until they are used, and that old homes still answer."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import deploy
import regen
from deploy.core.errors import OptionError
from tests.helpers.deploy_helpers import card_of, striped_frame, write_model, write_video
from tests.helpers.label_helpers import REPOSITORY

NAMES = {"Predictor", "Prediction", "read_frames", "Frame", "Grid", "top_blocks", "SelectionRule", "RegenError"}
MOVED = {
    "deploy.core.video": "deploy.inputs.video",
    "deploy.postprocess": "deploy.prediction.postprocess",
    "deploy.predictor": "deploy.prediction.predictor",
    "labeling.frames": "labeling.core.frames",
    "labeling.pipelines.label_videos": "labeling.labels.label_videos",
    "paddleseg_configs.zoo.record": "paddleseg_configs.ladder.record",
}


def test_the_public_names() -> None:
    assert NAMES <= set(deploy.__all__) == set(dir(deploy)) == set(dir(regen))
    for name in deploy.__all__:
        value = getattr(deploy, name)
        assert value is getattr(regen, name) and value.__name__ == name and value.__doc__
    with pytest.raises(AttributeError, match="no attribute 'Predicter'"):
        _ = deploy.Predicter


def test_importing_the_packages_loads_no_library() -> None:
    code = "import json, sys, deploy, regen; print(json.dumps(sorted(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert not {"numpy", "av", "PIL", "onnxruntime"} & set(json.loads(ended.stdout))


@pytest.mark.parametrize("old", MOVED)
def test_old_homes_answer_with_a_warning(old: str) -> None:
    for name in (old, old.rpartition(".")[0]):
        if name not in ("deploy", "deploy.core", "labeling"):
            sys.modules.pop(name, None)
    with pytest.warns(DeprecationWarning, match=f"{old} has moved to {MOVED[old]}"):
        module = importlib.import_module(old)
    assert module is importlib.import_module(MOVED[old])
    assert module.__spec__ is not None and module.__spec__.name == MOVED[old]


def test_a_frame_of_opencv_is_told(tmp_path: Path) -> None:
    """The model looks at brightness, with other weights for the channels."""
    card = card_of()
    weights = np.zeros((4, 3, 1, 1), np.float32), np.zeros(4, np.float32)
    weights[0][3, 0] = 9.0  # red is important
    model = write_model(tmp_path / "red.onnx", card, weights=lambda _: weights)
    rgb = striped_frame()
    rgb[:, :40] = (200, 0, 0)
    rgb[:, 40:] = (0, 0, 200)
    with deploy.Predictor(model) as predictor:
        right = predictor(rgb)
        assert right.importance[0, 0] > right.importance[0, -1]
        assert np.array_equal(predictor(rgb[..., ::-1], colors="bgr").importance, right.importance)
        assert not np.array_equal(predictor(rgb[..., ::-1]).importance, right.importance)
        with pytest.raises(OptionError, match="colors='gbr' is unknown"):
            predictor(rgb, colors="gbr")  # type: ignore[arg-type]


def test_a_video_is_predicted_frame_by_frame(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model.onnx", card_of())
    video = write_video(tmp_path / "video.mp4", [striped_frame(shift=shift) for shift in range(4)])
    with deploy.Predictor(model) as predictor:
        found = list(predictor.video(str(video), selection=deploy.FrameSelection(every=2)))
        assert [prediction.frame.index for prediction in found if prediction.frame] == [0, 2]
        for prediction, frame in zip(found, list(deploy.read_frames(str(video)))[::2], strict=True):
            assert prediction.frame is not None and np.array_equal(prediction.frame.image, frame.image)
            assert np.array_equal(prediction.importance, predictor(frame.image).importance)
