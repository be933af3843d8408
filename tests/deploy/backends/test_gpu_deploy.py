"""The GPU benchmark: its measuring over fakes, and what it says where there is no GPU."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from deploy import Upscaler
from deploy.backends import tensorrt_backend
from deploy.backends.onnxruntime_backend import OnnxRuntimeBackend
from deploy.cards.engine_record import EngineRecord, engine_path, record_path, write_record
from deploy.cards.model_card import write_card
from deploy.core import nvidia
from deploy.core.cli import EXIT_USER_ERROR
from deploy.core.files import sha256_of
from deploy.core.runtimes import open_session
from deploy.enhancement.upscaler import EMBEDDED
from deploy.prediction.postprocess import read_output
from deploy.prediction.preprocess import to_batch
from export.exporter import finish_graph
from tests.helpers.deploy_helpers import card_of, striped_frame, write_model
from tests.helpers.label_helpers import REPOSITORY
from tests.helpers.tensorrt_fakes import FakeCuda, fake_tensorrt

sys.path.append(str(REPOSITORY / "benchmarks"))
import gpu_deploy
import gpu_upscaler


@pytest.mark.skipif(nvidia.count_nvidia_gpus() > 0, reason="NVIDIA GPU found")
def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    command = [sys.executable, REPOSITORY / "benchmarks" / "gpu_deploy.py", "--dataset", tmp_path]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ended.returncode == EXIT_USER_ERROR, ended.stderr
    assert ended.stderr.startswith("error: no NVIDIA GPU found")
    assert not list(tmp_path.iterdir())


def test_measures_an_engine_over_fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = nvidia.Gpu("NVIDIA H200", "9.0", "12.8")
    core = onnx.load(str(write_model(tmp_path / "core.onnx", card_of())))
    graph, card = finish_graph(core, card_of(input_kind="rgb8", output_kind="importance"), lambda: [])
    model = tmp_path / "brightness.graph.fp32.onnx"
    onnx.save(graph, str(model))
    write_card(model, card)
    engine = engine_path(model)
    engine.write_bytes(model.read_bytes())
    record = EngineRecord(
        sha256_of(model), sha256_of(engine), "tensorrt", "10.13.3.9", "12.8", gpu.name, "9.0", "fp32", (1, 2, 2), (), ()
    )
    write_record(record_path(engine), record)
    cuda = FakeCuda()
    trt = fake_tensorrt(cuda)
    monkeypatch.setattr(nvidia, "first_gpu", lambda: gpu)
    monkeypatch.setattr(tensorrt_backend, "import_tensorrt", lambda _product: trt)
    monkeypatch.setattr(tensorrt_backend, "import_cuda", lambda: cuda)
    frames = np.array([striped_frame(shift=shift) for shift in range(3)])
    with OnnxRuntimeBackend(model=model, card=card) as backend:
        outputs = [read_output(backend.run(to_batch(frame, card))[0], card) for frame in frames]
    reference: dict[str, Any] = {"frames": frames, "trained": np.array(True)}
    reference |= {"importance": np.array([importance for importance, _ in outputs])}
    options = gpu_deploy.GpuOptions(dataset=tmp_path, batches=(1, 2), repeats=5, soak=20)
    monkeypatch.setattr(gpu_deploy, "throughput", lambda *_: 123.0)
    figures = gpu_deploy.measure_engine(model, reference, options)
    assert figures["top20_overlap"] == 1
    assert figures["memory"]["gpu_growth_mib"] == 0
    assert set(figures["latency_ms"]["2"]) == {"graph", "no_graph", "network_alone"}
    assert cuda.live == {}
    row = {"model": "brightness", "backend": "tensorrt", "precision": "fp32", **figures}
    refused = {"model": "brightness", "backend": "tensorrt-rtx", "precision": "fp32", "refused": "not for this GPU"}
    page = gpu_deploy.page_of(
        {"gpu": {"name": "H200", "compute_capability": "9.0", "cuda": "12.8"}, "rows": [row, refused], "upscaler": []}
    )
    assert "| brightness | tensorrt | fp32 |" in page
    assert "refused: not for this GPU" in page


def test_a_canvas_is_the_upscaler_in_half_precision(tmp_path: Path) -> None:
    path = tmp_path / "canvas.onnx"
    onnx.save(gpu_upscaler.for_canvas(EMBEDDED, (48, 80)), str(path))
    session = open_session(path, 1)
    assert [(tensor.name, tensor.shape[1:]) for tensor in session.get_inputs()] == [("rgb", [48, 80, 3])]
    canvases = np.stack([striped_frame(shift=shift) for shift in range(2)])
    (found,) = session.run(None, {"rgb": canvases})
    with Upscaler(threads=1) as upscaler:
        assert np.abs(found.astype(int) - upscaler(canvases)).max() <= 2
    weights = [tensor for tensor in onnx.load(str(path)).graph.initializer if len(tensor.dims) == 4]
    assert weights and all(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in weights)


@pytest.mark.skipif(find_spec("tensorrt_rtx") is None, reason="TensorRT-RTX's wheel is not installed")
def test_rtx_builds_the_plan_of_a_canvas(tmp_path: Path) -> None:
    """It builds without a GPU."""
    onnx.save(gpu_upscaler.for_canvas(EMBEDDED, (48, 80)), str(tmp_path / "canvas.onnx"))
    plan = tmp_path / "canvas.plan"
    assert gpu_upscaler.build_plan(tmp_path / "canvas.onnx", plan, "tensorrt-rtx", (48, 80), 8) > 0
    assert plan.stat().st_size > 500_000


def test_measures_the_upscaler_over_fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake's plan is the ONNX file; a product that is not installed is a row."""
    cuda = FakeCuda()
    trt = fake_tensorrt(cuda)
    monkeypatch.setattr(tensorrt_backend, "import_tensorrt", lambda _product: trt)
    monkeypatch.setattr(tensorrt_backend, "import_cuda", lambda: cuda)

    def build(model: Path, plan: Path, *_: object) -> float:
        plan.write_bytes(model.read_bytes())
        return 1.5

    monkeypatch.setattr(gpu_upscaler, "build_plan", build)
    monkeypatch.setattr(gpu_upscaler, "find_spec", lambda name: None if name == "tensorrt" else name)
    images = tmp_path / "origin_images" / "v"
    images.mkdir(parents=True)
    Image.fromarray(striped_frame()).save(images / "000000.png")
    rows = gpu_upscaler.measure_upscaler(
        None, [(32, 48)], ["tensorrt", "tensorrt-rtx"], tmp_path, tmp_path / "work", repeats=3
    )
    refused, measured = rows
    assert refused["refused"] == "tensorrt is not installed"
    assert "refused" not in measured, measured
    assert measured["largest_difference"] <= 2 and set(measured["latency_ms"]) == {"1", "8"}
    assert cuda.live == {}
    text = gpu_upscaler.upscaler_table(rows).markdown()
    assert "| 48x32 | tensorrt-rtx | 1.5 |" in text and "refused: tensorrt is not installed" in text
