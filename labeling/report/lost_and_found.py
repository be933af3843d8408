"""Pictures of detections from an evaluation: lost in the interpolated frame, regained where blocks are enhanced."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image

from deploy.core.files import read_image
from deploy.detectors.detections import Detections
from deploy.worth_it.pictures import data_uri, found_again_picture, lost_picture
from labeling.dataset.manifest import Manifest
from labeling.dataset.reader import FrameKey, LabelledFrame
from labeling.utility.record import BoxRecord, DetectionLook, UtilityReport


def detection_samples(
    utility: UtilityReport, frames: Mapping[FrameKey, LabelledFrame], manifest: Manifest
) -> list[dict[str, str]]:
    """Title, caption and both pictures, as data URIs, of each sample frame of the evaluation.

    The pictures have the super-resolved size, enlarged from the low-resolution frame; boxes are from the evaluation.
    """
    return [
        _sample(look, frames[look.video_id, look.index], manifest)
        for look in utility.looks
        if (look.video_id, look.index) in frames
    ]


def _sample(look: DetectionLook, frame: LabelledFrame, manifest: Manifest) -> dict[str, str]:
    grid = manifest.make_grid(frame.video_id)
    size = (grid.width_px * grid.scale, grid.height_px * grid.scale)
    image = np.asarray(Image.fromarray(read_image(frame.image)).resize(size, Image.Resampling.BICUBIC))
    blocks = np.zeros((grid.rows, grid.cols), np.bool_)
    for row, col in look.selected:
        blocks[row, col] = True
    wanted, nothing, enhanced = map(_detections, (look.wanted, look.nothing, look.enhanced))
    reference = "true" if look.is_true else "super-resolved"
    return {
        "title": f"{look.video_id}, frame {look.index}",
        "caption": f"the top {look.budget:.0%} by {look.method} super-resolved; reference: the {reference} frame",
        "lost": data_uri(lost_picture(image, wanted, nothing)),
        "found": data_uri(found_again_picture(image, grid.upsample_to_sr(blocks), wanted, nothing, enhanced)),
    }


def _detections(boxes: tuple[BoxRecord, ...]) -> Detections:
    corners = np.array([box.xyxy for box in boxes], np.float32).reshape(-1, 4)
    classes = np.array([box.class_id for box in boxes], np.int64)
    return Detections(corners, np.ones(len(boxes), np.float32), classes, ())
