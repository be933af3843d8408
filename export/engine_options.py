"""The options of a TensorRT build. argparse reads them, so that a Jetson needs nothing for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from deploy.core.options import option


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Options of one build."""

    model: Path = option(type=Path, positional=True, help="the .onnx file, with its card (.json) next to it")
    out: Path = option(
        type=Path, help="the .engine file to write; deployment looks for MODEL.engine next to MODEL.onnx"
    )
    batch: str | None = option(
        None,
        metavar="MIN,OPT,MAX",
        help="smallest, best and largest batch (default: 1,8,64 for a dynamic batch, 1 for a fixed one)",
    )
    workspace: float | None = option(
        None,
        type=float,
        metavar="MIB",
        help="scratch GPU memory that the build may use, in MiB (default: all of it)",
    )
    timing_cache: Path | None = option(
        None,
        type=Path,
        metavar="FILE",
        help="file of kernel timings, read if it exists and updated: makes later builds faster",
    )
    runtime: Literal["tensorrt", "tensorrt-rtx"] = option(
        "tensorrt", choices=("tensorrt", "tensorrt-rtx"), help="which NVIDIA product to build for"
    )
    verbose: bool = option(False, action="store_true", help="print all messages of the library")
