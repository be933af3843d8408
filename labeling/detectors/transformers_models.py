"""RT-DETR (Zhao et al., CVPR 2024) and D-FINE (Peng et al., ICLR 2025) through Hugging Face's transformers.

Frames are stretched to 640 x 640, as the models' own preprocessing does. There is no non-maximum suppression: each
query is one object.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from torch import Tensor
from torch.nn import functional
from torchvision.ops import box_convert
from transformers import AutoConfig, DFineForObjectDetection, PreTrainedModel, RTDetrForObjectDetection
from transformers.utils.logging import disable_progress_bar

from deploy.core.errors import WeightsError, first_line
from deploy.core.files import sha256_of
from deploy.detectors.classes import COCO_CLASSES
from labeling.detectors.base import Detections, DetectorSettings
from labeling.detectors.candidates import select_detections
from labeling.detectors.coco_detector import CocoDetector

INPUT_PX = 640
_HUB = {
    "rt-detr-r18": "PekingU/rtdetr_r18vd",
    "rt-detr-r34": "PekingU/rtdetr_r34vd",
    "rt-detr-r50": "PekingU/rtdetr_r50vd",
    "rt-detr-r101": "PekingU/rtdetr_r101vd",
    "d-fine-n": "ustc-community/dfine-nano-coco",
    "d-fine-s": "ustc-community/dfine-small-coco",
    "d-fine-m": "ustc-community/dfine-medium-coco",
    "d-fine-l": "ustc-community/dfine-large-coco",
    "d-fine-x": "ustc-community/dfine-xlarge-coco",
}
_FILES = ("config.json", "model.safetensors")


class TransformersDetector(CocoDetector):
    """80 COCO classes; people and vehicles by default. See `Detector`.

    Args:
        variant: the registry's name.
        weights: folder with ``config.json`` and ``model.safetensors``; the default is downloaded from the hub.
        score_threshold: detections with a lower score are dropped.
        classes: names to keep.
        offline: never use the network.

    Raises:
        WeightsError: the weights are missing, damaged, of another network, or not available.
    """

    def __init__(self, settings: DetectorSettings, *, variant: str) -> None:
        self.name = variant
        super().__init__(settings)
        folder = settings.weights or _from_hub(_HUB[variant], offline=settings.offline)
        self._network = _load(folder, variant)
        self.weights_sha256 = sha256_of(folder / "model.safetensors")
        _check_blob(folder / "model.safetensors", self.weights_sha256)

    def detect(self, images: Tensor, *, score_threshold: float | None = None) -> list[Detections]:
        """See `Detector.detect`."""
        height, width = images.shape[2:]
        resized = functional.interpolate(
            images, (INPUT_PX, INPUT_PX), mode="bilinear", align_corners=False, antialias=True
        )
        network: Any = self._network.to(images.device)  # type: ignore[arg-type]
        found = network(pixel_values=resized)
        scores = found.logits.float().sigmoid()[..., self._kept_classes.to(images.device)]
        frame = torch.tensor([width, height, width, height], device=images.device)
        boxes = box_convert(found.pred_boxes.detach().float(), "cxcywh", "xyxy") * frame
        least = score_threshold or self.score_threshold
        return [
            select_detections(box, score, self._kept_classes, (height, width), least, nms_iou=1.0)
            for box, score in zip(boxes, scores, strict=True)
        ]


def _load(folder: Path, variant: str) -> PreTrainedModel:
    for name in _FILES:
        if not (folder / name).is_file():
            raise WeightsError(
                f"{folder / name} not found", hint=f"--detector-weights takes a folder with {' and '.join(_FILES)}."
            )
    disable_progress_bar()  # type: ignore[no-untyped-call]
    wanted: Any = DFineForObjectDetection if variant.startswith("d-fine") else RTDetrForObjectDetection
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if not isinstance(config, wanted.config_class):
            raise WeightsError(
                f"{folder} is a {config.model_type}, not {variant}", hint="Use the --detector that it belongs to."
            )
        if config.num_labels != len(COCO_CLASSES):
            raise WeightsError(f"{folder} has {config.num_labels} classes, not COCO's 80", hint="Use COCO weights.")
        network, report = wanted.from_pretrained(
            folder, config=config, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        first = first_line(error)
        raise WeightsError(f"cannot load {variant} from {folder}: {first}", hint="Copy the folder again.") from None
    lost = sorted(report["missing_keys"])
    if lost:
        raise WeightsError(f"{folder} lacks weights of {variant}: {lost[:3]}", hint="Copy the folder again.")
    return network.eval().requires_grad_(False)  # type: ignore[no-any-return]


def _from_hub(repository: str, *, offline: bool) -> Path:
    """Return the file in the hub's usual cache (``HF_HOME``); download it if it is missing."""
    by_hand = f"Download it: hf download {repository} {' '.join(_FILES)}, or set --detector-weights FOLDER."
    try:
        return Path(snapshot_download(repository, allow_patterns=list(_FILES), local_files_only=offline))
    except LocalEntryNotFoundError:
        what = "offline, and" if offline else "no connection to the hub, and"
        raise WeightsError(f"{what} {repository} is not in its cache", hint=by_hand) from None
    except (OSError, HfHubHTTPError, ValueError) as error:
        first = first_line(error)
        raise WeightsError(f"cannot download {repository}: {first}", hint=by_hand) from None


def _check_blob(path: Path, sha256: str) -> None:
    """Verify a file: in the hub's cache, a large file is a link to a file named by its SHA-256."""
    name = path.resolve().name
    if re.fullmatch(r"[0-9a-f]{64}", name) and name != sha256:
        raise WeightsError(
            f"{path} is damaged: its checksum does not start with {name[:8]}", hint=f"Remove {path.resolve()}."
        )
