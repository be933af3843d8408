"""The options that name a detector and an upscaler, for every command that loads them."""

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
    """File of the detector, where it needs one."""
    detector_size: str | None = None
    """Width x height to run an ONNX detector at, such as 960x544; the default is its own, or where that is free the
    super-resolved frame's."""
    detector_layout: str | None = None
    """Layout of an ONNX detector's outputs, where two fit; the error names them."""
    class_names: Path | None = None
    """File with the names of an ONNX or TorchScript detector's classes, a name a line; the default is what the file
    says, COCO's for 80 classes, else class-0 and so on."""
    score_threshold: float | None = None
    """Detections below are ignored; the default is the detector's own."""
    classes: tuple[str, ...] = ()
    """Class names that count; the default is people and vehicles of COCO's classes, or all of any others."""
    upscaler: str = "edsr"
    """edsr, carn, spandrel (any network that it knows), onnx, torch-program (any other, saved as a whole), opencv-edsr,
    -espcn, -fsrcnn, -lapsrn (.pb), bicubic, lanczos, or reference (the true high-resolution frame)."""
    upscaler_weights: Path | None = None
    """Its file, of any factor; that of edsr is embedded."""
    upscaler_option: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """KEY=VALUE, may be given again: res_scale=0.1 of an edsr trained so, colors=bgr of onnx or torch-program."""
    scale: int = 3
    """Super-resolution factor."""
    device: str = "auto"
    """cpu, cuda, cuda:N, or auto."""
    offline: bool = False
    """Never use the network: weights that are not on this machine are an error."""
