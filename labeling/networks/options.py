"""Options for the detector and the upscaler, shared by every command that loads them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """See ``python labeling/make_labels.py --help``."""

    detector: str = "hog"
    """hog (no download), centernet, efficientdet-d0 to -d7x, fasterrcnn, fasterrcnn-mobilenet, retinanet, fcos,
    ssdlite, rt-detr-r18 to -r101, d-fine-n to -x, detectron2-r50, -r101, or a file: onnx, torch-program."""
    detector_weights: Path | None = None
    """Weights file of the detector, if it needs one."""
    detector_size: str | None = None
    """Input size (width x height) of an ONNX detector, such as 960x544; by default the file's own size or, if that is
    dynamic, the size of the super-resolved frame."""
    detector_layout: str | None = None
    """Layout of an ONNX detector's outputs; needed only if several fit (the error lists them)."""
    class_names: Path | None = None
    """File with the class names of an ONNX or TorchScript detector, one per line; by default the names in the model
    file, COCO's for 80 classes, otherwise class-0 and so on."""
    score_threshold: float | None = None
    """Ignore detections with a lower score; the default is the detector's own."""
    classes: tuple[str, ...] = ()
    """Classes to detect; by default people and vehicles for COCO's classes, otherwise all."""
    upscaler: str = "edsr"
    """edsr, carn, spandrel (any network it supports), onnx, torch-program (any other, with its code), opencv-edsr,
    -espcn, -fsrcnn, -lapsrn (.pb), bicubic, lanczos, or reference (the true high-resolution frame)."""
    upscaler_weights: Path | None = None
    """Weights file of the upscaler, of any factor; edsr has built-in weights."""
    upscaler_option: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """KEY=VALUE option of the upscaler: res_scale=0.1 for edsr weights trained with it, colors=bgr for onnx or
    torch-program."""
    scale: int = 3
    """Super-resolution factor."""
    device: str = "auto"
    """cpu, cuda, cuda:N, or auto."""
    offline: bool = False
    """Do not use the network; missing weights are an error."""
