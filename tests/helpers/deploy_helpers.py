"""Small models, pictures and videos for the tests of deployment."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from deploy import trt_infer
from deploy.cards.model_card import METADATA_KEY, ModelCard, write_card
from deploy.core.cli import run
from deploy.core.grid import Grid

SHARPNESS = 400.0


def card_of(height_px: int = 48, width_px: int = 80, num_levels: int = 4, **changes: Any) -> ModelCard:
    """A card whose levels are the middles of equal intervals."""
    card = ModelCard(
        name="brightness",
        grid=Grid(height_px, width_px, scale=3),
        level_values=tuple((np.arange(num_levels) + 0.5) / num_levels),
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        input_name="x",
        output_name="logits",
        dynamic_batch=True,
        dataset_manifest_sha256="0" * 64,
    )
    return replace(card, **changes)


def write_model(
    path: Path,
    card: ModelCard,
    *,
    embed: ModelCard | None = None,
    weights: Callable[[ModelCard], tuple[NDArray[np.float32], NDArray[np.float32]]] | None = None,
) -> Path:
    """Write a 1 x 1 convolution that classifies each pixel's brightness, and its card beside it.

    With b = brightness in [0, 1] and v_l the level values, the logits are -k (b - v_l)^2 without their common term, so
    the nearest level value wins.
    """
    kernel, bias = (weights or brightness_weights)(card)
    grid, batch = card.grid, "batch" if card.dynamic_batch else 1
    size = [grid.height_px, grid.width_px]
    graph = helper.make_graph(
        [helper.make_node("Conv", [card.input_name, "kernel", "bias"], [card.output_name])],
        "brightness",
        [helper.make_tensor_value_info(card.input_name, TensorProto.FLOAT, [batch, 3, *size])],
        [helper.make_tensor_value_info(card.output_name, TensorProto.FLOAT, [batch, len(bias), *size])],
        [numpy_helper.from_array(kernel, "kernel"), numpy_helper.from_array(bias, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    if embed is not None:
        helper.set_model_props(model, {METADATA_KEY: embed.to_json()})
    onnx.save(model, str(path))
    write_card(path, card)
    return path


def brightness_weights(card: ModelCard) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(L, 3, 1, 1) kernel and (L,) bias of the brightness classifier."""
    values, mean, std = (np.array(numbers) for numbers in (card.level_values, card.mean, card.std))
    slopes = 2 * SHARPNESS * values
    kernel = slopes[:, None] * std[None, :] / 3
    bias = -SHARPNESS * values**2 + slopes * mean.mean()
    return kernel[:, :, None, None].astype(np.float32), bias.astype(np.float32)


def striped_frame(height_px: int = 48, width_px: int = 80, shift: int = 0) -> NDArray[np.uint8]:
    """Columns of macroblocks of rising brightness: 20, 60, 100, ... cyclically shifted."""
    columns = (np.arange(width_px) // 16 + shift) % (-(-width_px // 16))
    row = (20 + 40 * columns).clip(0, 255).astype(np.uint8)
    return np.broadcast_to(row[None, :, None], (height_px, width_px, 3)).copy()


def write_video(path: Path, frames: list[NDArray[np.uint8]], *, rate: Fraction = Fraction(25)) -> Path:
    """Encode frames, nearly without loss."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "1", "preset": "ultrafast"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv444p"
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def trt_infer_command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Run deploy/trt_infer.py in this process; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["trt_infer.py", *map(str, arguments)])
    try:
        run(trt_infer.main)
    except SystemExit as end:
        return int(end.code or 0)
    return 0
