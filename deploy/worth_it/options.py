"""The options of `deploy/worth.py`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.core.options import option
from deploy.core.ranges import require_range, require_ranges

if TYPE_CHECKING:  # numpy is behind it, and --help works without
    from deploy.core.resize import Reduction
    from deploy.inputs.frame import FrameSelection


@dataclass(frozen=True, kw_only=True)
class WorthOptions:
    """Options of `deploy/worth.py`.

    Raises:
        OptionError: a number is out of its range.
    """

    video: Path = option(positional=True, type=Path, help="a video or a folder of images, the sharpest you have")
    detector: Path = option(type=Path, metavar="FILE", help="your detector, an ONNX file (docs/howto/own-detector.md)")
    detector_size: str | None = option(
        None, metavar="WxH", help="input size of the detector (default: its own, or that of the frame)"
    )
    detector_layout: str | None = option(None, metavar="NAME", help="layout of its outputs, if several fit")
    class_names: Path | None = option(None, type=Path, metavar="FILE", help="names of its classes, one per line")
    classes: tuple[str, ...] = option(
        (), nargs="+", metavar="NAME", help="classes to detect (default: people and vehicles of COCO, otherwise all)"
    )
    score_threshold: float = option(0.3, type=float, metavar="S", help="ignore detections with a lower score")
    upscaler: Path | None = option(
        None,
        type=Path,
        metavar="FILE",
        help="an .onnx file made by export/export_upscaler.py (default: the included one)",
    )
    predictor: Path | None = option(
        None, type=Path, metavar="FILE", help="a predictor's .onnx file (default: the included one)"
    )
    annotations: Path | None = option(
        None, type=Path, metavar="FILE", help="ground truth as COCO JSON or MOT text: adds average precision"
    )
    frames: int = option(20, type=int, metavar="N", help="number of frames to test, spread over the video")
    start_seconds: float = option(0.0, type=float, metavar="S", help="start time, counted from the first frame")
    stop_seconds: float | None = option(None, type=float, metavar="S", help="stop time, exclusive (default: the end)")
    height: int | None = option(
        None, type=int, metavar="H", help="height of the low-resolution frame (default: the largest with a true frame "
        "to compare with, up to 288)"
    )  # fmt: skip
    reduce: Reduction = option(
        "area", choices=("area", "bicubic", "lanczos"), help="how low-resolution frames are made"
    )
    lr_codec: str | None = option(
        None,
        metavar="CODEC",
        help="encode the low-resolution video first, as a camera does: h264:crf30, h264:600k",
    )
    threads: int | None = option(None, type=int, help="CPU threads (default: one per CPU of this process)")
    out: Path | None = option(None, type=Path, metavar="PAGE.html", help="write a page with a curve and pictures")
    json: Path | None = option(None, type=Path, metavar="FILE", help="write all figures")

    def __post_init__(self) -> None:
        require_ranges(self, "frames", "threads", low=1)
        require_range("height", self.height, 32)
        require_range("score_threshold", self.score_threshold, 0, 1, open_ends=True)

    @property
    def selection(self) -> FrameSelection:
        """The part of the video to test."""
        from deploy.inputs.frame import FrameSelection

        return FrameSelection(self.start_seconds, self.stop_seconds)
