"""Turn a model into a graph of fixed frame size."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import paddle
from paddle.static import InputSpec

from labeling.dataset.manifest import Manifest
from paddleseg_configs.training.paddle_fixes.exact_pooling import exact_adaptive_pooling

GRAPH_NAME, PARAMETERS_NAME = "model.json", "model.pdiparams"
INPUT_NAME = "x"


class _MainOutput(paddle.nn.Layer):
    """A model reduced to its main output."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        logits: paddle.Tensor = self.model(x)[0]
        return logits


class _Blocks(paddle.nn.Layer):
    """An any-size model, from frames whose sides are multiples of 32 to the logits of their macroblocks."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        blocks: paddle.Tensor = self.model.blocks(x)
        return blocks


def save_any_size_model(model: Any, folder: Path) -> None:
    """Write ``model.json`` and ``model.pdiparams`` of an any-size model, each atomically.

    Args:
        model: a model with ``blocks``, in evaluation mode.
        folder: output folder, created if missing.
    """
    _save(_Blocks(model), InputSpec([None, model.in_channels, None, None], "float32", INPUT_NAME), folder)


def save_inference_model(model: Any, manifest: Manifest, folder: Path, *, dynamic_batch: bool) -> None:
    """Write ``model.json`` and ``model.pdiparams`` into `folder`, each atomically.

    Args:
        model: a PaddleSeg model in evaluation mode.
        manifest: manifest of the dataset, which defines the frame size.
        folder: output folder, created if missing.
        dynamic_batch: whether the batch size is dynamic; otherwise it is 1.
    """
    batch = None if dynamic_batch else 1
    spec = InputSpec([batch, 3, manifest.frame_height_px, manifest.frame_width_px], "float32", INPUT_NAME)
    _save(_MainOutput(model), spec, folder)


def _save(layer: paddle.nn.Layer, spec: InputSpec, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=folder) as temporary:
        with exact_adaptive_pooling():
            paddle.jit.save(layer, str(Path(temporary) / "model"), input_spec=[spec])
        for name in (PARAMETERS_NAME, GRAPH_NAME):
            (Path(temporary) / name).replace(folder / name)
