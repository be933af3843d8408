"""What each family's own demonstration code does with a frame, written again in NumPy and OpenCV for ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from deploy.core.runtimes import import_onnxruntime

Floats = NDArray[np.float32]
Found = tuple[Floats, Floats, NDArray[np.int64]]
"""Boxes (K, 4), scores (K,) and classes (K,), best first."""


def run(model: Path | bytes, frame: Floats) -> list[Floats]:
    source = model if isinstance(model, bytes) else str(model)
    session = import_onnxruntime().InferenceSession(source, providers=["CPUExecutionProvider"])
    outputs: list[Floats] = session.run(None, {session.get_inputs()[0].name: frame.astype(np.float32)})
    return outputs


def batch(frame: Floats) -> Floats:
    return np.ascontiguousarray(frame.transpose(2, 0, 1)[None])


def suppress(boxes: Floats, scores: Floats, least: float, iou: float = 0.5) -> Found:
    """A box has its best class; then greedy suppression by class."""
    kinds, best = scores.argmax(axis=1), scores.max(axis=1)
    order = [k for k in np.argsort(-best, kind="stable") if best[k] >= least]
    kept: list[int] = []
    for candidate in order:
        if all(kinds[candidate] != kinds[k] or overlap(boxes[candidate], boxes[k]) <= iou for k in kept):
            kept.append(int(candidate))
    return boxes[kept], best[kept], kinds[kept]


def overlap(a: Floats, b: Floats) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(0.0, width) * max(0.0, height)
    return float(both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both + 1e-9))


def clipped(found: Found, image: NDArray[np.uint8]) -> Found:
    height, width = image.shape[:2]
    boxes = found[0].clip(0, [width, height, width, height])
    whole = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    return boxes[whole].astype(np.float32), found[1][whole], found[2][whole]


def yolox(model: Path | bytes, image: NDArray[np.uint8], size: tuple[int, int], least: float) -> Found:
    """Megvii's preproc and demo_postprocess: at the top left, gray 114, BGR from 0 to 255."""
    ratio = min(size[0] / image.shape[0], size[1] / image.shape[1])
    small = (int(image.shape[1] * ratio), int(image.shape[0] * ratio))
    frame = np.full((*size, 3), 114, np.float32)
    frame[: small[1], : small[0]] = cv2.resize(image[..., ::-1].astype(np.float32), small)
    cells = run(model, batch(frame))[0][0]
    grids, strides = [], []
    for stride in (8, 16, 32):
        x, y = np.meshgrid(np.arange(size[1] // stride), np.arange(size[0] // stride))
        grids.append(np.stack((x, y), 2).reshape(-1, 2))
        strides.append(np.full((x.size, 1), stride))
    grid, step = np.concatenate(grids), np.concatenate(strides)
    centre, sides = (cells[:, :2] + grid) * step, np.exp(cells[:, 2:4]) * step
    boxes = np.concatenate([centre - sides / 2, centre + sides / 2], axis=1) / ratio
    return clipped(suppress(boxes, cells[:, 4:5] * cells[:, 5:], least), image)


def picodet(model: Path | bytes, image: NDArray[np.uint8], size: tuple[int, int], least: float) -> Found:
    """PaddleDetection's reader: stretched, RGB, ImageNet's mean and deviation; four strides."""
    frame = cv2.resize(image.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR) / 255
    frame = (frame - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    outputs = run(model, batch(frame))
    return _by_distributions(outputs, (8, 16, 32, 64), size, _stretched(image, size), least, image)


def nanodet(model: Path | bytes, image: NDArray[np.uint8], size: tuple[int, int], least: float) -> Found:
    """RangiLyu's warp_and_resize with keep_ratio: in the middle on black, BGR, ImageNet's numbers from 0 to 255."""
    height, width = image.shape[:2]
    ratio = min(size[0] / height, size[1] / width)
    shift = np.array([(size[1] - width * ratio) / 2, (size[0] - height * ratio) / 2])
    rows, cols = (np.arange(size[0]) - shift[1]) / ratio, (np.arange(size[1]) - shift[0]) / ratio
    places = np.meshgrid(rows, cols, indexing="ij")
    bgr = image[..., ::-1].astype(np.float32)
    # OpenCV's warp takes places for multiples of 1/32 pixel; this one is exact.
    frame = np.stack(
        [map_coordinates(bgr[..., channel], places, order=1, mode="grid-constant") for channel in range(3)], axis=-1
    )
    frame = (frame - [103.53, 116.28, 123.675]) / [57.375, 57.12, 58.395]
    outputs = run(model, batch(frame))

    def back(boxes: Floats) -> Floats:
        return (boxes - np.tile(shift, 2)) / ratio  # type: ignore[no-any-return]

    return _by_distributions(outputs, (8, 16, 32), size, back, least, image)


def fastestdet(model: Path | bytes, image: NDArray[np.uint8], size: tuple[int, int], least: float) -> Found:
    """dog-qiuqiu's test.py and handle_preds: stretched, BGR from 0 to 1."""
    frame = cv2.resize(image[..., ::-1].astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR) / 255
    cells = run(model, batch(frame))[0][0].transpose(1, 2, 0)
    rows, cols = cells.shape[:2]
    boxes, scores = [], []
    for y in range(rows):
        for x in range(cols):
            cell = cells[y, x]
            middle = (x + np.tanh(cell[1])) / cols, (y + np.tanh(cell[2])) / rows
            sides = 1 / (1 + np.exp(-cell[3])), 1 / (1 + np.exp(-cell[4]))
            boxes.append(
                [middle[0] - sides[0] / 2, middle[1] - sides[1] / 2, middle[0] + sides[0] / 2, middle[1] + sides[1] / 2]
            )
            scores.append(cell[0] ** 0.6 * cell[5:] ** 0.4)
    pixels = np.array(boxes, np.float32) * np.tile(image.shape[1::-1], 2)
    return clipped(suppress(pixels, np.array(scores, np.float32), least), image)


def yolov8(model: Path | bytes, image: NDArray[np.uint8], size: tuple[int, int], least: float) -> Found:
    """Ultralytics' LetterBox and scale_boxes: in the middle on gray 114, RGB from 0 to 1."""
    height, width = image.shape[:2]
    ratio = min(size[0] / height, size[1] / width)
    small = round(width * ratio), round(height * ratio)
    left, top = round((size[1] - small[0]) / 2 - 0.1), round((size[0] - small[1]) / 2 - 0.1)
    frame = np.full((*size, 3), 114, np.float32)
    frame[top : top + small[1], left : left + small[0]] = cv2.resize(image.astype(np.float32), small)
    cells = run(model, batch(frame / 255))[0][0].T
    centre, half = cells[:, :2], cells[:, 2:4] / 2
    boxes = (np.concatenate([centre - half, centre + half], axis=1) - [left, top, left, top]) / ratio
    return clipped(suppress(boxes, cells[:, 4:], least), image)


def _stretched(image: NDArray[np.uint8], size: tuple[int, int]) -> Callable[[Floats], Floats]:
    scale = np.tile([image.shape[1] / size[1], image.shape[0] / size[0]], 2)
    return lambda boxes: boxes * scale  # type: ignore[return-value]


def _by_distributions(
    outputs: list[Floats],
    strides: tuple[int, ...],
    size: tuple[int, int],
    back: Callable[[Floats], Floats],
    least: float,
    image: NDArray[np.uint8],
) -> Found:
    boxes, scores = [], []
    for number, stride in enumerate(strides):
        sides = outputs[len(strides) + number][0].reshape(-1, 4, 8)
        shares = np.exp(sides - sides.max(axis=2, keepdims=True))
        distances = (shares / shares.sum(axis=2, keepdims=True)) @ np.arange(8) * stride
        y, x = np.mgrid[: -(-size[0] // stride), : -(-size[1] // stride)]
        x, y = (x.ravel() + 0.5) * stride, (y.ravel() + 0.5) * stride
        left, top, right, bottom = distances.T
        boxes.append(np.stack([x - left, y - top, x + right, y + bottom], axis=1))
        scores.append(outputs[number][0])
    found = suppress(back(np.concatenate(boxes).astype(np.float32)), np.concatenate(scores), least)
    return clipped(found, image)
