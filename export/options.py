"""What an export may be told."""

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
    """The .onnx file to write; the card goes beside it."""
    dataset: Path | None = None
    """Dataset folder, instead of the configuration's."""
    size: Literal["dataset", "any"] = "dataset"
    """Frame size of the file: that of the dataset's frames, or any of at least 64 x 64, for models that can (the ladder
    names them). A file of any size takes rgb8 and gives importance."""
    trained_on: tuple[str, ...] = ()
    """KEY=TEXT notes for the card on what the model learned from, such as clips=... licences=..."""
    batch: Literal["1", "dynamic"] = "dynamic"
    """Batch size of the file: 1, or free."""
    input: Literal["normalised", "rgb8"] = "normalised"
    """What the file takes: normalized float32 planes, or uint8 RGB frames (batch, H, W, 3), normalized in the graph."""
    output: Literal["logits", "levels", "importance"] = "logits"
    """What it gives: logits of every pixel, or each macroblock's level or importance."""
    precision: Literal["fp32", "fp16", "int8-cpu", "int8-trt"] = "fp32"
    """Arithmetic. int8 is calibrated on frames of the train split; CPUs and TensorRT need different files."""
    calibration_frames: int = 32
    """How many frames, for int8."""
    opset: int = 17
    """ONNX operator set, 11 to 21."""
    split: Literal["val", "test", "train"] = "val"
    """Split whose frames are compared."""
    frames: int = 8
    """How many frames are compared."""
    opts: tuple[str, ...] = ()
    """KEY=VALUE overrides of the configuration, as in training."""
