"""OpenCV's people detector (Dalal and Triggs, CVPR 2005) as a differentiable function.

Histograms of oriented gradients and a linear SVM with OpenCV's coefficients: same results for each window as
``cv2.HOGDescriptor``, but with PyTorch operations, so that scores have a gradient with respect to the pixels.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import nms

from deploy.detectors.classes import class_indices
from labeling.core.weights import refuse_weights
from labeling.detectors.base import Detections, DetectorSettings

WINDOW_HEIGHT_PX, WINDOW_WIDTH_PX = 128, 64
BLOCK_PX, STRIDE_PX, CELL_PX, NUM_BINS = 16, 8, 8, 9
BLOCK_SIGMA_PX = 4.0
CLIP_L2HYS = 0.2
ATAN_TERMS = (0.9997878412794807, -0.3258083974640975, 0.1555786518463281, -0.04432655554792128)
WINDOW_BLOCKS = (WINDOW_HEIGHT_PX // STRIDE_PX - 1, WINDOW_WIDTH_PX // STRIDE_PX - 1)
# A window is wider and higher than the person in it, by the margins of OpenCV's people-detector sample.
MARGIN_X, MARGIN_Y = 0.15, 0.05


class HogDetector:
    """People only. Scores are sigmoids of the SVM's margin: 0.5 is OpenCV's own hit threshold."""

    name = "hog"
    class_names = ("person",)
    description = ""

    def __init__(self, settings: DetectorSettings, *, pyramid_step: float = 1.1, nms_iou: float = 0.3) -> None:
        import cv2

        refuse_weights("detector", self.name, settings.weights)
        class_indices(settings.classes, self.class_names)
        self.classes = self.class_names
        self.record: dict[str, str | tuple[str, ...]] = {}
        self.score_threshold = settings.threshold_or(0.5)
        self.pyramid_step, self.nms_iou = pyramid_step, nms_iou
        coefficients = np.asarray(cv2.HOGDescriptor.getDefaultPeopleDetector(), np.float32).ravel()
        self.weights_sha256 = hashlib.sha256(coefficients.tobytes()).hexdigest()
        self._bias = float(coefficients[-1])
        self._svm = _svm_kernel(coefficients[:-1])

    def detect(self, images: Tensor, *, score_threshold: float | None = None) -> list[Detections]:
        """See `Detector.detect`. Frames must be at least 128 x 64 pixels; smaller ones have no detection."""
        score = score_threshold or self.score_threshold
        margin = math.log(score / (1 - score))
        return [self._detect_one(image, margin) for image in images]

    def window_margins(self, image: Tensor) -> Tensor:
        """SVM margin of every 64 x 128 window at stride 8, without resizing.

        Args:
            image: (3, H, W) RGB in [0, 1].

        Returns:
            (rows, cols) margins, the upper left corner of window (r, c) is at pixel (8 r, 8 c).
        """
        blocks = _block_histograms(image)
        return functional.conv2d(blocks[None], self._svm.to(blocks))[0, 0] + self._bias

    def _detect_one(self, image: Tensor, least_margin: float) -> Detections:
        boxes, margins = self._all_windows(image)
        chosen = (margins.detach() >= least_margin).nonzero()[:, 0]
        kept = chosen[nms(boxes[chosen], margins.detach()[chosen].float(), self.nms_iou)]
        return Detections(boxes[kept], torch.sigmoid(margins[kept]), torch.zeros_like(kept))

    def _all_windows(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes (K, 4) and margins (K,) of the windows of all pyramid levels."""
        height, width = image.shape[1:]
        boxes, margins = [image.new_zeros(0, 4)], [image.new_zeros(0)]
        zoom = 1.0
        while height / zoom >= WINDOW_HEIGHT_PX and width / zoom >= WINDOW_WIDTH_PX:
            size = (round(height / zoom), round(width / zoom))
            level = image if zoom == 1.0 else _resize(image, size)
            scores = self.window_margins(level)
            boxes.append(_window_boxes(scores.shape, width / size[1], height / size[0], image))
            margins.append(scores.flatten())
            zoom *= self.pyramid_step
        return torch.cat(boxes).float(), torch.cat(margins)


def _resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    return functional.interpolate(image[None], size=size, mode="bilinear", align_corners=False)[0]


def _window_boxes(shape: torch.Size, zoom_x: float, zoom_y: float, like: Tensor) -> Tensor:
    """(rows * cols, 4) boxes of the persons in the windows of one level, in pixels of the frame."""
    y, x = torch.meshgrid(torch.arange(shape[0]).to(like), torch.arange(shape[1]).to(like), indexing="ij")
    x, y = x.flatten() * STRIDE_PX, y.flatten() * STRIDE_PX
    left, right = x + MARGIN_X * WINDOW_WIDTH_PX, x + (1 - MARGIN_X) * WINDOW_WIDTH_PX
    top, bottom = y + MARGIN_Y * WINDOW_HEIGHT_PX, y + (1 - MARGIN_Y) * WINDOW_HEIGHT_PX
    return torch.stack([left * zoom_x, top * zoom_y, right * zoom_x, bottom * zoom_y], dim=1)


def _block_histograms(image: Tensor) -> Tensor:
    """(3, H, W) RGB in [0, 1] -> (36, block rows, block cols): L2-Hys-normalized histograms at stride 8."""
    rows, cols = image.shape[1] // STRIDE_PX, image.shape[2] // STRIDE_PX
    maps = _orientation_maps(image)[:, : rows * STRIDE_PX, : cols * STRIDE_PX]
    # A block is two strides long, so weighting its pixels takes one product per stride and a sum of neighbors.
    profile = _cell_profile().to(image)
    taps = torch.cat([profile[:, :STRIDE_PX], profile[:, STRIDE_PX:]])  # (2 halves x 2 cells, 8)
    down = taps @ maps.reshape(NUM_BINS, rows, STRIDE_PX, -1)
    down = down[:, :-1, :2] + down[:, 1:, 2:]  # (9, block rows, 2 y cells, W)
    across = down.reshape(*down.shape[:3], cols, STRIDE_PX) @ taps.T
    across = across[..., :-1, :2] + across[..., 1:, 2:]  # (9, block rows, 2 y cells, block cols, 2 x cells)
    return _l2hys(across.permute(4, 2, 0, 1, 3).flatten(0, 2))


def _orientation_maps(image: Tensor) -> Tensor:
    """(3, H, W) -> (9, H, W): gradient magnitude shared between the two nearest of 9 unsigned orientations."""
    intensity = image * 255.0
    # Gamma correction. OpenCV tabulates it at integers; the line between 0 and 1 keeps the derivative finite at black.
    # In double, because PyTorch's single-precision root is not rounded correctly, which affects ties between channels.
    root = intensity.double().clamp(min=1.0).sqrt().to(image.dtype)
    root = torch.where(intensity > 1.0, root, intensity).flip(0)
    padded = functional.pad(root[None], (1, 1, 1, 1), mode="reflect")[0]
    dx = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
    dy = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
    strength = (dx.square() + dy.square()).detach()
    # On a tie between channels OpenCV takes blue first, hence the flip to BGR above. (argmax is far slower here.)
    green, red = strength[1] > strength[0], strength[2] > torch.maximum(strength[0], strength[1])
    dx, dy = (torch.where(red, d[2], torch.where(green, d[1], d[0]))[None] for d in (dx, dy))  # (1, H, W)
    magnitude = (dx.square() + dy.square() + 1e-12).sqrt()
    position = _fast_atan2(dy, dx) * (NUM_BINS / math.pi) - 0.5
    lower = position.detach().floor()
    fraction = position - lower
    maps = image.new_zeros(NUM_BINS, *image.shape[1:])
    maps = maps.scatter(0, lower.long() % NUM_BINS, magnitude * (1 - fraction))
    return maps.scatter(0, (lower.long() + 1) % NUM_BINS, magnitude * fraction)


def _fast_atan2(y: Tensor, x: Tensor) -> Tensor:
    """Angle in [0, 2 pi) by OpenCV's polynomial: its small error reaches the scores of nearly flat windows."""
    larger, smaller = torch.maximum(x.abs(), y.abs()), torch.minimum(x.abs(), y.abs())
    ratio = smaller / (larger + 1e-12)
    square = ratio.square()
    angle = ratio * (ATAN_TERMS[0] + square * (ATAN_TERMS[1] + square * (ATAN_TERMS[2] + square * ATAN_TERMS[3])))
    angle = torch.where(x.abs() >= y.abs(), angle, math.pi / 2 - angle)
    angle = torch.where(x < 0, math.pi - angle, angle)
    return torch.where(y < 0, 2 * math.pi - angle, angle)


def _cell_profile() -> Tensor:
    """(2, 16): weight of each pixel along one side of a block in each of its two cells (Gaussian x bilinear)."""
    pixel = torch.arange(BLOCK_PX, dtype=torch.float64)
    gaussian = torch.exp(-((pixel - BLOCK_PX / 2) ** 2) / (2 * BLOCK_SIGMA_PX**2))
    position = (pixel + 0.5) / CELL_PX - 0.5
    return torch.stack([gaussian * (1 - (position - cell).abs()).clamp(min=0) for cell in (0, 1)])


def _l2hys(histogram: Tensor) -> Tensor:
    """Normalize, clip and normalize again over the 36 channels, with OpenCV's constants."""
    norm = (histogram.square().sum(0, keepdim=True) + 1e-12).sqrt()
    clipped = (histogram / (norm + 0.1 * histogram.shape[0])).clamp(max=CLIP_L2HYS)
    return clipped / ((clipped.square().sum(0, keepdim=True) + 1e-12).sqrt() + 1e-3)


def _svm_kernel(coefficients: np.ndarray) -> Tensor:
    """(3780,) in OpenCV's order (block x, block y, cell and bin) -> (1, 36, 15, 7)."""
    rows, cols = WINDOW_BLOCKS
    return torch.from_numpy(coefficients.reshape(cols, rows, 4 * NUM_BINS).transpose(2, 1, 0).copy())[None]
