"""Pictures of detections: lost on the interpolated frame, and found again where blocks were enhanced."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pictures
from PIL import ImageDraw

from deploy.core.grid import Grid
from deploy.detectors.detections import Detections
from deploy.detectors.matching import IOU_THRESHOLD, iou
from deploy.outputs.overlay import outline_of
from deploy.worth_it.measuring import Look
from deploy.worth_it.samples import Image

FOUND, LOST, FOUND_AGAIN, WRONG = "#16a34a", "#dc2626", "#facc15", "#a855f7"
"""Colors of boxes: right in both, missing, only right where enhanced, right in no true frame."""
_OUTLINE = np.array([255, 255, 255], np.uint8)


def found_flags(wanted: Detections, found: Detections) -> NDArray[np.bool_]:
    """(M,) for each wanted box: whether one of its class overlaps it enough."""
    overlap = iou(wanted.xyxy, found.xyxy)
    overlap[wanted.class_id[:, None] != found.class_id[None]] = 0
    return np.asarray((overlap >= IOU_THRESHOLD).any(axis=1))


def interpolated_picture(look: Look, image: Image) -> Image:
    """The interpolated frame with what is found there, and what is lost."""
    seen = found_flags(look.wanted, look.nothing.detections)
    return _boxes(image, look.wanted, [FOUND if flag else LOST for flag in seen])


def enhanced_picture(look: Look, grid: Grid) -> Image:
    """The enhanced frame with its blocks outlined, what is found again, still lost, or wrong."""
    before = found_flags(look.wanted, look.nothing.detections)
    now = found_flags(look.wanted, look.predicted.detections)
    colors = [(FOUND if was else FOUND_AGAIN) if found else LOST for was, found in zip(before, now, strict=True)]
    image = look.enhanced.image.copy()
    image[outline_of(grid.upsample_to_sr(look.enhanced.selected))] = _OUTLINE
    picture = _boxes(image, look.wanted, colors)
    wrong = ~found_flags(look.predicted.detections, look.wanted)
    extra = look.predicted.detections
    return _boxes(picture, extra, [WRONG if flag else "" for flag in wrong])


def data_uri(image: Image) -> str:
    """A PNG inside a page."""
    stream = io.BytesIO()
    Pictures.fromarray(image).save(stream, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def _boxes(image: Image, detections: Detections, colors: list[str]) -> Image:
    picture = Pictures.fromarray(image)
    draw = ImageDraw.Draw(picture)
    width = max(2, image.shape[0] // 270)
    for box, color in zip(detections.xyxy.tolist(), colors, strict=True):
        if color:
            draw.rectangle([box[0] - width, box[1] - width, box[2] + width, box[3] + width], outline=color, width=width)
    return np.asarray(picture)
