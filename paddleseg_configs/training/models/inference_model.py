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
    """A model of which only the main output is left."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        logits: paddle.Tensor = self.model(x)[0]
        return logits


def save_inference_model(model: Any, manifest: Manifest, folder: Path, *, dynamic_batch: bool) -> None:
    """Write ``model.json`` and ``model.pdiparams`` into `folder`, each whole or not at all.

    Args:
        model: a PaddleSeg model in evaluation mode.
        manifest: says the frame size.
        folder: made if missing.
        dynamic_batch: whether the batch size is free; else it is 1.
    """
    batch = None if dynamic_batch else 1
    spec = InputSpec([batch, 3, manifest.frame_height_px, manifest.frame_width_px], "float32", INPUT_NAME)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=folder) as temporary:
        with exact_adaptive_pooling():
            paddle.jit.save(_MainOutput(model), str(Path(temporary) / "model"), input_spec=[spec])
        for name in (PARAMETERS_NAME, GRAPH_NAME):
            (Path(temporary) / name).replace(folder / name)
