"""Paddle inference model to ONNX, in a separate process: the converter and the checkers can abort on bad graphs."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import onnx

from deploy.core.errors import WeightsError

ONNX_NAME = "model.onnx"
TIMEOUT_SECONDS = 600
_LEAST_FREE_BYTES = 2**20
_HINT = "Try another --opset, or --batch 1; some PaddleSeg models do not convert."


def paddle_to_onnx(folder: Path, *, opset: int) -> onnx.ModelProto:
    """Convert the Paddle inference model in `folder`.

    Raises:
        WeightsError: the converter fails, is killed, writes nothing, or writes invalid ONNX.
        OSError: the disk is full.
    """
    command = [sys.executable, "-m", "export.conversion_worker", str(folder), str(opset)]
    try:
        outcome = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise WeightsError(f"the conversion did not finish within {TIMEOUT_SECONDS} s", hint=_HINT) from None
    target = folder / ONNX_NAME
    if outcome.returncode or not target.is_file():
        if shutil.disk_usage(folder).free < _LEAST_FREE_BYTES:  # neither Paddle nor its converter say so
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
        said = " ".join((outcome.stderr.strip() or outcome.stdout.strip()).splitlines()[-3:])
        raise WeightsError(f"the conversion to ONNX exited with code {outcome.returncode}: {said}", hint=_HINT)
    return onnx.load(str(target))
