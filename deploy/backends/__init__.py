"""Inference backends by name. To add one: a file in this folder and a line in the table (see CONTRIBUTING.md)."""

from __future__ import annotations

from deploy.backends.base import Backend
from deploy.core.registry import Registry

BACKENDS: Registry[Backend] = Registry(
    "backend",
    {
        "onnxruntime": "deploy.backends.onnxruntime_backend:OnnxRuntimeBackend",
    },
)
