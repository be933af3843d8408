"""Published ONNX detectors find what their families' own code finds, on frames of every shape."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from deploy.core.errors import OptionError, WeightsError
from deploy.detectors.classes import COCO_CLASSES
from deploy.inputs.video import Frame
from labeling.detectors import create_detector
from tests.helpers import detector_references as references
from tests.helpers.label_helpers import run_script
from tests.labeling.detectors.test_programs import save_transformers

PUBLISHED = {
    "yolox_nano.onnx": references.yolox,
    "picodet_s_416_coco.onnx": references.picodet,
    "nanodet_m.onnx": references.nanodet,
    "FastestDet.onnx": references.fastestdet,
}
SHAPES = {
    "16:9": (slice(100, 532), slice(0, 768)),
    "4:3": (slice(0, 576), slice(0, 768)),
    "portrait": (slice(0, 576), slice(330, 654)),
}
LEAST = 0.35


def file_of(assets: Path, name: str) -> Path:
    if not (assets / name).is_file():
        pytest.skip(f"no {name} in the folder of detectors")
    return assets / name


def tensor(image: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255


def compare(ours: object, theirs: references.Found, *, least_found: int) -> None:
    """The same boxes within a pixel and scores within a thousandth; what lies at the threshold may differ."""
    boxes, scores, classes = (part.numpy() for part in (ours.boxes, ours.scores.detach(), ours.classes))  # type: ignore[attr-defined]
    clear = theirs[1] > LEAST + 2e-3
    assert clear.sum() >= least_found
    for box, score, kind in zip(theirs[0][clear], theirs[1][clear], theirs[2][clear], strict=True):
        off = np.abs(boxes - box).max(axis=1) + 1e3 * (classes != kind)
        assert off.min() < 1, f"{box} of class {kind}: nearest {boxes[off.argmin()]}"
        assert abs(scores[off.argmin()] - score) < 1e-3
    assert clear.sum() <= len(boxes) <= len(theirs[1]) + (scores < LEAST + 2e-3).sum()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", PUBLISHED)
def test_boxes_are_those_of_the_familys_own_code(
    name: str, shape: str, assets: Path, vtest_frames: list[Frame]
) -> None:
    path = file_of(assets, name)
    image = vtest_frames[0].image[SHAPES[shape]]
    detector = create_detector("onnx", weights=path, score_threshold=LEAST, classes=("person", "car"))
    size: tuple[int, int] = detector.input_size  # type: ignore[attr-defined]
    boxes, scores, classes = PUBLISHED[name](path, image, size, LEAST)
    kept = np.isin(classes, [0, 2])
    compare(detector.detect(tensor(image))[0], (boxes[kept], scores[kept], classes[kept]), least_found=1)


def test_yolox_at_another_size(assets: Path, tmp_path: Path, vtest_frames: list[Frame]) -> None:
    """The size is rewritten in the file, or asked for: the graph itself holds none."""
    path, image = file_of(assets, "yolox_nano.onnx"), vtest_frames[0].image[SHAPES["16:9"]]
    model = onnx.load(str(path))
    cells = 544 * 960 // 64 + 544 * 960 // 256 + 544 * 960 // 1024
    for value, dims in ((model.graph.input[0], (1, 3, 544, 960)), (model.graph.output[0], (1, cells, 85))):
        for dimension, number in zip(value.type.tensor_type.shape.dim, dims, strict=True):
            dimension.dim_value = number
    onnx.save(model, str(tmp_path / "large.onnx"))
    theirs = references.yolox(model.SerializeToString(), image, (544, 960), LEAST)
    for weights, size in ((tmp_path / "large.onnx", None), (path, (544, 960))):
        detector = create_detector(
            "onnx", weights=weights, score_threshold=LEAST, input_size=size, classes=COCO_CLASSES
        )
        compare(detector.detect(tensor(image))[0], theirs, least_found=3)
        assert "960 x 544" in detector.description


def test_a_size_that_a_file_cannot_take_is_refused(assets: Path) -> None:
    path = file_of(assets, "nanodet_m.onnx")
    with pytest.raises(OptionError, match="works only at 416x416") as error:
        create_detector("onnx", weights=path, input_size=(320, 640))
    assert "--detector-size" in error.value.hint


def test_three_classes_of_ones_own(assets: Path, tmp_path: Path, vtest_frames: list[Frame]) -> None:
    path, image = file_of(assets, "yolox_nano_3_classes.onnx"), vtest_frames[0].image
    names = tmp_path / "names.txt"
    names.write_text("0: helmet\n1: vest\n2: boot\n")
    detector = create_detector("onnx", weights=path, score_threshold=0.01)
    assert detector.class_names == detector.classes == ("class-0", "class-1", "class-2")
    theirs = references.yolox(path, image, (416, 416), 0.01)
    (found,) = detector.detect(tensor(image))
    assert len(found.scores) == len(theirs[1]) > 0
    np.testing.assert_allclose(found.scores.detach().numpy()[:5], theirs[1][:5], atol=1e-3)
    chosen = create_detector("onnx", weights=path, class_names=("helmet", "vest", "boot"), classes=("vest",))
    assert chosen.classes == ("vest",) and {2} >= set(chosen.detect(tensor(image))[0].classes.tolist()) - {1}
    with pytest.raises(OptionError, match="2 class names for a detector of 3 classes"):
        create_detector("onnx", weights=path, class_names=("helmet", "vest"))
    with pytest.raises(OptionError, match="no class 'car'"):
        create_detector("onnx", weights=path, classes=("car",))


@pytest.mark.parametrize("name", ["15_v8.onnx", "15_v8_free_batch.onnx", "15_v8_half.onnx"])
def test_the_same_network_in_three_forms(name: str, assets: Path, vtest_frames: list[Frame]) -> None:
    path, plain = assets.parent / "cases" / name, assets.parent / "cases" / "15_v8.onnx"
    if not path.is_file():
        pytest.skip(f"no {name} beside the folder of detectors")
    image = vtest_frames[0].image
    detector = create_detector("onnx", weights=path, score_threshold=0.79, classes=COCO_CLASSES)
    boxes, scores, classes = references.yolov8(plain, image, (320, 416), 0.79)
    (found,) = detector.detect(tensor(image))
    assert len(found.scores) > 10 and len(scores) > 10
    for box, kind in zip(boxes[:20], classes[:20], strict=True):
        off = np.abs(found.boxes.numpy() - box).max(axis=1) + 1e3 * (found.classes.numpy() != kind)
        assert off.min() < 1
    assert abs(float(found.scores.max()) - float(scores.max())) < 2e-3


@pytest.mark.parametrize("name", ["yolox_nano_3_classes.onnx", "picodet_s_416_coco.onnx", "yolox_nano.onnx"])
def test_a_dry_run_says_layout_size_and_classes(name: str, assets: Path, vtest: Path, tmp_path: Path) -> None:
    path = file_of(assets, name)
    ended = run_script(
        "labeling/make_labels.py", vtest, "--out", tmp_path / "d", "--height", 192, "--every", 200,
        "--detector", "onnx", "--detector-weights", path, "--dry-run",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    layout, classes = ("picodet", 80) if "picodet" in name else ("yolox", 3 if "3_classes" in name else 80)
    (line,) = (line for line in ended.stdout.splitlines() if line.startswith("detector "))
    assert f"layout {layout}, 416 x 416, {classes} classes: " in line and not (tmp_path / "d").exists()
    assert "the detector and the upscaler work" in ended.stdout


def test_suppression_inside_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "nms.onnx"
    boxes, scores = np.zeros((1, 4, 4), np.float32), np.zeros((1, 1, 4), np.float32)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("NonMaxSuppression", ["b", "s"], ["y"])],
        "nms",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, (1, 3, 32, 32))],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.INT64, (None, 3))],
        [onnx.numpy_helper.from_array(boxes, "b"), onnx.numpy_helper.from_array(scores, "s")],
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8), path)
    with pytest.raises(WeightsError, match="contains suppression") as error:
        create_detector("onnx", weights=path)
    assert "nms=False" in error.value.hint and "exclude_nms=True" in error.value.hint


class Grid8(torch.nn.Module):
    """One class, a cell of 8, 16 and 32 pixels: YOLOv8's layout from plain operators, some of them newer."""

    def __init__(self, operator: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.operator = operator

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = []
        for stride in (8, 16, 32):
            bright = self.operator(torch.nn.functional.avg_pool2d(x, stride).mean(1, keepdim=True))[:, 0]
            rows, cols = bright.shape[1:]
            y, x_ = torch.meshgrid(torch.arange(rows), torch.arange(cols), indexing="ij")
            middle = (torch.stack([x_, y]).float() + 0.5) * stride
            boxes = torch.cat([middle, torch.full_like(middle, float(stride))]).flatten(1)[None]
            parts.append(torch.cat([boxes, bright.flatten(1)[:, None]], dim=1))
        return torch.cat(parts, dim=2)


@pytest.mark.parametrize("opset", [11, 13, 17, 18, 19, 20])
def test_opsets(opset: int, tmp_path: Path) -> None:
    """Operators whose way of writing changed: Pad, Split, ReduceMean, Resize, Squeeze."""

    def operator(x: torch.Tensor) -> torch.Tensor:
        padded = torch.nn.functional.pad(x, (0, 0, 0, 0, 0, 1))
        first, _ = torch.split(padded, [1, 1], dim=1)
        doubled = torch.nn.functional.interpolate(first, scale_factor=2.0, mode="nearest")
        return torch.nn.functional.avg_pool2d(doubled, 2) + 0 * doubled.mean(dim=(2, 3), keepdim=True)

    path = tmp_path / "cells.onnx"
    torch.onnx.export(Grid8(operator), (torch.zeros(1, 3, 64, 96),), str(path), opset_version=opset, dynamo=False)
    image = torch.zeros(1, 3, 64, 96, requires_grad=True)
    with torch.no_grad():
        image[0, :, 32:64, 64:96] = 1.0
    detector = create_detector("onnx", weights=path, score_threshold=0.9)
    (found,) = detector.detect(image)
    assert detector.classes == ("class-0",) and len(found.scores) == 16 + 4 + 1
    (gradient,) = torch.autograd.grad(found.scores.sum(), image)
    assert gradient[0, :, 40:60, 70:90].abs().sum() > 0


def test_free_sizes_and_names_in_the_file(tmp_path: Path) -> None:
    """A dynamic height, width and batch: the network runs at the frame's size, rounded up to whole strides."""
    path = tmp_path / "free.onnx"
    axes = {"images": {0: "batch", 2: "height", 3: "width"}, "output0": {0: "batch", 2: "anchors"}}
    torch.onnx.export(
        Grid8(lambda x: x), (torch.zeros(1, 3, 64, 96),), str(path), opset_version=17, dynamo=False,
        input_names=["images"], output_names=["output0"], dynamic_axes=axes,
    )  # fmt: skip
    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, {"names": "{0: 'lamp'}"})
    onnx.save(model, str(path))
    detector = create_detector("onnx", weights=path, score_threshold=0.9)
    assert detector.class_names == ("lamp",) and "any size" in detector.description
    image = torch.zeros(1, 3, 100, 130)
    image[0, :, 32:64, 64:96] = 1.0
    (found,) = detector.detect(image)
    boxes = found.boxes.numpy()
    assert len(boxes) and (boxes >= [60, 28, 60, 28]).all() and (boxes <= [100, 68, 100, 68]).all()


def test_an_operator_that_cannot_be_converted_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cells.onnx"
    torch.onnx.export(Grid8(lambda x: x), (torch.zeros(1, 3, 64, 96),), str(path), opset_version=17, dynamo=False)
    model = onnx.load(str(path))
    node = model.graph.node[-1]
    name, node.output[0] = node.output[0], "before"
    model.graph.node.append(onnx.helper.make_node("ThresholdedRelu", ["before"], [name], alpha=-1e9))
    onnx.save(model, str(path))
    detector = create_detector("onnx", weights=path)
    with pytest.raises(WeightsError, match=r"cannot convert.*ThresholdedRelu") as error:
        detector.detect(torch.zeros(1, 3, 64, 96))
    assert "TorchScript" in error.value.hint


@pytest.mark.parametrize("name", ["rt-detr-r18", "d-fine-n"])
def test_query_detectors_exported_from_their_library(name: str, tmp_path: Path) -> None:
    """Random weights of a small network, on noise (elsewhere rounding decides which queries it takes)."""
    from transformers import DFineForObjectDetection, RTDetrForObjectDetection

    torch.manual_seed(0)
    save_transformers(name, tmp_path / "weights")
    library = RTDetrForObjectDetection if name.startswith("rt") else DFineForObjectDetection
    network = library.from_pretrained(tmp_path / "weights").eval()

    class Raw(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            found = self.network(x)
            return found.logits, found.pred_boxes

    path = tmp_path / "queries.onnx"
    raw = Raw().eval()
    torch.onnx.export(raw, (torch.rand(1, 3, 320, 320),), str(path), opset_version=17, dynamo=False)
    image = torch.rand(1, 3, 200, 300, requires_grad=True)
    limits = torch.tensor([300.0, 200.0, 300.0, 200.0])
    detector = create_detector("onnx", weights=path, score_threshold=0.05, classes=COCO_CLASSES)
    (found,) = detector.detect(image)
    with torch.no_grad():
        logits, boxes = raw(torch.nn.functional.interpolate(image, (320, 320), mode="bilinear", align_corners=False))
    best = logits[0].sigmoid().amax(dim=1).sort(descending=True)
    wanted = [(row, float(score)) for score, row in zip(*best, strict=True) if score > 0.05]
    assert len(wanted) > 5 and float(found.scores[0]) == pytest.approx(wanted[0][1], abs=1e-3)
    for row, score in wanted[:10]:
        x, y, width, height = (boxes[0, row] * limits).tolist()
        corners = torch.tensor([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
        near = (
            (found.boxes - corners.clamp(min=0).minimum(torch.tensor([300.0, 200.0, 300.0, 200.0]))).abs().amax(dim=1)
        )
        assert float(near.min()) < 0.5 and float(found.scores[int(near.argmin())]) == pytest.approx(score, abs=1e-3)
    (gradient,) = torch.autograd.grad(found.scores.sum(), image)
    assert float(gradient.abs().sum()) > 0
