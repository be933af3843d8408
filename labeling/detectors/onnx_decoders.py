"""From the raw outputs of ONNX detectors to boxes and scores, chosen by the layout of the outputs.

To add a layout: a class with `matches`, `normalise` and `decode`, and its name in `DECODERS`.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from deploy.core.errors import WeightsError
from labeling.detectors.coco import COCO_CLASSES

Shape = tuple[int, ...]
Candidates = tuple[Tensor, Tensor]
"""Boxes (K, 4) x0 y0 x1 y1 in input pixels, and differentiable class scores (K, C) in [0, 1]."""


class OutputDecoder(Protocol):
    """Knows one family of detectors."""

    @staticmethod
    def matches(outputs: list[Shape], height: int, width: int) -> bool:
        """Whether outputs of these shapes, of a network for frames of this size, are of this family."""
        ...

    @staticmethod
    def normalise(rgb: Tensor) -> Tensor:
        """(N, 3, H, W) RGB in [0, 1] -> what the network was trained on."""
        ...

    @staticmethod
    def decode(outputs: list[Tensor], height: int, width: int) -> Candidates:
        """Outputs for one frame of `height` x `width` input pixels -> candidates."""
        ...


class FastestDetDecoder:
    """dog-qiuqiu/FastestDet: (1, 5 + C, h, w), a cell holding objectness, x, y, width, height and class scores."""

    @staticmethod
    def matches(outputs: list[Shape], height: int, width: int) -> bool:
        """One four-dimensional output with five channels and one a class."""
        return len(outputs) == 1 and len(outputs[0]) == 4 and outputs[0][1] == 5 + len(COCO_CLASSES)

    @staticmethod
    def normalise(rgb: Tensor) -> Tensor:
        """BGR in [0, 1]."""
        return rgb.flip(1)

    @staticmethod
    def decode(outputs: list[Tensor], height: int, width: int) -> Candidates:
        """Score = objectness^0.6 * class^0.4, as its authors do."""
        cells = outputs[0][0]
        rows, cols = cells.shape[1:]
        y, x = _centres(rows, cols, cells)
        box = cells[1:5].detach()
        centre_x, centre_y = (x + box[0].tanh()) / cols * width, (y + box[1].tanh()) / rows * height
        half_width, half_height = box[2].sigmoid() * width / 2, box[3].sigmoid() * height / 2
        boxes = torch.stack(
            [centre_x - half_width, centre_y - half_height, centre_x + half_width, centre_y + half_height]
        )
        # A power of exactly zero has no derivative.
        scores = cells[0].clamp(min=1e-6) ** 0.6 * cells[5:].clamp(min=1e-6) ** 0.4
        return boxes.flatten(1).T, scores.flatten(1).T


class NanoDetDecoder:
    """RangiLyu/nanodet: per stride, class scores (1, cells, C) and box sides as distributions (1, cells, 4 * bins)."""

    @staticmethod
    def matches(outputs: list[Shape], height: int, width: int) -> bool:
        """As many three-dimensional score outputs as side outputs, over the same cells."""
        half = len(outputs) // 2
        cells = [shape[1] for shape in outputs if len(shape) == 3]
        kinds = {shape[-1] for shape in outputs[:half]}
        return len(cells) == len(outputs) and cells[:half] == cells[half:] and kinds == {len(COCO_CLASSES)}

    @staticmethod
    def normalise(rgb: Tensor) -> Tensor:
        """BGR with ImageNet's mean and deviation on the 0 to 255 scale."""
        mean = torch.tensor([103.53, 116.28, 123.675], dtype=rgb.dtype, device=rgb.device).view(3, 1, 1)
        deviation = torch.tensor([57.375, 57.12, 58.395], dtype=rgb.dtype, device=rgb.device).view(3, 1, 1)
        return (rgb.flip(1) * 255.0 - mean) / deviation

    @staticmethod
    def decode(outputs: list[Tensor], height: int, width: int) -> Candidates:
        """Sides are expectations over the bins, in strides, from the cell's centre."""
        half = len(outputs) // 2
        boxes, scores = [], []
        for score, sides in zip(outputs[:half], outputs[half:], strict=True):
            stride = round((height * width / score.shape[1]) ** 0.5)
            y, x = _centres(height // stride, width // stride, score)
            bins = sides.shape[2] // 4
            expected = sides[0].detach().view(-1, 4, bins).softmax(2) @ torch.arange(bins).to(score)
            left, top, right, bottom = (expected * stride).T
            x, y = (x.flatten() + 0.5) * stride, (y.flatten() + 0.5) * stride
            boxes.append(torch.stack([x - left, y - top, x + right, y + bottom], dim=1))
            scores.append(score[0])
        return torch.cat(boxes), torch.cat(scores)


class YoloDecoder:
    """YOLOv8 and its successors (v9, 11, 12): (1, 4 + C, cells), a box's centre and size in pixels, class scores."""

    @staticmethod
    def matches(outputs: list[Shape], height: int, width: int) -> bool:
        """One output of four numbers and one a class, for one cell a place of strides 8, 16 and 32."""
        return outputs == [(1, 4 + len(COCO_CLASSES), _cells(height, width))]

    @staticmethod
    def normalise(rgb: Tensor) -> Tensor:
        """RGB in [0, 1]."""
        return rgb

    @staticmethod
    def decode(outputs: list[Tensor], height: int, width: int) -> Candidates:
        """Scores are the classes'."""
        cells = outputs[0][0].T
        return _around(cells[:, :4]), cells[:, 4:]


class AnchorYoloDecoder(YoloDecoder):
    """YOLOv5 and v7: (1, 3 cells, 5 + C), a box's centre and size in pixels, objectness, and class scores."""

    @staticmethod
    def matches(outputs: list[Shape], height: int, width: int) -> bool:
        """The first output has five numbers and one a class, for three anchors a cell."""
        return outputs[:1] == [(1, 3 * _cells(height, width), 5 + len(COCO_CLASSES))]

    @staticmethod
    def decode(outputs: list[Tensor], height: int, width: int) -> Candidates:
        """Score = objectness * class."""
        anchors = outputs[0][0]
        return _around(anchors[:, :4]), anchors[:, 4:5] * anchors[:, 5:]


class YoloxDecoder:
    """YOLOX: (1, cells, 5 + C), a box's centre and size in strides from its cell, objectness, class scores."""

    @staticmethod
    def matches(outputs: list[Shape], height: int, width: int) -> bool:
        """One output of five numbers and one a class, for one cell a place of strides 8, 16 and 32."""
        return outputs == [(1, _cells(height, width), 5 + len(COCO_CLASSES))]

    @staticmethod
    def normalise(rgb: Tensor) -> Tensor:
        """BGR from 0 to 255."""
        return rgb.flip(1) * 255.0

    @staticmethod
    def decode(outputs: list[Tensor], height: int, width: int) -> Candidates:
        """Score = objectness * class."""
        cells = outputs[0][0]
        if not float(cells[:, 2:4].detach().max()) < _MOST_LOG_STRIDES:
            raise WeightsError(
                "a detector of YOLOX's layout gives sizes in pixels: YOLOv6, or YOLOX with --decode_in_inference",
                hint="Export YOLOX without it; wrap others as a TorchScript file (docs/howto/own-detector.md).",
            )
        corners, strides = [], []
        for stride in _STRIDES:
            y, x = _centres(height // stride, width // stride, cells)
            corners.append(torch.stack([x, y], dim=-1).view(-1, 2))
            strides.append(torch.full_like(corners[-1][:, :1], stride))
        boxes = torch.cat([cells[:, :2] + torch.cat(corners), cells[:, 2:4].exp()], dim=1) * torch.cat(strides)
        return _around(boxes), cells[:, 4:5] * cells[:, 5:]


DECODERS: tuple[type[OutputDecoder], ...] = (
    FastestDetDecoder,
    NanoDetDecoder,
    YoloDecoder,
    AnchorYoloDecoder,
    YoloxDecoder,
)
_STRIDES = (8, 16, 32)
_MOST_LOG_STRIDES = 8
"""exp(8) strides are larger than any frame."""


def decoder_for(outputs: list[Shape], height: int, width: int) -> type[OutputDecoder]:
    """The decoder whose layout fits the outputs of a network for frames of `height` x `width`.

    Raises:
        WeightsError: none does.
    """
    for decoder in DECODERS:
        if decoder.matches(outputs, height, width):
            return decoder
    known = ", ".join(decoder.__name__.removesuffix("Decoder") for decoder in DECODERS)
    raise WeightsError(
        f"no decoder for outputs {outputs} of a {width} x {height} detector; known layouts, of 80 classes: {known}",
        hint="Wrap it as a TorchScript file (docs/howto/own-detector.md), or add a decoder (CONTRIBUTING.md).",
    )


def _cells(height: int, width: int) -> int:
    return sum((height // stride) * (width // stride) for stride in _STRIDES)


def _around(boxes: Tensor) -> Tensor:
    """Centre x, y, width, height -> x0, y0, x1, y1."""
    centre, half = boxes[:, :2].detach(), boxes[:, 2:].detach() / 2
    return torch.cat([centre - half, centre + half], dim=1)


def _centres(rows: int, cols: int, like: Tensor) -> tuple[Tensor, Tensor]:
    y, x = torch.meshgrid(torch.arange(rows).to(like), torch.arange(cols).to(like), indexing="ij")
    return y, x
