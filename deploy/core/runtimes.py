"""Import of inference libraries that need a setting first."""

from __future__ import annotations

import importlib
import os
from typing import Any


def import_onnxruntime() -> Any:
    """Import ONNX Runtime with its telemetry off, unless the user's environment says otherwise.

    From 1.29 on its Linux builds write a device identifier into the home folder and send model names and hashes to
    their vendor. Only this variable, set before the first import, prevents both: ``disable_telemetry_events`` is too
    late.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    return importlib.import_module("onnxruntime")
