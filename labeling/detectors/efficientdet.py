"""EfficientDet (Tan et al., CVPR 2020) through effdet: D0 to D7x, the detectors of RegenHance's released code.

Frames are padded to multiples of 128 at the right and at the bottom, never resized: boxes are in frame coordinates, no
pixel is lost. (The released code pads to squares of 1920 x 1920.)
"""

from __future__ import annotations

from typing import Any

import torch
from effdet import EfficientDet, get_efficientdet_config
from effdet.anchors import Anchors, decode_box_outputs
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights

from deploy.core.files import sha256_of
from labeling.core.weights import cached_download, load_into, read_state
from labeling.detectors.base import Detections, DetectorSettings
from labeling.detectors.candidates import select_detections
from labeling.detectors.coco import COCO_IDS
from labeling.detectors.coco_detector import CocoDetector

INPUT_MULTIPLE_PX = 128
NUM_IDS = 90


class EfficientDetDetector(CocoDetector):
    """80 COCO classes; people and vehicles by default. See `Detector`."""

    def __init__(self, settings: DetectorSettings, *, variant: str) -> None:
        self.name = f"efficientdet-{variant}"
        super().__init__(settings)
        # The network numbers classes by COCO's category ids, 1 to 90 with gaps, minus one.
        self._columns = torch.tensor([COCO_IDS[index] - 1 for index in self._kept_classes.tolist()])
        self._model_name = f"tf_efficientdet_{variant}"
        url = get_efficientdet_config(self._model_name).url
        self._source = settings.weights or cached_download(url, offline=settings.offline)
        self._state = read_state(self._source)
        self.weights_sha256 = sha256_of(self._source)
        self._networks: dict[tuple[int, int], tuple[nn.Module, Tensor]] = {}
        self._network(INPUT_MULTIPLE_PX, INPUT_MULTIPLE_PX)  # report wrong weights immediately

    def detect(self, images: Tensor, *, score_threshold: float | None = None) -> list[Detections]:
        """See `Detector.detect`."""
        height, width = images.shape[2:]
        padding = (0, -width % INPUT_MULTIPLE_PX, 0, -height % INPUT_MULTIPLE_PX)
        network, anchors = self._network(height + padding[3], width + padding[1])
        anchors = anchors.to(images.device)
        parts: Any = network.to(images.device)
        mean, deviation = (
            torch.tensor(values, dtype=images.dtype, device=images.device).view(3, 1, 1) for values in self._norm
        )
        # After normalization, padding with zeros is padding with the mean color.
        frames = functional.pad((images - mean) / deviation, padding).contiguous(memory_format=torch.channels_last)
        features = parts.fpn(parts.backbone(frames))
        scores = _by_anchor(parts.class_net(features), len(self._columns)).float().sigmoid()
        with torch.no_grad():  # boxes have no gradient
            offsets = _by_anchor(parts.box_net(features), 4).float()
        least = score_threshold or self.score_threshold
        return [
            select_detections(
                decode_box_outputs(offset, anchors, output_xyxy=True), score, self._kept_classes, (height, width), least
            )
            for offset, score in zip(offsets, scores, strict=True)
        ]

    def _network(self, height: int, width: int) -> tuple[nn.Module, Tensor]:
        """The network and its anchors (K, 4) for one input size; the feature pyramid depends on it."""
        if (height, width) not in self._networks:
            config = get_efficientdet_config(self._model_name)
            config.image_size = (height, width)
            self._norm = (
                tuple(config.get("mean", IMAGENET_DEFAULT_MEAN)),
                tuple(config.get("std", IMAGENET_DEFAULT_STD)),
            )
            network = EfficientDet(config, pretrained_backbone=False)
            load_into(network, self._state, self._source, self.name)
            network.eval().requires_grad_(False)
            _fold_batch_norm(network)
            _keep_columns(network, self._columns)
            self._networks[height, width] = (
                network.to(memory_format=torch.channels_last),
                Anchors.from_config(config).boxes,
            )
        return self._networks[height, width]


def _by_anchor(levels: list[Tensor], channels: int) -> Tensor:
    """Per level (N, anchors * channels, h, w) -> (N, all anchors, channels)."""
    return torch.cat([level.permute(0, 2, 3, 1).reshape(len(level), -1, channels) for level in levels], dim=1)


def _keep_columns(network: Any, columns: Tensor) -> None:
    """Compute the scores of the kept classes only: all 90 for every anchor would take most of the memory."""
    head = network.class_net.predict.conv_pw
    rows = (torch.arange(len(head.weight) // NUM_IDS)[:, None] * NUM_IDS + columns).flatten()
    kept = nn.Conv2d(head.in_channels, len(rows), 1).requires_grad_(False)
    kept.weight.copy_(head.weight[rows])
    kept.bias.copy_(head.bias[rows])  # type: ignore[union-attr]
    network.class_net.predict.conv_pw = kept


def _fold_batch_norm(network: nn.Module) -> None:
    """Fold each normalization into the convolution before it, which saves a fifth of the time on a CPU.

    In timm and effdet, a module declares as many normalizations as it has last convolutions, in order of use.
    The heads share convolutions between levels but have one normalization per level: those are kept.
    """
    for module in list(network.modules()):
        children = list(module.named_children())
        convolutions = [child for _, child in children if isinstance(child, nn.Conv2d)]
        norms: list[tuple[str, Any]] = [(name, child) for name, child in children if isinstance(child, nn.BatchNorm2d)]
        for convolution, (name, norm) in zip(convolutions[::-1], norms[::-1], strict=False):
            weight, bias = fuse_conv_bn_weights(
                convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight,
                norm.bias,
            )  # fmt: skip
            convolution.weight, convolution.bias = weight.requires_grad_(False), bias.requires_grad_(False)
            setattr(module, name, getattr(norm, "act", nn.Identity()))
