"""What every detector promises, tried on each; and what happens with files that are no detectors."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor

from deploy.core.errors import OptionError, WeightsError
from deploy.core.runtimes import import_onnxruntime
from deploy.detectors.classes import PEOPLE_AND_VEHICLES
from deploy.inputs.video import Frame
from labeling.detectors import DETECTORS, Detector, create_detector
from labeling.detectors.centernet import DEFAULT_MODEL
from labeling.detectors.framing import prepare_frame
from labeling.detectors.tfjs_graph import TfjsGraph
from tests.helpers.label_helpers import skip_without_centernet

ONNX_FILES = ("FastestDet.onnx", "nanodet_m.onnx")
NAMES = ("hog", "centernet", *ONNX_FILES)
# Two people and a van; not a multiple of anything.
PART = slice(60, 350), slice(100, 515)
# Middle of a person about 22 px wide and 72 px high in the whole frame, read off the picture.
PERSON_AT_5_S = (445.0, 211.0)


@cache
def create(name: str, weights: Path | None, threshold: float | None, classes: tuple[str, ...]) -> Detector:
    return create_detector(name, weights=weights, score_threshold=threshold, classes=classes)


@pytest.fixture
def make(request: pytest.FixtureRequest) -> Callable[..., Detector]:
    """Create a detector by its name here, or skip where its file is not on this machine."""

    def build(name: str, threshold: float | None = None, classes: tuple[str, ...] = ()) -> Detector:
        if name == "centernet":
            skip_without_centernet()
        weights = None
        if name in ONNX_FILES:
            weights = request.getfixturevalue("assets") / name
            if not weights.is_file():
                pytest.skip(f"no {name} in the folder of detectors")
        return create("onnx" if weights else name, weights, threshold, classes)

    return build


@pytest.fixture(scope="module")
def images(vtest_frames: list[Frame]) -> Tensor:
    """(3, 3, 290, 415): 0, 5 and 10 seconds."""
    parts = np.stack([frame.image[PART] for frame in vtest_frames])
    return torch.from_numpy(parts).permute(0, 3, 1, 2).float() / 255


@pytest.mark.parametrize("name", NAMES)
def test_detections_keep_the_contract(name: str, make: Callable[..., Detector], images: Tensor) -> None:
    detector = make(name)
    found = detector.detect(images)
    assert len(found) == len(images) and sum(len(frame.scores) for frame in found) > 0
    height, width = images.shape[2:]
    for frame in found:
        count = len(frame.scores)
        assert frame.boxes.shape == (count, 4) and frame.classes.shape == (count,)
        assert (frame.boxes.dtype, frame.scores.dtype) == (torch.float32, torch.float32)
        assert frame.classes.dtype == torch.int64 and not frame.boxes.requires_grad
        assert (frame.scores >= detector.score_threshold).all() and (frame.scores <= 1).all()
        assert (frame.scores.diff() <= 0).all(), "not best first"
        assert (frame.boxes[:, 2:] > frame.boxes[:, :2]).all()
        # Regressed boxes may stand out of the frame a little.
        assert (frame.boxes >= -0.15 * width).all()
        assert (frame.boxes[:, 2] <= 1.15 * width).all() and (frame.boxes[:, 3] <= 1.15 * height).all()
        assert {detector.class_names[kind] for kind in frame.classes} <= set(detector.classes)
    assert detector.name in DETECTORS.names and len(detector.weights_sha256) == 64


@pytest.mark.parametrize("name", NAMES)
def test_the_person_in_front_is_found_as_a_person(
    name: str, make: Callable[..., Detector], vtest_frames: list[Frame]
) -> None:
    """Where a person stands at 5 s, in any frame size: boxes are scaled by the frame's own width and height."""
    frame = torch.from_numpy(vtest_frames[1].image.copy()).permute(2, 0, 1)[None].float() / 255
    detector = make(name)
    for top, left, height, width in ((60, 340, 290, 260), (120, 300, 240, 400)):
        (found,) = detector.detect(frame[:, :, top : top + height, left : left + width])
        centres = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2 + torch.tensor([left, top])
        people = torch.tensor([detector.class_names[kind] == "person" for kind in found.classes])
        near = (centres - torch.tensor(PERSON_AT_5_S)).abs().amax(dim=1) < 20
        assert (near & people).any(), f"{centres.tolist()}"


@pytest.mark.parametrize("name", NAMES)
def test_only_the_named_classes_are_kept(name: str, make: Callable[..., Detector], images: Tensor) -> None:
    people = make(name, classes=("person",))
    assert people.classes == ("person",)
    kinds = {people.class_names[kind] for frame in people.detect(images) for kind in frame.classes}
    assert kinds == {"person"}
    if name != "hog":
        assert make(name).classes == PEOPLE_AND_VEHICLES
        birds = make(name, classes=("bird", "cat"))
        assert {birds.class_names[kind] for frame in birds.detect(images) for kind in frame.classes} <= {"bird", "cat"}


@pytest.mark.parametrize("name", NAMES)
def test_scores_have_a_gradient_inside_the_object(name: str, make: Callable[..., Detector], images: Tensor) -> None:
    detector = make(name)
    found = detector.detect(images)
    number = max(range(len(images)), key=lambda n: float(found[n].scores.amax()) if len(found[n].scores) else 0)
    pixels = images[number : number + 1].clone().requires_grad_(True)
    (frame,) = detector.detect(pixels)
    (gradient,) = torch.autograd.grad(frame.scores[0], pixels)
    x0, y0, x1, y1 = (max(0, round(value)) for value in frame.boxes[0].tolist())
    inside = gradient[0, :, y0:y1, x0:x1].abs().mean()
    assert torch.isfinite(gradient).all() and inside > 0
    assert inside > gradient.abs().mean()


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_is_its_frames_one_by_one(name: str, make: Callable[..., Detector], images: Tensor) -> None:
    detector = make(name)
    for image, together in zip(images, detector.detect(images), strict=True):
        (alone,) = detector.detect(image[None])
        assert torch.equal(together.classes, alone.classes)
        torch.testing.assert_close(together.scores, alone.scores, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(together.boxes, alone.boxes, rtol=1e-4, atol=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_a_black_frame_has_no_detection(name: str, make: Callable[..., Detector]) -> None:
    (found,) = make(name).detect(torch.zeros(1, 3, 200, 320))
    assert len(found.scores) == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_higher_threshold_keeps_the_best(name: str, make: Callable[..., Detector], images: Tensor) -> None:
    loose = make(name).detect(images)
    scores = torch.cat([frame.scores for frame in loose])
    middle = float((scores.amin() + scores.amax()) / 2)
    strict = make(name, threshold=middle).detect(images)
    for few, many in zip(strict, loose, strict=True):
        torch.testing.assert_close(few.scores, many.scores[many.scores >= middle])


@pytest.mark.parametrize("name", ONNX_FILES)
def test_the_network_computes_what_onnx_runtime_computes(
    name: str, make: Callable[..., Detector], assets: Path, images: Tensor
) -> None:
    detector: Any = make(name)
    inputs, _ = prepare_frame(images[:1], detector._layout.preparation, detector.input_size)
    ours = detector._network(detector.input_size)(inputs)
    ours = ours if isinstance(ours, tuple | list) else [ours]
    session = import_onnxruntime().InferenceSession(str(assets / name), providers=["CPUExecutionProvider"])
    theirs = session.run(None, {session.get_inputs()[0].name: inputs.numpy()})
    assert len(ours) == len(theirs)
    for mine, wanted in zip(ours, theirs, strict=True):
        assert np.abs(mine.numpy() - wanted).max() <= 1e-4 * np.abs(wanted).max()


class TinyYolo(torch.nn.Module):
    """One cell a place, bright ones are persons: YOLOv8's layout."""

    def forward(self, x: Tensor) -> Tensor:
        parts = []
        for stride in (8, 16, 32):
            bright = torch.nn.functional.avg_pool2d(x.mean(1, keepdim=True), stride)[0, 0]
            rows, cols = bright.shape
            y = torch.arange(rows).view(-1, 1).expand(rows, cols) * stride + stride / 2
            x_ = torch.arange(cols).view(1, -1).expand(rows, cols) * stride + stride / 2
            side = torch.full((rows, cols), float(stride))
            boxes = torch.stack([x_, y, side, side]).flatten(1)
            parts.append(torch.cat([boxes, bright.flatten()[None], torch.zeros(79, rows * cols)]))
        return torch.cat(parts, dim=1)[None]


def test_a_yolo_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "yolo.onnx"
    torch.onnx.export(TinyYolo(), (torch.zeros(1, 3, 64, 96),), str(path), opset_version=13, dynamo=False)
    detector = create_detector("onnx", weights=path, score_threshold=0.9)
    image = torch.zeros(1, 3, 128, 192, requires_grad=True)
    with torch.no_grad():
        image[0, :, 32:64, 64:96] = 1.0
    (found,) = detector.detect(image)
    assert len(found.scores) == 1 + 4
    assert any(box == pytest.approx([64, 32, 96, 64], abs=1e-3) for box in found.boxes.tolist())
    (gradient,) = torch.autograd.grad(found.scores.sum(), image)
    assert gradient[0, :, 40:56, 72:88].abs().sum() > 0 and gradient[0, :, 100:, 140:].abs().sum() == 0


# What cannot be used


def refused(error: type[Exception], message: str, name: str, **arguments: Any) -> None:
    settings = {"weights": None, "score_threshold": None, "classes": ()} | arguments
    with pytest.raises(error, match=message) as raised:
        create_detector(name, **settings)
    assert raised.value.hint  # type: ignore[attr-defined]


def test_an_unknown_detector() -> None:
    with pytest.raises(OptionError, match="unknown detector 'hogg'") as error:
        create_detector("hogg")
    assert "'hog'" in error.value.hint


@pytest.mark.parametrize("name", NAMES)
def test_unknown_classes(name: str, make: Callable[..., Detector]) -> None:
    with pytest.raises(OptionError, match="no class 'unicorn'") as error:
        make(name, classes=("person", "unicorn"))
    assert "person" in error.value.hint


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("threshold", [0.0, 1.0, -0.5, 30.0, float("nan")])
def test_impossible_thresholds(name: str, threshold: float, make: Callable[..., Detector]) -> None:
    with pytest.raises(OptionError, match="score_threshold") as error:
        make(name, threshold=threshold)
    assert error.value.hint


def tiny_onnx(path: Path, inputs: tuple[int | str, ...], outputs: tuple[int | str, ...]) -> Path:
    """A model of one operator whose declared shapes are these."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, inputs)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, outputs)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        ((1, 3, 32, 32), (1, 1000), "none of the known layouts"),
        ((1, 3, 32, 32), (1, 3, 32, 32), "none of the known layouts"),
        ((1, 1, 32, 32), (1, 85, 2, 2), "no single input"),
        ((1, 3072), (1, 85, 2, 2), "no single input"),
    ],
)
def test_onnx_files_that_are_no_detectors(
    inputs: tuple[int | str, ...], outputs: tuple[int | str, ...], message: str, tmp_path: Path
) -> None:
    refused(WeightsError, message, "onnx", weights=tiny_onnx(tmp_path / "tiny.onnx", inputs, outputs))


@pytest.mark.parametrize("place", ["initializer", "constant", "inner graph"])
def test_onnx_files_that_name_other_files_are_refused(place: str, tmp_path: Path) -> None:
    """onnx before 1.21 follows such a name out of the folder (CVE-2026-27489)."""
    (tmp_path / "secret").write_bytes(bytes(4))
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../secret")
    path = tiny_onnx(tmp_path / "tiny.onnx", (1, 3, 32, 32), (1, 85, 2, 2))
    model = onnx.load(path)
    constant = helper.make_node("Constant", [], ["w"], value=tensor)
    if place == "initializer":
        model.graph.initializer.append(tensor)
    elif place == "constant":
        model.graph.node.insert(0, constant)
    else:
        inner = helper.make_graph([constant], "inner", [], [])
        model.graph.node.insert(0, helper.make_node("If", ["c"], ["w"], then_branch=inner, else_branch=inner))
    path.write_bytes(model.SerializeToString())
    refused(WeightsError, "other files", "onnx", weights=path)


def test_onnx_without_a_file() -> None:
    refused(OptionError, "needs a file", "onnx")


@pytest.mark.parametrize("content", [None, b"", b"no model\n" * 50])
def test_files_that_are_no_onnx(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    refused(WeightsError, "model.onnx", "onnx", weights=path)


def test_hog_takes_no_weights(tmp_path: Path) -> None:
    refused(OptionError, "takes no weights", "hog", weights=tmp_path / "any.pt")


def test_centernet_without_its_model(tmp_path: Path) -> None:
    refused(WeightsError, "not found at", "centernet", weights=tmp_path / "centernet.json")


def write_graph(folder: Path, *, weights: np.ndarray, entry: dict[str, Any]) -> Path:
    """A TensorFlow.js model of one node: y = x + w."""
    node = {"name": "y", "op": "AddV2", "input": ["x", "w"]}
    manifest = [{"paths": ["shard.bin"], "weights": [{"name": "w", "shape": list(weights.shape)} | entry]}]
    path = folder / "model.json"
    path.write_text(json.dumps({"modelTopology": {"node": [node]}, "weightsManifest": manifest}))
    (folder / "shard.bin").write_bytes(weights.tobytes())
    return path


@pytest.mark.parametrize(
    ("stored", "entry", "wanted"),
    [
        (np.array([1, 2, 3], np.float32), {"dtype": "float32"}, [1, 2, 3]),
        (np.array([1, 2, 3], np.float16), {"dtype": "float32", "quantization": {"dtype": "float16"}}, [1, 2, 3]),
        (
            np.array([0, 10, 255], np.uint8),
            {"dtype": "float32", "quantization": {"dtype": "uint8", "scale": 0.5, "min": -2.0}},
            [-2, 3, 125.5],
        ),
    ],
    ids=["float32", "float16", "uint8"],
)
def test_graph_weights(stored: np.ndarray, entry: dict[str, Any], wanted: list[float], tmp_path: Path) -> None:
    graph = TfjsGraph(write_graph(tmp_path, weights=stored, entry=entry))
    (y,) = graph.run({"x": torch.zeros(1, 3, 2, 2)}, ("y",))
    assert y[0, :, 0, 0].tolist() == wanted


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_text(path.read_text()[:-20]),
        lambda path: path.write_text("[]"),
        lambda path: path.write_text('{"modelTopology": {}}'),
        lambda path: path.write_text('{"modelTopology": {"node": ["y"]}, "weightsManifest": []}'),
        lambda path: path.write_text('{"modelTopology": {"node": []}, "weightsManifest": ["w"]}'),
        lambda path: path.write_text(path.read_text().replace('[{"name": "w"', '["w", {"name": "w"')),
        lambda path: path.write_bytes(b"\xff\xfe" * 40),
        lambda path: path.unlink(),
        lambda path: (path.parent / "shard.bin").unlink(),
        lambda path: (path.parent / "shard.bin").write_bytes(b"\0" * 7),
        lambda path: (path.parent / "shard.bin").write_bytes(b""),
    ],
)
def test_damaged_graphs(damage: Callable[[Path], object], tmp_path: Path) -> None:
    path = write_graph(tmp_path, weights=np.ones(3, np.float32), entry={"dtype": "float32"})
    damage(path)
    with pytest.raises(WeightsError, match=r"cannot read .*model\.json") as error:
        TfjsGraph(path)
    assert error.value.hint


def test_a_graph_without_what_is_asked_for(tmp_path: Path) -> None:
    graph = TfjsGraph(write_graph(tmp_path, weights=np.ones(3, np.float32), entry={"dtype": "float32"}))
    with pytest.raises(WeightsError, match="no node 'heat'"):
        graph.run({"x": torch.zeros(1, 3, 2, 2)}, ("heat",))


def test_an_operator_that_is_not_supported(tmp_path: Path) -> None:
    path = write_graph(tmp_path, weights=np.ones(3, np.float32), entry={"dtype": "float32"})
    path.write_text(path.read_text().replace("AddV2", "Softmax"))
    with pytest.raises(WeightsError, match="Softmax"):
        TfjsGraph(path).run({"x": torch.zeros(1, 3, 2, 2)}, ("y",))


def test_padding_same_puts_the_odd_pixel_last(tmp_path: Path) -> None:
    """A 3 x 3 kernel at stride 2 over 4 pixels reads pixels 0 to 2 first, not -1 to 1, as TensorFlow does."""
    path = write_graph(tmp_path, weights=np.ones((3, 3, 1, 1), np.float32), entry={"dtype": "float32"})
    model = json.loads(path.read_text())
    same = base64.b64encode(b"SAME").decode()
    attributes = {"strides": {"list": {"i": ["1", "2", "2", "1"]}}, "padding": {"s": same}}
    model["modelTopology"]["node"][0] |= {"op": "Conv2D", "attr": attributes}
    path.write_text(json.dumps(model))
    x = torch.arange(16.0).view(1, 1, 4, 4)
    (y,) = TfjsGraph(path).run({"x": x}, ("y",))
    assert y.shape == (1, 1, 2, 2)
    assert float(y[0, 0, 0, 0]) == float(x[0, 0, :3, :3].sum())


def test_centernet_hashes_the_files_that_its_graph_names(make: Callable[..., Detector], tmp_path: Path) -> None:
    """Other weight files than centernet.bin are read as well; other weights have another hash."""
    wanted = make("centernet").weights_sha256
    model = json.loads(DEFAULT_MODEL.read_text())
    (tmp_path / "model.json").write_text(json.dumps(model).replace("centernet.bin", "group1-shard1of1.bin"))
    shutil.copy(DEFAULT_MODEL.with_name("centernet.bin"), tmp_path / "group1-shard1of1.bin")
    renamed = create_detector("centernet", weights=tmp_path / "model.json", score_threshold=None, classes=())
    assert renamed.weights_sha256 == wanted
