"""Inference backends by name. To add one, see CONTRIBUTING.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.core.registry import Registry

if TYPE_CHECKING:
    from deploy.backends.base import Backend

BACKENDS: Registry[Backend] = Registry(
    "backend",
    {
        "onnxruntime": "deploy.backends.onnxruntime_backend:OnnxRuntimeBackend",
        "openvino": "deploy.backends.openvino_backend:OpenVinoBackend",
        "openvino-bf16": "deploy.backends.openvino_backend:OpenVinoBackend:bf16",
        "tensorrt": "deploy.backends.tensorrt_backend:TensorRtBackend",
    },
)
