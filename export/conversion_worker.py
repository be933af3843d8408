"""What runs in the process of `export.conversion`: convert, check, slim.

python -m export.conversion_worker FOLDER OPSET
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import paddle2onnx
from numpy.typing import NDArray

from deploy.core.runtimes import import_onnxruntime
from export.conversion import ONNX_NAME
from paddleseg_configs.training.models.inference_model import GRAPH_NAME, PARAMETERS_NAME

ort = import_onnxruntime()

SLIM_TOLERANCE = 1e-5
"""Largest difference, over the largest logit, that slimming may make."""


def convert(folder: Path, opset: int) -> None:
    """Write ``model.onnx`` next to ``model.json`` and ``model.pdiparams``, checked and slimmed."""
    target = folder / ONNX_NAME
    # The default optimize_tool is allowed to install packages; onnxslim does that work below.
    paddle2onnx.export(
        str(folder / GRAPH_NAME),
        str(folder / PARAMETERS_NAME),
        str(target),
        opset_version=opset,
        enable_onnx_checker=True,
        optimize_tool="None",
    )
    graph = onnx.load(str(target))
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(slim(graph), str(target))


FREE_SIDE_PX = 96
"""Of the trial image of a network that takes any size."""


def slim(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Fold constants and remove idle nodes with onnxslim, if it is installed and changes no output.

    Returns:
        The smaller model, or `graph` itself.
    """
    try:
        import onnxslim
    except ModuleNotFoundError:
        return graph
    smaller = onnxslim.slim(onnx.ModelProto.FromString(graph.SerializeToString()))
    onnx.checker.check_model(smaller, full_check=True)
    before, after = _logits(graph), _logits(smaller)
    same = np.abs(after - before).max() <= SLIM_TOLERANCE * np.abs(before).max()
    return smaller if same else graph


def _logits(graph: onnx.ModelProto) -> NDArray[np.float32]:
    """Output on one noise image."""
    session: Any = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    shape = [size if isinstance(size, int) and size > 0 else FREE_SIDE_PX for size in entry.shape[1:]]
    noise = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    (logits,) = session.run(None, {entry.name: noise})
    result: NDArray[np.float32] = logits
    return result


if __name__ == "__main__":
    convert(Path(sys.argv[1]), int(sys.argv[2]))
