"""Average precision against annotations, by pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence

from deploy.core.errors import OptionError
from deploy.detectors.detections import Detections

LEAST_SCORE = 0.05
"""Detections below are left out of average precision; with a higher threshold it would be too low."""


def average_precision(found: Sequence[Detections], wanted: Sequence[Detections]) -> tuple[float, float]:
    """AP at an IoU of 0.5, and the mean over 0.5 to 0.95, each the mean over the classes that are there.

    Args:
        found: of each frame, with scores from `LEAST_SCORE` on.
        wanted: of each frame.

    Raises:
        OptionError: the package pycocotools is not installed.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ModuleNotFoundError:
        raise OptionError(
            "average precision needs the package 'pycocotools', which is not installed",
            hint="pip install pycocotools, or omit --annotations.",
        ) from None
    with contextlib.redirect_stdout(io.StringIO()):  # it tells its progress
        truth = COCO()
        truth.dataset = {
            "images": [{"id": number} for number in range(len(wanted))],
            "categories": [{"id": number} for number in range(len(wanted[0].class_names))],
            "annotations": _entries(wanted),
        }
        truth.createIndex()
        results = _entries(found)
        if not results or not truth.dataset["annotations"]:
            return 0.0, 0.0
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return max(0.0, float(evaluation.stats[1])), max(0.0, float(evaluation.stats[0]))


def require_library() -> None:
    """Raise OptionError at once, not after minutes, where pycocotools is missing."""
    empty = Detections.nothing(("object",))
    average_precision([empty], [empty])


def _entries(frames: Sequence[Detections]) -> list[dict[str, object]]:
    entries: list[dict[str, object]] = []
    for image, frame in enumerate(frames):
        for box, score, kind in zip(frame.xyxy.tolist(), frame.confidence, frame.class_id, strict=True):
            width, height = box[2] - box[0], box[3] - box[1]
            entries.append(
                {
                    "id": len(entries) + 1, "image_id": image, "category_id": int(kind), "score": float(score),
                    "bbox": [box[0], box[1], width, height], "area": width * height, "iscrowd": 0,
                }
            )  # fmt: skip
    return entries
