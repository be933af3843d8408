"""Upscalers by name. To add one: a file in this folder and a line in the table (see CONTRIBUTING.md)."""

from __future__ import annotations

from deploy.core.registry import Registry
from labeling.upscalers.base import Upscaler

__all__ = ["UPSCALERS", "Upscaler"]

UPSCALERS: Registry[Upscaler] = Registry(
    "upscaler",
    {
        "edsr": "labeling.upscalers.edsr:load_edsr",
        "bicubic": "labeling.upscalers.simple:Bicubic",
        "reference": "labeling.upscalers.simple:Reference",
    },
)
