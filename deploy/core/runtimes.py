"""Import of inference libraries that need a setting first."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
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


def open_session(model: Path | bytes, threads: int, *, spinning: bool = False) -> Any:
    """An ONNX Runtime session on the CPU, which prints nothing: what goes wrong is raised.

    Args:
        model: the file, or what is in it.
        threads: for each operator; operators run one after the other.
        spinning: idle threads poll for work.

    Raises:
        Exception: any error of ONNX Runtime, whose exceptions have no common base.
    """
    runtime = import_onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
    source = model if isinstance(model, bytes) else str(model)
    # Its fallback would print a banner and try the same once more.
    return runtime.InferenceSession(source, options, providers=["CPUExecutionProvider"], enable_fallback=0)
