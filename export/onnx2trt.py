"""Build a TensorRT engine from an exported ONNX file.

    python export/onnx2trt.py runs/demo/model.onnx --out runs/demo/model.engine --batch 1,8,64

Writes model.engine and its record model.engine.json, which deployment checks before it loads the engine. TensorRT needs
the GPU that the engine is for; TensorRT-RTX (--runtime tensorrt-rtx) builds on any machine and finishes where it runs.
Precision is the ONNX file's: export with --precision fp16 or int8-trt.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from deploy.core.cli import run


@dataclass(frozen=True)
class EngineOptions:
    """Options of one build."""

    model: Annotated[Path, tyro.conf.Positional]
    """The .onnx file; its card (.json) lies beside it."""
    out: Path
    """The .engine file to write; deployment looks for MODEL.engine beside MODEL.onnx."""
    batch: str | None = None
    """Smallest, best and largest batch, such as 1,8,64; the default is that for a free batch, 1 for a fixed one."""
    workspace: float | None = None
    """Scratch memory on the GPU that the build may use, in MiB; the default is all of it."""
    timing_cache: Path | None = None
    """File of measured kernels, read if it is there and written: later builds are faster."""
    runtime: Literal["tensorrt", "tensorrt-rtx"] = "tensorrt"
    """Which of NVIDIA's two products."""
    verbose: bool = False
    """Print all that the library says."""


def main() -> None:
    """Parse the command line and build."""
    options = tyro.cli(EngineOptions, description=__doc__)
    from export.engine_builder import build_engine

    build_engine(options)


if __name__ == "__main__":
    run(main)
