"""The layouts of outputs that are known, and which of them a detector's outputs have.

To add a layout: a subclass of `Layout`, and an instance of it in `LAYOUTS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from deploy.core.errors import OptionError, WeightsError
from deploy.detectors.cells import (
    CentresAndScores,
    CornersAndScores,
    FastestDet,
    PaddleBoxes,
    YoloV5,
    YoloV6,
    YoloV8,
    YoloX,
)
from deploy.detectors.distributions import NanoDetPlus, SideDistributions
from deploy.detectors.geometry import Preparation, Size
from deploy.detectors.layout import FOUR_STRIDES, Layout
from deploy.detectors.queries import EndToEnd, JoinedQueries, LabelsBoxesScores, Queries

_UNIT = Preparation()
_IMAGENET = Preparation("stretch", 0, "rgb", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
_NANODET = Preparation("warp", 0, "bgr", (103.53, 116.28, 123.675), (57.375, 57.12, 58.395))
_LETTERBOX = Preparation("letterbox")

LAYOUTS: tuple[Layout, ...] = (
    FastestDet("fastestdet", Preparation("stretch", 0, "bgr")),
    SideDistributions("nanodet", replace(_NANODET, fit="warp-letterbox")),
    SideDistributions("picodet", _IMAGENET, strides=FOUR_STRIDES),
    NanoDetPlus("nanodet-plus", _NANODET),
    YoloV8("yolov8", _LETTERBOX),
    CentresAndScores("yolov8-transposed", _LETTERBOX),
    YoloV5("yolov5", _LETTERBOX),
    YoloX("yolox", Preparation("corner", 114, "bgr", std=(1.0, 1.0, 1.0))),
    YoloV6("yolov6", _LETTERBOX),
    EndToEnd("end-to-end", _LETTERBOX, suppress=False),
    PaddleBoxes("ppyoloe", _IMAGENET),
    PaddleBoxes("ppyoloe-plus", _UNIT),
    PaddleBoxes("picodet-boxes", _IMAGENET, strides=FOUR_STRIDES),
    CornersAndScores("ppyoloe-raw", _IMAGENET),
    CornersAndScores("ppyoloe-plus-raw", _UNIT),
    Queries("rt-detr", _UNIT, suppress=False),
    JoinedQueries("rt-detr-ultralytics", _UNIT, suppress=False),
    LabelsBoxesScores("rt-detr-boxes", _UNIT, suppress=False),
)
"""RT-DETR's names serve D-FINE, too."""


def choose_layout(outputs: Sequence[NDArray[np.float32]], size: Size, wanted: str | None = None) -> tuple[Layout, int]:
    """The layout of a detector's outputs, and its number of classes (`UNKNOWN` if they do not show it).

    Args:
        outputs: of one frame, in the file's order.
        size: height and width of the network's frame.
        wanted: name of a layout, where the user gave one.

    Raises:
        OptionError: no layout of that name, or several fit and none was named.
        WeightsError: none fits.
    """
    names = [layout.name for layout in LAYOUTS]
    if wanted is not None and wanted not in names:
        raise OptionError(f"unknown detector layout {wanted!r}", hint=f"Known: {', '.join(names)}.")
    shapes = [output.shape for output in outputs]
    fitting = [(layout, layout.num_classes(shapes, size)) for layout in LAYOUTS if wanted in (None, layout.name)]
    found = [(layout, count) for layout, count in fitting if count is not None and layout.accepts(outputs, size)]
    if not found:
        what = f"do not match the layout {wanted}" if wanted else f"match none of the known layouts: {', '.join(names)}"
        raise WeightsError(
            f"outputs {shapes} of a {size[1]} x {size[0]} detector {what}",
            hint="Wrap it as a TorchScript file (docs/howto/own-detector.md), or add a layout (CONTRIBUTING.md).",
        )
    if len(found) > 1:
        both = " and ".join(layout.name for layout, _ in found)
        raise OptionError(
            f"outputs {shapes} of a {size[1]} x {size[0]} detector match {both}, which prepare frames differently",
            hint=f"Specify the layout: --detector-layout {found[0][0].name}",
        )
    return found[0]
