"""Detectors without PyTorch find what labeling finds with it, on frames of every shape."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from deploy.core.errors import OptionError, WeightsError
from deploy.detectors.classes import COCO_CLASSES
from deploy.detectors.detections import Detections, best_boxes, suppress
from deploy.detectors.framing import prepare_frame
from deploy.detectors.geometry import Preparation
from deploy.detectors.layouts import LAYOUTS
from deploy.detectors.onnx_detector import OnnxDetector
from deploy.inputs.video import Frame
from labeling.detectors import create_detector
from labeling.detectors.framing import prepare_frame as prepare_tensor
from tests.helpers.detector_references import suppress as slow_suppress
from tests.helpers.label_helpers import REPOSITORY

LEAST = 0.3
SHAPES = {
    "16:9": (slice(100, 532), slice(0, 768)),
    "portrait": (slice(0, 576), slice(330, 654)),
}


def file_of(assets: Path, name: str) -> Path:
    if not (assets / name).is_file():
        pytest.skip(f"no {name} in the folder of detectors")
    return assets / name


def tensor(image: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255


def compare(found: Detections, image: NDArray[np.uint8], path: Path, least: float, **how: object) -> None:
    """Labeling's boxes within a pixel and scores within a thousandth."""
    detector = create_detector("onnx", weights=path, score_threshold=least, **how)  # type: ignore[arg-type]
    with torch.no_grad():
        (wanted,) = detector.detect(tensor(image))
    assert len(found) == len(wanted.scores) > 0
    assert found.class_names == detector.class_names
    np.testing.assert_array_equal(found.class_id, wanted.classes.numpy())
    np.testing.assert_allclose(found.confidence, wanted.scores.numpy(), atol=1e-3)
    np.testing.assert_allclose(found.xyxy, wanted.boxes.numpy(), atol=1)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("yolox_nano.onnx", LEAST),
        ("picodet_s_416_coco.onnx", LEAST),
        ("nanodet_m.onnx", LEAST),
        ("yolox_nano_3_classes.onnx", 0.01),
    ],
)
def test_it_finds_what_labelling_finds(
    name: str, least: float, shape: str, assets: Path, vtest_frames: list[Frame]
) -> None:
    path, image = file_of(assets, name), vtest_frames[0].image[SHAPES[shape]]
    compare(OnnxDetector(path, score_threshold=least, threads=1)(image), image, path, least)


def test_another_size_than_the_file_states(assets: Path, vtest_frames: list[Frame]) -> None:
    path, image = file_of(assets, "yolox_nano.onnx"), vtest_frames[0].image[SHAPES["16:9"]]
    detector = OnnxDetector(path, size=(544, 960), score_threshold=LEAST, threads=1)
    compare(detector(image), image, path, LEAST, input_size=(544, 960))
    assert detector.input_size == (544, 960) and detector.zoom((540, 960)) == 1


def test_a_size_that_a_file_cannot_take_is_refused(assets: Path) -> None:
    with pytest.raises(OptionError, match="works only at 416x416") as error:
        OnnxDetector(file_of(assets, "nanodet_m.onnx"), size=(320, 640))
    assert "--detector-size" in error.value.hint


def test_without_the_package_onnx_another_size_is_refused(assets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(OptionError, match="needs the package 'onnx'"):
        OnnxDetector(file_of(assets, "yolox_nano.onnx"), size=(544, 960))


def test_names_and_classes(assets: Path) -> None:
    path = file_of(assets, "yolox_nano_3_classes.onnx")
    detector = OnnxDetector(path, class_names=("helmet", "vest", "boot"), classes=("vest",))
    assert detector.classes == ("vest",) and detector.class_names == ("helmet", "vest", "boot")
    with pytest.raises(OptionError, match="2 class names for a detector of 3 classes"):
        OnnxDetector(path, class_names=("helmet", "vest"))
    with pytest.raises(OptionError, match="no class 'car'"):
        OnnxDetector(path, classes=("car",))


@pytest.mark.parametrize("name", ["15_v8.onnx", "15_v8_free_batch.onnx", "15_v8_half.onnx"])
def test_the_same_network_in_three_forms(name: str, assets: Path, vtest_frames: list[Frame]) -> None:
    path = assets.parent / "cases" / name
    if not path.is_file():
        pytest.skip(f"no {name} beside the folder of detectors")
    image = vtest_frames[0].image
    found = OnnxDetector(path, score_threshold=0.79, classes=COCO_CLASSES, threads=1)(image)
    wanted = OnnxDetector(path.with_name("15_v8.onnx"), score_threshold=0.79, classes=COCO_CLASSES, threads=1)(image)
    assert abs(len(found) - len(wanted)) <= 0.05 * len(wanted) and len(wanted) > 10
    assert abs(found.confidence[0] - wanted.confidence[0]) < 2e-3


def test_suppression_inside_is_welcome(tmp_path: Path) -> None:
    """YOLOv8 exported with nms=True: (1, K, 6), whole classes; there is no gradient to lose."""
    path, boxes = tmp_path / "nms.onnx", np.zeros((1, 300, 6), np.float32)
    boxes[0, :2] = [[8, 8, 24, 24, 0.9, 1], [40, 8, 60, 30, 0.5, 0]]
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("ReduceMean", ["x"], ["mean"], keepdims=0),
            onnx.helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
            onnx.helper.make_node("Add", ["boxes", "nothing"], ["y"]),
        ],
        "nms",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, (1, 3, 32, 64))],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, (1, 300, 6))],
        [onnx.numpy_helper.from_array(boxes, "boxes"), onnx.numpy_helper.from_array(np.float32(0), "zero")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    onnx.helper.set_model_props(model, {"names": "{0: 'cup', 1: 'fork'}"})
    onnx.save(model, str(path))
    found = OnnxDetector(path)(np.zeros((64, 128, 3), np.uint8))
    np.testing.assert_array_equal(found.xyxy, [[16, 16, 48, 48], [80, 16, 120, 60]])
    assert [found.class_names[kind] for kind in found.class_id] == ["fork", "cup"]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_frames_are_prepared_as_for_labelling(layout: object, vtest_frames: list[Frame]) -> None:
    preparation: Preparation = layout.preparation  # type: ignore[attr-defined]
    image = vtest_frames[0].image[60:211, 100:309]
    for size in ((96, 160), (320, 320)):
        ours, place = prepare_frame(image, preparation, size)
        theirs, other = prepare_tensor(tensor(image), preparation, size)
        assert place == other
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-3 * 255 / min(preparation.std))


def test_suppression_equals_the_slow_reference() -> None:
    random = np.random.default_rng(0)
    corners = random.integers(0, 40, (60, 2))
    boxes = np.concatenate([corners, corners + random.integers(5, 20, (60, 2))], axis=1).astype(np.float32)
    scores = np.where(random.random((60, 3)) < 0.4, 0.1, random.random((60, 3))).astype(np.float32)
    scores = np.where(scores == scores.max(axis=1, keepdims=True), scores, 0).astype(np.float32)
    wanted = slow_suppress(boxes, scores, 0.2)
    found = best_boxes(boxes, scores, (100, 100), 0.2, 0.5)
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert len(suppress(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), 0.5)) == 0


def test_scores_outside_of_0_to_1_are_refused() -> None:
    with pytest.raises(WeightsError, match="range from 0 to 7"):
        best_boxes(np.zeros((2, 4), np.float32), np.array([[0.0], [7.0]], np.float32), (9, 9), 0.3, 0.5)


def test_what_is_no_detector(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="not found"):
        OnnxDetector(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("text")
    with pytest.raises(WeightsError, match="cannot use"):
        OnnxDetector(tmp_path / "text.onnx")


def test_no_other_library_is_imported(assets: Path) -> None:
    path = file_of(assets, "yolox_nano.onnx")
    script = (
        "import sys, numpy; from deploy.detectors.onnx_detector import OnnxDetector; "
        f"OnnxDetector({str(path)!r}, threads=1)(numpy.zeros((90, 160, 3), 'uint8')); "
        "print(*{'torch', 'cv2', 'onnx', 'scipy', 'torchvision'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == ""
