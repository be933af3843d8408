"""TensorRT 10.13 to 11.4 and TensorRT-RTX behind one set of names; what only some of them have is asked for."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from deploy.core.errors import OptionError

MODULES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
_PACKAGES = {"tensorrt": "tensorrt-cu12", "tensorrt-rtx": "tensorrt-rtx-cu12==1.7.1.116"}


def import_tensorrt(product: str) -> Any:
    """Import NVIDIA's library. Whether there is a GPU must be known before: without one it may crash the process.

    Raises:
        OptionError: it is not installed.
    """
    try:
        return importlib.import_module(MODULES[product])
    except ImportError as error:
        raise OptionError(
            f"{product} cannot be imported: {error}",
            hint=f"Install it into this environment (requirements-gpu.txt says how): pip install {_PACKAGES[product]}",
        ) from None


def make_logger(trt: Any, *, verbose: bool = False) -> Any:
    """A logger that keeps errors for messages and prints warnings to standard error.

    Returns:
        A ``trt.ILogger`` with the attribute ``errors``, a list of texts. It must outlive the objects it is passed to.
    """

    class Logger(trt.ILogger):  # type: ignore[misc]
        """Keeps what went wrong."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            """Called by TensorRT, from any thread."""
            if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
                self.errors.append(message)
            elif verbose or severity == trt.ILogger.Severity.WARNING:
                print(f"TensorRT: {message}", file=sys.stderr)

    return Logger()


def what_it_said(logger: Any) -> str:
    """The last errors of a logger, as one line."""
    return " ".join(" ".join(logger.errors[-3:]).split()) or "no reason given"
