"""Upscalers by name. To add one, see CONTRIBUTING.md."""

from __future__ import annotations

from labeling.upscalers.base import Upscaler
from labeling.upscalers.registry import UpscalerRegistry

__all__ = ["UPSCALERS", "Upscaler"]

UPSCALERS = UpscalerRegistry(
    {
        "edsr": "labeling.upscalers.edsr:load_edsr",
        "carn": "labeling.upscalers.carn:load_carn",
        "spandrel": "labeling.upscalers.spandrel_file:load_spandrel",
        "onnx": "labeling.upscalers.onnx_file:load_onnx",
        "torch-program": "labeling.upscalers.torch_program:load_torch_program",
        **{
            f"opencv-{network}": f"labeling.upscalers.dnn_superres:load_dnn_superres:{network}"
            for network in ("edsr", "espcn", "fsrcnn", "lapsrn")
        },
        "bicubic": "labeling.upscalers.simple:Bicubic",
        "lanczos": "labeling.upscalers.simple:Lanczos",
        "reference": "labeling.upscalers.simple:Reference",
    },
    options={"edsr": ("res_scale",), "onnx": ("colors",), "torch-program": ("colors",)},
)
