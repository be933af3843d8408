"""Pictures of detections: lost on the interpolated frame, regained where blocks are enhanced."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pictures
from PIL import ImageDraw

from deploy.detectors.detections import Detections
from deploy.detectors.matching import IOU_THRESHOLD, iou
from deploy.outputs.overlay import outline_of
from deploy.worth_it.samples import Image

FOUND, LOST, FOUND_AGAIN, WRONG = "#16a34a", "#dc2626", "#facc15", "#a855f7"
MEANINGS = {FOUND: "found", LOST: "lost", FOUND_AGAIN: "regained", WRONG: "not in the reference"}
"""Colors of boxes."""
_OUTLINE = np.array([255, 255, 255], np.uint8)


def found_flags(wanted: Detections, found: Detections) -> NDArray[np.bool_]:
    """(M,) for each wanted box: whether one of its class overlaps it enough."""
    overlap = iou(wanted.xyxy, found.xyxy)
    overlap[wanted.class_id[:, None] != found.class_id[None]] = 0
    return np.asarray((overlap >= IOU_THRESHOLD).any(axis=1))


def lost_picture(image: Image, wanted: Detections, nothing: Detections) -> Image:
    """The interpolated frame with found and lost detections."""
    seen = found_flags(wanted, nothing)
    return _boxes(image, wanted, [FOUND if flag else LOST for flag in seen])


def found_again_picture(
    image: Image, selected: NDArray[np.bool_], wanted: Detections, nothing: Detections, enhanced: Detections
) -> Image:
    """The enhanced frame with outlined blocks and the detections regained, still lost, or wrong.

    Args:
        image: (H, W, 3) uint8 RGB.
        selected: (H, W) whether a pixel's block is enhanced.
        wanted: what counts as right.
        nothing: found on the interpolated frame.
        enhanced: found on the enhanced one.
    """
    before, now = found_flags(wanted, nothing), found_flags(wanted, enhanced)
    colors = [(FOUND if was else FOUND_AGAIN) if found else LOST for was, found in zip(before, now, strict=True)]
    outlined = image.copy()
    outlined[outline_of(selected)] = _OUTLINE
    picture = _boxes(outlined, wanted, colors)
    right = found_flags(enhanced, wanted)
    return _boxes(picture, enhanced, ["" if flag else WRONG for flag in right])


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
