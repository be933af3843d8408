"""Detectors from torchvision: Faster R-CNN, RetinaNet, FCOS and SSDLite, with COCO weights.

Frames keep their own size; only SSDLite resizes, to 320 x 320, as its head requires.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import detection

from deploy.core.files import sha256_of
from labeling.core.weights import cached_download, load_into, read_state
from labeling.detectors.base import Detections, DetectorSettings
from labeling.detectors.candidates import select_detections
from labeling.detectors.coco import COCO_IDS
from labeling.detectors.coco_detector import CocoDetector

_MODELS: dict[str, tuple[str, Any]] = {
    "fasterrcnn": ("fasterrcnn_resnet50_fpn", detection.FasterRCNN_ResNet50_FPN_Weights),
    "fasterrcnn-mobilenet": ("fasterrcnn_mobilenet_v3_large_fpn", detection.FasterRCNN_MobileNet_V3_Large_FPN_Weights),
    "retinanet": ("retinanet_resnet50_fpn", detection.RetinaNet_ResNet50_FPN_Weights),
    "fcos": ("fcos_resnet50_fpn", detection.FCOS_ResNet50_FPN_Weights),
    "ssdlite": ("ssdlite320_mobilenet_v3_large", detection.SSDLite320_MobileNet_V3_Large_Weights),
}
LOWEST_SCORE = 0.01
MAX_SIDE_PX = 8192


class TorchvisionDetector(CocoDetector):
    """80 COCO classes; people and vehicles by default. See `Detector`."""

    def __init__(self, settings: DetectorSettings, *, variant: str) -> None:
        self.name = variant
        super().__init__(settings)
        builder, published = _MODELS[variant]
        source = settings.weights or cached_download(published.COCO_V1.url, offline=settings.offline)
        self._network = _build(builder)
        load_into(self._network, read_state(source), source, variant)
        self.weights_sha256 = sha256_of(source)
        self._network.eval().requires_grad_(False)

    def detect(self, images: Tensor, *, score_threshold: float | None = None) -> list[Detections]:
        """See `Detector.detect`. The lowest possible score is 0.01."""
        network = self._network.to(images.device)
        transform: Any = network.transform
        if "ssdlite" not in self.name:
            transform.min_size, transform.max_size = (min(images.shape[2:]),), MAX_SIDE_PX  # disables resizing
        least = score_threshold or self.score_threshold
        return [self._select(found, tuple(images.shape[2:]), least) for found in network(list(images))]

    def _select(self, found: dict[str, Tensor], size: tuple[int, ...], least: float) -> Detections:
        """Select one column of scores for each kept class; torchvision has already suppressed overlaps."""
        identifiers = torch.tensor([COCO_IDS[index] for index in self._kept_classes.tolist()])
        of_class = found["labels"][:, None] == identifiers.to(found["labels"].device)
        return select_detections(
            found["boxes"],
            found["scores"][:, None] * of_class,
            self._kept_classes,
            (size[0], size[1]),
            least,
            nms_iou=1.0,
        )


def _build(builder: str) -> nn.Module:
    """Build the architecture without weights; it keeps low scores."""
    thresholds = {"box_score_thresh" if builder.startswith("fasterrcnn") else "score_thresh": LOWEST_SCORE}
    network: nn.Module = getattr(detection, builder)(weights=None, weights_backbone=None, num_classes=91, **thresholds)
    return network
