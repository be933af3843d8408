"""Every layout by its family's definition, decoded by hand; on NumPy arrays and PyTorch tensors alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from deploy.core.errors import OptionError, WeightsError
from deploy.detectors.classes import COCO_CLASSES
from deploy.detectors.layout import UNKNOWN
from deploy.detectors.layouts import LAYOUTS, choose_layout

SIZE = (64, 96)
CELLS = 8 * 12 + 4 * 6 + 2 * 3
"""Of strides 8, 16 and 32 over 64 x 96 pixels."""
CELLS_64 = CELLS + 1 * 2
"""And of 64: the second cell is partial."""
CELL = 96 + 3 * 6 + 4
"""At stride 16, in row 3 and column 4."""
CLASSES, CAR = 4, 2
BOX = [55.0, 40.0, 85.0, 60.0]
"""30 x 20 pixels around (70, 50)."""
Outputs = list[NDArray[np.float32]]


def zeros(*shape: int) -> NDArray[np.float32]:
    return np.zeros(shape, np.float32)


def pixel_cells(columns: int, *, corners: bool) -> NDArray[np.float32]:
    """(1, CELLS, columns): boxes of a stride's side around every cell."""
    cells, row = zeros(1, CELLS, columns), 0
    for stride in (8, 16, 32):
        for y in range(SIZE[0] // stride):
            for x in range(SIZE[1] // stride):
                middle = np.array([x + 0.5, y + 0.5]) * stride
                half = np.array([stride, stride]) / 2
                cells[0, row, :4] = [*(middle - half), *(middle + half)] if corners else [*middle, *(2 * half)]
                row += 1
    return cells


def yolov8(*, turned: bool = False) -> Outputs:
    cells = pixel_cells(4 + CLASSES, corners=False)
    cells[0, CELL, :4], cells[0, CELL, 4 + CAR] = [70, 50, 30, 20], 0.72
    return [cells if turned else np.ascontiguousarray(cells.transpose(0, 2, 1))]


def yolov5() -> Outputs:
    anchors = zeros(1, 3 * CELLS, 5 + CLASSES)
    anchors[0, CELL, :5], anchors[0, CELL, 5 + CAR] = [70, 50, 30, 20, 0.9], 0.8
    return [anchors, zeros(1, 3, 8, 12, 9)]


def yolox() -> Outputs:
    cells = zeros(1, CELLS, 5 + CLASSES)
    cells[0, CELL, :5] = [70 / 16 - 4, 50 / 16 - 3, np.log(30 / 16), np.log(20 / 16), 0.9]
    cells[0, CELL, 5 + CAR] = 0.8
    return [cells]


def yolov6() -> Outputs:
    cells = pixel_cells(5 + CLASSES, corners=False)
    cells[0, :, 4] = 1
    cells[0, CELL, :4], cells[0, CELL, 5 + CAR] = [70, 50, 30, 20], 0.72
    return [cells]


def corners_and_scores() -> Outputs:
    cells = pixel_cells(4 + CLASSES, corners=True)
    cells[0, CELL, :4], cells[0, CELL, 4 + CAR] = BOX, 0.72
    return [cells]


def paddle_boxes() -> Outputs:
    (cells,) = corners_and_scores()
    return [cells[..., :4].copy(), np.ascontiguousarray(cells[..., 4:].transpose(0, 2, 1))]


def distributions(middle: tuple[float, float]) -> NDArray[np.float32]:
    """(1, 32) logits of sides that reach from a point, in strides of 16, to `BOX`."""
    x, y = middle
    sides = zeros(1, 4, 8)
    for side, distance in enumerate((x - BOX[0] / 16, y - BOX[1] / 16, BOX[2] / 16 - x, BOX[3] / 16 - y)):
        low = int(distance)
        share = distance - low  # two neighboring bins, whose expectation is the distance
        sides[0, side] = -50
        sides[0, side, low], sides[0, side, low + 1] = np.log(1 - share + 1e-9), np.log(share + 1e-9)
    return sides.reshape(1, 32)


def side_distributions(strides: tuple[int, ...]) -> Outputs:
    counts = [-(-SIZE[0] // stride) * -(-SIZE[1] // stride) for stride in strides]
    scores, sides = ([zeros(1, count, depth) for count in counts] for depth in (CLASSES, 32))
    scores[1][0, 3 * 6 + 4, CAR] = 0.72
    sides[1][0, 3 * 6 + 4] = distributions((4.5, 3.5))
    return [*scores, *sides]


def nanodet_plus() -> Outputs:
    cells = zeros(1, CELLS_64, CLASSES + 32)
    cells[0, CELL, CAR], cells[0, CELL, CLASSES:] = 0.72, distributions((4.0, 3.0))
    return [cells]


def picodet_boxes() -> Outputs:
    boxes, scores = paddle_boxes()
    return [np.pad(boxes, ((0, 0), (0, 2), (0, 0)), mode="edge"), np.pad(scores, ((0, 0), (0, 0), (0, 2)))]


def queries(*, joined: bool = False) -> Outputs:
    logits, boxes = np.full((1, 7, CLASSES), -20, np.float32), np.full((1, 7, 4), 0.1, np.float32)
    boxes[0, 5], logits[0, 5, CAR] = [70 / 96, 50 / 64, 30 / 96, 20 / 64], np.log(0.72 / 0.28)
    return [np.concatenate([boxes, 1 / (1 + np.exp(-logits))], axis=2)] if joined else [logits, boxes]


def end_to_end() -> Outputs:
    rows = zeros(1, 5, 6)
    rows[0, 3] = [*BOX, 0.72, CAR]
    return [rows]


def labels_boxes_scores() -> Outputs:
    labels, boxes, scores = np.zeros((1, 5), np.int64), zeros(1, 5, 4), zeros(1, 5)
    labels[0, 3], boxes[0, 3], scores[0, 3] = CAR, BOX, 0.72
    return [labels, boxes, scores]  # type: ignore[list-item]


def fastestdet() -> Outputs:
    cells = zeros(1, 5 + CLASSES, 4, 6)
    # A center within the reach of tanh from the cell's corner, sides by the logit of their share of the frame.
    sides = [np.log(share / (1 - share)) for share in (30 / 96, 20 / 64)]
    cells[0, :5, 3, 4] = [0.72, np.arctanh(70 / 16 - 4), np.arctanh(50 / 16 - 3), *sides]
    cells[0, 5 + CAR, 3, 4] = 0.72
    return [cells]


CASES: dict[str, Callable[[], Outputs]] = {
    "fastestdet": fastestdet,
    "nanodet": lambda: side_distributions((8, 16, 32)),
    "picodet": lambda: side_distributions((8, 16, 32, 64)),
    "nanodet-plus": nanodet_plus,
    "yolov8": yolov8,
    "yolov8-transposed": lambda: yolov8(turned=True),
    "yolov5": yolov5,
    "yolox": yolox,
    "yolov6": yolov6,
    "end-to-end": end_to_end,
    "ppyoloe": paddle_boxes,
    "ppyoloe-plus": paddle_boxes,
    "picodet-boxes": picodet_boxes,
    "ppyoloe-raw": corners_and_scores,
    "ppyoloe-plus-raw": corners_and_scores,
    "rt-detr": queries,
    "rt-detr-ultralytics": lambda: queries(joined=True),
    "rt-detr-boxes": labels_boxes_scores,
}
TWINS = {"ppyoloe": "ppyoloe-plus", "ppyoloe-raw": "ppyoloe-plus-raw"}
"""The same outputs, of frames that were normalized in two ways."""


def test_every_layout_has_a_case() -> None:
    assert [layout.name for layout in LAYOUTS] == list(CASES)


@pytest.mark.parametrize("name", CASES)
def test_a_layout_by_its_definition(name: str) -> None:
    outputs = CASES[name]()
    twin = name in TWINS or name in TWINS.values()
    layout, count = choose_layout(outputs, SIZE, name if twin else None)
    assert layout.name == name and count in (CLASSES, UNKNOWN)
    boxes, scores = layout.boxes(outputs, SIZE), layout.scores(outputs, CLASSES)
    best = int(scores.max(axis=1).argmax())
    assert boxes[best].tolist() == pytest.approx(BOX, abs=1e-3)
    assert scores[best].tolist() == pytest.approx([0.72 if kind == CAR else 0 for kind in range(CLASSES)], abs=4e-3)
    if layout.suppress:
        assert (scores.max(axis=1) > 0.1).sum() == 1


@pytest.mark.parametrize("name", CASES)
def test_tensors_give_what_arrays_give_and_a_gradient(name: str) -> None:
    outputs = CASES[name]()
    (layout,) = (layout for layout in LAYOUTS if layout.name == name)
    tensors: list[Any] = [torch.from_numpy(output) for output in outputs]
    leaves = [tensor.requires_grad_(True) for tensor in tensors if tensor.is_floating_point()]
    scores = layout.scores(tensors, CLASSES)
    np.testing.assert_allclose(scores.detach().numpy(), layout.scores(outputs, CLASSES), rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        np.testing.assert_allclose(
            layout.boxes(tensors, SIZE).numpy(), layout.boxes(outputs, SIZE), rtol=1e-5, atol=1e-3
        )
    gradients = torch.autograd.grad(scores.max(), leaves, allow_unused=True)
    assert any(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)


@pytest.mark.parametrize(("name", "twin"), TWINS.items())
def test_two_that_fit_are_both_named(name: str, twin: str) -> None:
    with pytest.raises(OptionError, match=f"match {name} and {twin}") as error:
        choose_layout(CASES[name](), SIZE)
    assert f"--detector-layout {name}" in error.value.hint


def test_only_one_layout_fits_all_others() -> None:
    """Whatever the number of classes is taken for: (1, cells, 9) is YOLOX of 4, YOLOv6 of 4, PP-YOLOE of 5 classes."""
    for name, make in CASES.items():
        if name not in TWINS and name not in TWINS.values():
            assert choose_layout(make(), SIZE)[0].name == name


@pytest.mark.parametrize("shape", [(1, 1000), (1, 3, 64, 96), (1, 50, 3), (2, CELLS, 9), (1, 9, CELLS + 1)])
def test_outputs_of_something_else(shape: tuple[int, ...]) -> None:
    with pytest.raises(WeightsError, match="none of the known layouts") as error:
        choose_layout([zeros(*shape) - 7], SIZE)
    assert "TorchScript" in error.value.hint


def test_a_named_layout_must_fit() -> None:
    with pytest.raises(WeightsError, match="do not match the layout yolov8"):
        choose_layout(yolox(), SIZE, "yolov8")
    with pytest.raises(OptionError, match="unknown detector layout 'yolo'"):
        choose_layout(yolox(), SIZE, "yolo")


def test_coco_has_its_eighty_classes() -> None:
    assert len(COCO_CLASSES) == 80 == len(set(COCO_CLASSES)) and COCO_CLASSES[0] == "person"
    assert COCO_CLASSES.index("car") == 2 and COCO_CLASSES[-1] == "toothbrush"
