"""Run an exported importance predictor. Needs only numpy, Pillow, PyAV and one inference runtime.

    from deploy import Predictor, top_blocks

    with Predictor("model.onnx") as predictor:
        for prediction in predictor.video("camera.mp4"):
            blocks = top_blocks(prediction.importance, 0.2)  # (rows, cols) bool

These names are imported when they are first used: importing this package loads no library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deploy.core.lazy import import_name, install_moved_modules

if TYPE_CHECKING:
    from deploy.core.errors import RegenError
    from deploy.core.grid import Grid
    from deploy.detectors.detections import Detections
    from deploy.detectors.onnx_detector import OnnxDetector
    from deploy.enhancement.enhancer import Enhancer
    from deploy.enhancement.frames import EnhancedFrame
    from deploy.enhancement.upscaler import Upscaler
    from deploy.inputs.video import Frame, FrameSelection, read_frames
    from deploy.prediction.postprocess import top_blocks
    from deploy.prediction.predictor import Prediction, Predictor
    from deploy.prediction.selection import SelectionRule

__all__ = [
    "Detections",
    "EnhancedFrame",
    "Enhancer",
    "Frame",
    "FrameSelection",
    "Grid",
    "OnnxDetector",
    "Prediction",
    "Predictor",
    "RegenError",
    "SelectionRule",
    "Upscaler",
    "read_frames",
    "top_blocks",
]

_HOMES = {
    "Detections": "deploy.detectors.detections",
    "EnhancedFrame": "deploy.enhancement.frames",
    "Enhancer": "deploy.enhancement.enhancer",
    "Frame": "deploy.inputs.video",
    "FrameSelection": "deploy.inputs.video",
    "Grid": "deploy.core.grid",
    "OnnxDetector": "deploy.detectors.onnx_detector",
    "Prediction": "deploy.prediction.predictor",
    "Predictor": "deploy.prediction.predictor",
    "RegenError": "deploy.core.errors",
    "SelectionRule": "deploy.prediction.selection",
    "Upscaler": "deploy.enhancement.upscaler",
    "read_frames": "deploy.inputs.video",
    "top_blocks": "deploy.prediction.postprocess",
}

install_moved_modules(
    {
        "deploy.block_selection": "deploy.prediction.selection",
        "deploy.core.video": "deploy.inputs.video",
        "deploy.engine_record": "deploy.cards.engine_record",
        "deploy.model_card": "deploy.cards.model_card",
        "deploy.postprocess": "deploy.prediction.postprocess",
        "deploy.predictor": "deploy.prediction.predictor",
        "deploy.reuse": "deploy.prediction.reuse",
    }
)


def __getattr__(name: str) -> Any:
    return import_name(name, _HOMES, __name__)


def __dir__() -> list[str]:
    return __all__
