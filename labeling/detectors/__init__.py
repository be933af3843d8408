"""Detectors by name. To add one, see CONTRIBUTING.md."""

from __future__ import annotations

from pathlib import Path

from deploy.core.errors import OptionError
from deploy.core.registry import Registry
from labeling.detectors.base import Detections, Detector, DetectorSettings

__all__ = ["DETECTORS", "Detections", "Detector", "DetectorSettings", "create_detector"]

DETECTORS: Registry[Detector] = Registry(
    "detector",
    {
        "hog": "labeling.detectors.hog:HogDetector",
        "centernet": "labeling.detectors.centernet:CenterNetDetector",
        "onnx": "labeling.detectors.onnx_file:load_onnx_detector",
        **{
            f"efficientdet-{size}": f"labeling.detectors.efficientdet:EfficientDetDetector:{size}"
            for size in ("d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "d7x")
        },
        **{
            name: f"labeling.detectors.torchvision_models:TorchvisionDetector:{name}"
            for name in ("fasterrcnn", "fasterrcnn-mobilenet", "retinanet", "fcos", "ssdlite")
        },
        **{
            f"{family}-{size}": f"labeling.detectors.transformers_models:TransformersDetector:{family}-{size}"
            for family, sizes in (("rt-detr", ("r18", "r34", "r50", "r101")), ("d-fine", ("n", "s", "m", "l", "x")))
            for size in sizes
        },
        **{
            f"detectron2-{size}": f"labeling.detectors.detectron2_models:Detectron2Detector:detectron2-{size}"
            for size in ("r50", "r101")
        },
        "torch-program": "labeling.detectors.torch_program:TorchProgramDetector",
    },
)


FILES = ("onnx", "torch-program")
"""Detectors that somebody saved: their classes are their own."""


def create_detector(
    name: str,
    *,
    weights: Path | None = None,
    score_threshold: float | None = None,
    classes: tuple[str, ...] = (),
    offline: bool = False,
    class_names: tuple[str, ...] = (),
    layout: str | None = None,
    input_size: tuple[int, int] | None = None,
) -> Detector:
    """Load a detector by its name; see `DetectorSettings`.

    Raises:
        RegenError: an unknown name, bad settings, or weights that cannot be used.
    """
    DETECTORS.check(name)
    for flag, value, takers in (
        ("--class-names", class_names, FILES),
        ("--detector-layout", layout, ("onnx",)),
        ("--detector-size", input_size, ("onnx",)),
    ):
        if value and name not in takers:
            raise OptionError(f"detector {name!r} takes no {flag}", hint=f"It is for --detector {' or '.join(takers)}.")
    settings = DetectorSettings(weights, score_threshold, classes, offline, class_names, layout, input_size)
    return DETECTORS.create(name, settings=settings)
