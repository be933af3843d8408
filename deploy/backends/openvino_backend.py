"""OpenVINO on the CPU, with its precision always stated: its own default is silently bf16 on CPUs that have it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from deploy.backends.base import usable_threads
from deploy.cards.model_card import ModelCard
from deploy.core.closeable import Closing
from deploy.core.endless import require_an_end
from deploy.core.errors import DeviceError, WeightsError

_EXPORT_AGAIN = "Keep the .onnx and the .json of one export together, or export the model again."
_NAMES = {"f32": "fp32", "bf16": "bf16"}
_TRIAL = "import sys, openvino as ov; ov.Core().compile_model(sys.argv[1], 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'})"
TRIAL_SECONDS = 300


class OpenVinoBackend(Closing):
    """Runs the .onnx file frame by frame.

    Args:
        model: the .onnx file.
        card: its model card.
        threads: CPU threads; None takes one a CPU of this process.
        spinning: not used.
        variant: "f32", or "bf16" where that was asked for.

    Raises:
        WeightsError: the file cannot be loaded, crashes OpenVINO, or differs from its card.
        DeviceError: this CPU does not compute in the precision that was asked for.
    """

    name = "openvino"

    def __init__(
        self,
        *,
        model: Path,
        card: ModelCard,
        threads: int | None = None,
        spinning: bool = False,
        variant: str = "f32",
    ) -> None:
        del spinning
        require_an_end(model, "predictor", model)
        self.threads = usable_threads(threads)
        if card.precision.startswith("int8"):
            _require_that_it_compiles(model)
        try:
            compiled = _compile(model, self.threads, variant)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:300]
            raise WeightsError(f"OpenVINO cannot load {model}: {reason}", hint="Export the model again.") from None
        _require_precision(compiled, variant)
        _check(compiled, card, model)
        self.precision = "int8" if card.precision.startswith("int8") else _NAMES[variant]
        unit = "thread" if self.threads == 1 else "threads"
        version = ov.__version__.partition("-")[0]
        self.description = f"openvino {version} (CPU, {self.threads} {unit}, {self.precision}, hint {variant})"
        self._model, self._card = model, card
        self._request: Any = compiled.create_infer_request()

    def run(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Compute the output; see `Backend.run`."""
        if self._request is None:
            raise DeviceError("this OpenVINO backend is closed", hint="Create a new Predictor.")
        result = np.empty((len(batch), *self._card.for_batch(batch.shape).output_shape), self._card.output_type)
        for index in range(len(batch)):
            frame = np.ascontiguousarray(batch[index : index + 1])
            try:
                outputs = self._request.infer([frame], share_inputs=True, share_outputs=True)
            except RuntimeError as error:
                reason = " ".join(str(error).split())[:300]
                raise WeightsError(f"{self._model} fails on {frame.shape}: {reason}", hint=_EXPORT_AGAIN) from None
            result[index] = outputs[0][0]
        return result

    def close(self) -> None:
        """Free the model."""
        self._request = None


def _require_that_it_compiles(model: Path) -> None:
    """Compile in a separate process first: some quantized files crash OpenVINO."""
    try:
        ended = subprocess.run(
            [sys.executable, "-c", _TRIAL, str(model)], capture_output=True, timeout=TRIAL_SECONDS, check=False
        )
        outcome = f"exited with code {ended.returncode}"
    except subprocess.TimeoutExpired:
        outcome = f"did not finish within {TRIAL_SECONDS} s"
    else:
        if ended.returncode == 0:
            return
    raise WeightsError(f"OpenVINO {outcome} while compiling {model}", hint="Use --backend onnxruntime for this file.")


def _compile(model: Path, threads: int, variant: str) -> Any:
    core = ov.Core()
    network = core.read_model(model)
    shape = network.inputs[0].partial_shape
    shape[0] = 1
    network.reshape(shape)
    options = {
        "INFERENCE_PRECISION_HINT": variant,
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,  # the process's affinity decides, and neighbors pin as well
    }
    return core.compile_model(network, "CPU", options)


def _require_precision(compiled: Any, variant: str) -> None:
    used = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if used != variant:
        raise DeviceError(
            f"OpenVINO computes in {used} on this machine, not in {variant}", hint="Use --backend openvino for fp32."
        )


def _check(compiled: Any, card: ModelCard, model: Path) -> None:
    """Refuse a file whose input or output is not its card's."""
    frame, blocks = ((-1, -1, card.num_channels), (-1, -1)) if card.any_size else (card.input_shape, card.output_shape)
    ends = (
        ("input", compiled.inputs, card.input_name, (1, *frame), card.input_type),
        ("output", compiled.outputs, card.output_name, (1, *blocks), card.output_type),
    )
    for what, tensors, name, shape, dtype in ends:
        found = [(sorted(t.names), _shape_of(t), np.dtype(t.element_type.to_dtype()).name) for t in tensors]
        fits = len(found) == 1 and name in found[0][0] and found[0][1:] == (shape, np.dtype(dtype).name)
        if not fits:
            raise WeightsError(
                f"{model} does not match its card: {what} {found}, the card says {name!r}, {shape}, {np.dtype(dtype)}",
                hint=_EXPORT_AGAIN,
            )


def _shape_of(tensor: Any) -> tuple[int, ...]:
    """With -1 for a free dimension."""
    return tuple(size.get_length() if size.is_static else -1 for size in tensor.partial_shape)
