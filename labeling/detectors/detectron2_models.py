"""Faster R-CNN with R50-FPN and R101-FPN of detectron2's model zoo. The user installs detectron2 from its repository.

Frames go in at their own size, as 8-bit BGR values; detectron2 pads them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import detectron2
import torch
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from torch import Tensor, nn

from deploy.core.errors import InputError, OptionError, WeightsError
from deploy.core.files import sha256_of
from labeling.core.safe_pickle import read_plain_pickle
from labeling.core.weights import load_into, read_state
from labeling.detectors.base import Detections, DetectorSettings
from labeling.detectors.candidates import select_detections
from labeling.detectors.coco_detector import CocoDetector

_MODELS = {
    "detectron2-r50": ("faster_rcnn_R_50_FPN_3x", "137849458/model_final_280758.pkl"),
    "detectron2-r101": ("faster_rcnn_R_101_FPN_3x", "137851257/model_final_f6e8b1.pkl"),
}
_ZOO = "https://dl.fbaipublicfiles.com/detectron2/COCO-Detection"
LOWEST_SCORE = 0.01


class Detectron2Detector(CocoDetector):
    """80 COCO classes; people and vehicles by default. See `Detector`.

    Args:
        variant: the registry's name.
        weights: the model zoo's ``model_final_*.pkl``, or a state dict (.pth, .safetensors).
        score_threshold: detections with a lower score are dropped.
        classes: names to keep.
        offline: never use the network.

    Raises:
        OptionError: no file was given.
        WeightsError: the file is missing, damaged, or of another network.
    """

    def __init__(self, settings: DetectorSettings, *, variant: str) -> None:
        self.name = variant
        super().__init__(settings)
        weights = settings.weights
        if weights is None:
            url = "/".join((_ZOO, *_MODELS[variant]))
            raise OptionError(
                f"detector {variant!r} needs a file",
                hint=f"curl -LO {url}, then --detector-weights {Path(url).name} (no published checksum).",
            )
        self._network = _build(variant)
        load_into(self._network, _read(weights), weights, variant)
        self.weights_sha256 = sha256_of(weights)
        self._network.eval().requires_grad_(False)

    def detect(self, images: Tensor, *, score_threshold: float | None = None) -> list[Detections]:
        """See `Detector.detect`. The lowest possible score is 0.01."""
        network: Any = self._network.to(images.device)
        size = (int(images.shape[2]), int(images.shape[3]))
        found = network.inference([{"image": image.flip(0) * 255.0} for image in images], do_postprocess=False)
        least = score_threshold or self.score_threshold
        return [self._select(instances, size, least) for instances in found]

    def _select(self, found: Any, size: tuple[int, int], least: float) -> Detections:
        """Select one column of scores for each kept class; detectron2 has already suppressed overlaps."""
        kept = self._kept_classes.to(found.scores.device)
        scores = found.scores[:, None] * (found.pred_classes[:, None] == kept)
        return select_detections(found.pred_boxes.tensor, scores, self._kept_classes, size, least, nms_iou=1.0)


def _build(variant: str) -> nn.Module:
    # Not through detectron2.model_zoo: it needs pkg_resources, which current setuptools lacks.
    folder = Path(detectron2.__file__).parent / "model_zoo" / "configs" / "COCO-Detection"
    config = get_cfg()
    config.merge_from_file(str(folder / f"{_MODELS[variant][0]}.yaml"))
    config.MODEL.DEVICE = "cpu"
    config.MODEL.WEIGHTS = ""
    config.MODEL.ROI_HEADS.SCORE_THRESH_TEST = LOWEST_SCORE
    network: nn.Module = build_model(config)
    return network


def _read(path: Path) -> dict[str, Tensor]:
    """Read a file of the model zoo, a pickle of arrays, without running code in it."""
    if path.suffix != ".pkl":
        return read_state(path)
    if not path.is_file():
        raise WeightsError(f"weights not found: {path}", hint="Check the path.")
    try:
        record = read_plain_pickle(path)
    except InputError as error:
        raise WeightsError(f"not plain weights: {path} ({error})", hint="Give a file of the model zoo.") from None
    state = record.get("model") if isinstance(record, dict) else None
    if not isinstance(state, dict):
        raise WeightsError(f"{path} contains no 'model'", hint="Give a file of the model zoo.")
    return {name: torch.from_numpy(array) for name, array in state.items()}
