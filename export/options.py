"""The options of an export."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class ExportOptions:
    """Options of one export."""

    config: Path
    """The configuration that the model was trained with."""
    weights: Path
    """Trained weights (.pdparams)."""
    out: Path
    """The .onnx file to write; the card is written next to it."""
    dataset: Path | None = None
    """Dataset folder; overrides the configuration's."""
    size: Literal["dataset", "any"] = "dataset"
    """Frame size of the file: that of the dataset's frames, or any size from 64 x 64, for models that support it (see
    paddleseg_configs/README.md). A file of any size takes rgb8 and returns importance."""
    trained_on: tuple[str, ...] = ()
    """KEY=TEXT notes for the card on the training data, such as clips=... licenses=..."""
    batch: Literal["1", "dynamic"] = "dynamic"
    """Batch size of the file: 1 or dynamic."""
    input: Literal["normalised", "rgb8"] = "normalised"
    """Input of the file: normalized float32 planes, or uint8 RGB frames (batch, H, W, 3) normalized in the graph."""
    output: Literal["logits", "levels", "importance"] = "logits"
    """Output of the file: logits of every pixel, or the level or importance of each macroblock."""
    precision: Literal["fp32", "fp16", "int8-cpu", "int8-trt"] = "fp32"
    """Arithmetic. int8 is calibrated on frames of the train split; CPUs and TensorRT need different files."""
    calibration_frames: int = 32
    """Number of calibration frames, for int8."""
    opset: int = 17
    """ONNX operator set, 11 to 21."""
    split: Literal["val", "test", "train"] = "val"
    """Split to take the compared frames from."""
    frames: int = 8
    """Number of frames to compare."""
    opts: tuple[str, ...] = ()
    """KEY=VALUE overrides of the configuration, as in training."""
