"""The options of a run that enhances: fields for Python, flags for the command line."""

from __future__ import annotations

from argparse import BooleanOptionalAction
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from deploy.core.errors import OptionError
from deploy.core.options import option
from deploy.core.ranges import require_ranges
from deploy.inputs.options import SourceOptions


@dataclass(frozen=True, kw_only=True)
class EnhanceOptions(SourceOptions):
    """Options of one run.

    Raises:
        OptionError: a number is out of its range, or options contradict each other.
    """

    out: Path | None = option(None, type=Path, help="folder for the results; required unless --raw is given")
    overwrite: bool = option(False, action="store_true", help="replace the results of an earlier run in --out")
    predictor: Path | None = option(None, type=Path, help="the predictor's .onnx file (default: the included one)")
    upscaler: Path | None = option(
        None, type=Path, help="an .onnx file made by export/export_upscaler.py (default: the included EDSR, x3)"
    )
    budget: str = option(
        "20%",
        help="how much to enhance: 20% (of the macroblocks), 3000/s (macroblocks per second), threshold-0.5 "
        "(importance) or 15ms (per frame, without decoding and writing); files share it (--window-seconds)",
    )
    mode: Literal["fast", "exact"] = option(
        "fast",
        choices=("fast", "exact"),
        help="margin around a region: fast differs from the whole frame by at most 1 of 255 on real frames, exact "
        "includes every pixel that matters",
    )
    window_seconds: float | None = option(
        None,
        type=float,
        metavar="S",
        help="frames of all inputs within this time share one budget; not for a budget in milliseconds (default: each "
        "frame alone; 1 s for several files)",
    )
    predict_every: int = option(1, type=int, metavar="N", help="predict every Nth frame, reuse the result in between")
    threads: int | None = option(None, type=int, help="CPU threads (default: one per CPU of this process)")
    runtime: Literal["onnxruntime", "openvino"] = option(
        "onnxruntime", choices=("onnxruntime", "openvino"), help="runtime of the upscaler"
    )
    input_height: int | None = option(
        None, type=int, metavar="PX", help="first reduce larger frames to this height, by area (default: do not reduce)"
    )
    detector: Path | None = option(
        None, type=Path, help="an ONNX detector: write detections.jsonl and draw the detections (default: none)"
    )
    video: bool | None = option(
        None, action=BooleanOptionalAction, help="write enhanced.mp4 (default: for videos and streams)"
    )
    frames: Literal["png"] | None = option(
        None, choices=("png",), help="also write each frame as an image (default: for images)"
    )
    raw: Literal["-"] | None = option(
        None, choices=("-",), help="write raw RGB frames, 3 bytes per pixel, to standard output"
    )
    maps: Literal["npz", "jsonl"] | None = option(
        None, choices=("npz", "jsonl"), help="write importance maps, as trt_infer.py does (default: none)"
    )
    segment_seconds: float | None = option(
        None,
        type=float,
        metavar="S",
        help="start a new video file, and a new .npz file, every S seconds (default: one file)",
    )
    engine: Literal["local", "ray"] = option(
        "local",
        choices=("local", "ray"),
        help="local: in this process; ray: on a Ray cluster (pip install ray) whose machines share inputs and --out, "
        "one task per input",
    )
    ray_address: str | None = option(
        None, metavar="ADDRESS", help="address of the Ray cluster (default: start one on this machine)"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require_ranges(self, "predict_every", "threads", low=1)
        require_ranges(self, "input_height", low=16)
        require_ranges(self, "segment_seconds", "window_seconds", low=0, open_ends=True)
        if self.out is None and self.raw is None:
            raise OptionError("neither --out nor --raw is given", hint="Add --out DIR, or --raw - to pipe frames.")
        if self.raw is not None and len(self.input) > 1:
            raise OptionError(f"--raw takes one input, not {len(self.input)}", hint="Run one command per input.")
        if self.maps is not None and self.out is None:
            raise OptionError("--maps needs a folder", hint="Add --out DIR.")
        if self.engine == "ray" and (len(self.input) < 2 or self.out is None or self.window_seconds is not None):
            raise OptionError(
                "--engine ray needs several inputs and --out, and does not take --window-seconds",
                hint="Each input is a task with its own budget. For a single input, remove --engine ray.",
            )

    @property
    def window(self) -> Fraction | None:
        """Length of a window in seconds; None makes each frame one."""
        from deploy.inputs.live import is_live  # PyAV is behind it, and --help works without

        if self.window_seconds is not None:
            return Fraction(str(self.window_seconds))
        return Fraction(1) if len(self.input) > 1 and not any(map(is_live, self.input)) else None

    @property
    def segment(self) -> Fraction | None:
        """Length of a segment in seconds; None writes one file."""
        return None if self.segment_seconds is None else Fraction(str(self.segment_seconds))
