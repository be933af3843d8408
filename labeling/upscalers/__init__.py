"""Upscalers by name. To add one: a file in this folder and a line in the table (see CONTRIBUTING.md)."""

from __future__ import annotations

from deploy.core.registry import Registry
from labeling.upscalers.base import Upscaler

__all__ = ["UPSCALERS", "Upscaler"]

UPSCALERS: Registry[Upscaler] = Registry(
    "upscaler",
    {
        "edsr": "labeling.upscalers.edsr:load_edsr",
        "carn": "labeling.upscalers.carn:load_carn",
        "spandrel": "labeling.upscalers.spandrel_file:load_spandrel",
        **{
            f"opencv-{network}": f"labeling.upscalers.dnn_superres:DnnSuperres:{network}"
            for network in ("edsr", "espcn", "fsrcnn", "lapsrn")
        },
        "bicubic": "labeling.upscalers.simple:Bicubic",
        "lanczos": "labeling.upscalers.simple:Lanczos",
        "reference": "labeling.upscalers.simple:Reference",
    },
)
