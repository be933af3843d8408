"""Measured peak performance of matrix products."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import openvino as ov
from onnx import TensorProto, helper, numpy_helper

from deploy.core.runtimes import import_onnxruntime

ort = import_onnxruntime()

SIDES = (768, 1536)
"""Of the square matrices: small ones run undisturbed now and then beside busy neighbors, large ones are quicker."""


def measure_peaks(seconds: float) -> dict[str, float]:
    """Highest rate of one core seen in a product of square matrices, in GFLOP/s or GOP/s of CPU time, by precision.

    Several libraries are asked, each in turn; the best counts, and of its runs the quickest: it is a ceiling.

    Args:
        seconds: how long each is tried.
    """
    peaks: dict[str, float] = {}
    for side in SIDES:
        for precision, rate in _measure(side, seconds).items():
            peaks[precision] = max(peaks.get(precision, 0.0), rate)
    return peaks


def _measure(side: int, seconds: float) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        plain, quantised = _write_products(Path(folder), side)
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        peaks: dict[str, float] = {}
        values = np.random.default_rng(0).random((side, side), np.float32)
        for path, precision in ((plain, "fp32"), (quantised, "int8")):
            session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            _keep_best(peaks, precision, _rate(lambda session=session: session.run(None, {"x": values}), side, seconds))
        for path, hint, precision in ((plain, "f32", "fp32"), (plain, "bf16", "bf16"), (quantised, "f32", "int8")):
            config = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
            request = ov.Core().compile_model(str(path), "CPU", config).create_infer_request()
            call = lambda request=request: request.infer([values], share_inputs=True, share_outputs=True)  # noqa: E731
            _keep_best(peaks, precision, _rate(call, side, seconds))
        return peaks


def _rate(call: object, side: int, seconds: float) -> float:
    quickest, started = float("inf"), time.perf_counter()
    while time.perf_counter() - started < seconds:
        before = time.process_time()
        call()  # type: ignore[operator]
        quickest = min(quickest, time.process_time() - before)
    return 2 * side**3 / quickest / 1e9


def _keep_best(peaks: dict[str, float], precision: str, rate: float) -> None:
    peaks[precision] = max(peaks.get(precision, 0.0), rate)


def _write_products(folder: Path, side: int) -> tuple[Path, Path]:
    """Write a product with a constant as an ONNX file, in fp32 and quantized."""
    weights = np.random.default_rng(1).normal(size=(side, side)).astype(np.float32)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [side, side]) for name in "xy"]
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="product")
    graph = helper.make_graph([node], "product", ends[:1], ends[1:], [numpy_helper.from_array(weights, "w")])
    plain, quantised = folder / "plain.onnx", folder / "int8.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(plain))

    class Once:
        """One calibration batch."""

        feeds = iter([{"x": np.random.default_rng(0).random((side, side), np.float32)}])

        def get_next(self) -> dict[str, np.ndarray] | None:
            """The next batch, or None."""
            return next(self.feeds, None)

    from onnxruntime.quantization import QuantType, quantize_static  # after `import_onnxruntime`

    quantize_static(plain, quantised, Once(), activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
    return plain, quantised
