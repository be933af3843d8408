"""A detector saved with its code: a TorchScript file (.pt, .ts) or a torch.export archive (.pt2).

The program takes (1, 3, H, W) float RGB in [0, 1] and returns boxes (K, 4) x0 y0 x1 y1 in its input's pixels and

- scores (K, C) of C classes, before non-maximum suppression; or
- scores (K,) and classes (K,), integers from 0 to C - 1.

Either as a tuple in that order or as a dictionary with the keys ``boxes``, ``scores``, ``classes``. An export archive
has a fixed frame size, to which frames are stretched; TorchScript gets them as they are.

Such a file is a program. Archives that contain pickles are refused, but still use only files from trusted sources.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from deploy.core.errors import OptionError, WeightsError
from deploy.core.files import sha256_of
from deploy.detectors.classes import COCO_CLASSES
from labeling.core.torch_programs import load_export, load_script
from labeling.detectors.base import Detections, DetectorSettings
from labeling.detectors.candidates import select_detections
from labeling.detectors.coco_detector import DetectorWithClasses


class TorchProgramDetector(DetectorWithClasses):
    """A detector with any classes, COCO's 80 by default. See `Detector`.

    Raises:
        OptionError: no file was given.
        WeightsError: the file is missing, of another kind, or contains pickles.
    """

    name = "torch-program"

    def __init__(self, settings: DetectorSettings) -> None:
        super().__init__(settings, settings.class_names or COCO_CLASSES)
        self.record = {"class_names": self.class_names} if settings.class_names else {}
        weights = settings.weights
        if weights is None:
            raise OptionError("detector 'torch-program' needs a file", hint="Add --detector-weights MODEL.pt2 or .pt")
        if not weights.is_file():
            raise WeightsError(f"detector not found: {weights}", hint="Check the path.")
        self._source, self.weights_sha256 = weights, sha256_of(weights)
        self._run, self._input_size = _load_export(weights) if weights.suffix == ".pt2" else _load_script(weights)

    def detect(self, images: Tensor, *, score_threshold: float | None = None) -> list[Detections]:
        """See `Detector.detect`.

        Raises:
            WeightsError: the program's outputs are not as described above.
        """
        return [self._detect_one(image[None], score_threshold or self.score_threshold) for image in images]

    def _detect_one(self, image: Tensor, least: float) -> Detections:
        size = (int(image.shape[2]), int(image.shape[3]))
        height, width = self._input_size or size
        if size != (height, width):
            resized = functional.interpolate(
                image, (height, width), mode="bilinear", align_corners=False, antialias=True
            )
        else:
            resized = image
        boxes, scores = self._by_class(self._run(resized))
        zoom = torch.tensor([size[1] / width, size[0] / height] * 2, device=boxes.device)
        kept = self._kept_classes
        return select_detections(boxes.detach() * zoom, scores[:, kept.to(scores.device)], kept, size, least)

    def _by_class(self, output: Any) -> tuple[Tensor, Tensor]:
        """Boxes (K, 4) and scores (K, C)."""
        if isinstance(output, dict):
            output = [output[key] for key in ("boxes", "scores", "classes") if key in output]
        parts = [part for part in output if isinstance(part, Tensor)] if isinstance(output, tuple | list) else []
        if len(parts) in (2, 3) and parts[0].ndim == 2 and parts[0].shape[1] == 4:
            boxes, scores = parts[:2]
            if len(parts) == 2 and scores.shape == (len(boxes), len(self.class_names)):
                return boxes, scores
            if len(parts) == 3 and scores.shape == parts[2].shape == (len(boxes),):
                return boxes, scores[:, None] * self._one_hot(parts[2].long(), scores)
        shapes = [tuple(part.shape) for part in parts] or type(output).__name__
        raise WeightsError(
            f"{self._source} returns {shapes}",
            hint=f"It must return boxes (K, 4) and scores (K, {len(self.class_names)}), or boxes (K, 4), scores (K,) "
            "and classes (K,). For other classes than COCO's 80 add --class-names FILE.",
        )

    def _one_hot(self, classes: Tensor, scores: Tensor) -> Tensor:
        known = (classes >= 0) & (classes < len(self.class_names))
        wrong = classes[~known & (scores.detach() > 0)]  # boxes that pad to a fixed number have a score of 0
        if len(wrong):
            raise WeightsError(
                f"{self._source} returns class {int(wrong[0])}, but there are {len(self.class_names)}",
                hint="Number them from 0; for other classes than COCO's 80 add --class-names FILE.",
            )
        return functional.one_hot(classes.where(known, 0), len(self.class_names))


Loaded = tuple[Callable[[Tensor], Any], tuple[int, int] | None]
"""What to call, and the height and width it needs; None is any."""


def _load_script(path: Path) -> Loaded:
    module = load_script(path)
    return lambda image: module.to(image.device)(image), None


def _load_export(path: Path) -> Loaded:
    module, example = load_export(path)
    shape = example.shape
    size = (shape[2], shape[3]) if len(shape) == 4 and all(isinstance(side, int) for side in shape[2:]) else None
    return lambda image: module.to(image.device)(image), size
