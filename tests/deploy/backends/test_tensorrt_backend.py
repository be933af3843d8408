"""The TensorRT backend's own logic, over fakes; and what happens where there is no driver, in a process of its own."""

from __future__ import annotations

import gc
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.backends import selection, tensorrt_backend
from deploy.backends.onnxruntime_backend import OnnxRuntimeBackend
from deploy.backends.tensorrt_backend import TensorRtBackend
from deploy.cards.engine_record import EngineRecord, engine_path, read_record, record_path, write_record
from deploy.core import nvidia
from deploy.core.cli import EXIT_USER_ERROR
from deploy.core.errors import DeviceError, OptionError, RegenError, WeightsError
from deploy.core.files import sha256_of
from deploy.core.nvidia import Gpu
from deploy.prediction.predictor import Predictor
from deploy.prediction.preprocess import to_input
from tests.helpers.deploy_helpers import card_of, striped_frame, write_model
from tests.helpers.label_helpers import REPOSITORY
from tests.helpers.tensorrt_fakes import FakeCuda, fake_tensorrt

H200 = Gpu("NVIDIA H200", "9.0", "12.8")
CARD = card_of()


@dataclass
class Machine:
    """A machine with a GPU, a model and its engine."""

    model: Path
    cuda: FakeCuda
    trt: Any

    def record(self, **changes: Any) -> None:
        """Write the engine's record."""
        engine = engine_path(self.model)
        truth = EngineRecord(
            onnx_sha256=sha256_of(self.model), engine_sha256=sha256_of(engine), product="tensorrt",
            version="10.13.3.9", cuda="12.8", gpu_name=H200.name, compute_capability="9.0", precision="fp32",
            batch=(1, 2, 4), inputs=(), outputs=(),
        )  # fmt: skip
        write_record(record_path(engine), replace(truth, **changes))

    def backend(self, **options: Any) -> TensorRtBackend:
        return TensorRtBackend(model=self.model, card=CARD, **options)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    model = write_model(tmp_path / "model.onnx", CARD)
    engine_path(model).write_bytes(model.read_bytes())
    cuda = FakeCuda()
    found = Machine(model, cuda, fake_tensorrt(cuda))
    found.record()
    monkeypatch.setattr(nvidia, "first_gpu", lambda: H200)
    monkeypatch.setattr(selection, "count_nvidia_gpus", lambda: 1)
    monkeypatch.setattr(tensorrt_backend, "import_tensorrt", lambda _product: found.trt)
    monkeypatch.setattr(tensorrt_backend, "import_cuda", lambda: cuda)
    return found


def batch_of(count: int, first: int = 0) -> np.ndarray[Any, Any]:
    return np.concatenate([to_input(striped_frame(shift=first + index), CARD) for index in range(count)])


@pytest.mark.parametrize("use_graph", [True, False])
@pytest.mark.parametrize("sizes", [[1], [1, 1, 1], [4, 2, 2, 4], [9], [3, 11]])
def test_equals_onnx_runtime_at_every_batch_size(machine: Machine, sizes: list[int], use_graph: bool) -> None:
    with machine.backend(use_graph=use_graph) as backend, OnnxRuntimeBackend(model=machine.model, card=CARD) as other:
        for number, size in enumerate(sizes):
            batch = batch_of(size, first=number)
            np.testing.assert_array_equal(backend.run(batch), other.run(batch))
    assert machine.cuda.live == {}
    # A graph is launched when a slot meets a batch size again.
    assert ("cudaGraphLaunch" in machine.cuda.calls) == (use_graph and sizes in ([1, 1, 1], [4, 2, 2, 4]))


def test_many_batches_overlap_and_come_in_order(machine: Machine) -> None:
    batches = [batch_of(2, first=number) for number in range(5)]
    with machine.backend() as backend, OnnxRuntimeBackend(model=machine.model, card=CARD) as other:
        for batch, result in zip(batches, backend.run_many(iter(batches)), strict=True):
            np.testing.assert_array_equal(result, other.run(batch))
    # Two streams: the second batch is submitted before the first is waited for.
    assert machine.cuda.calls.count("cudaStreamCreateWithFlags") == 2


def test_results_are_the_callers(machine: Machine) -> None:
    """Mistake 19."""
    with machine.backend() as backend:
        first = backend.run(batch_of(1))
        kept = first.copy()
        backend.run(batch_of(1, first=2))
        backend.run(batch_of(1, first=3))
    np.testing.assert_array_equal(first, kept)
    assert first.flags.owndata


def test_an_abandoned_run_disturbs_nothing(machine: Machine) -> None:
    with machine.backend() as backend, OnnxRuntimeBackend(model=machine.model, card=CARD) as other:
        next(backend.run_many(batch_of(1, first=number) for number in range(4)))
        np.testing.assert_array_equal(backend.run(batch_of(2)), other.run(batch_of(2)))


def test_engines_with_a_smallest_batch_take_less(machine: Machine) -> None:
    machine.record(batch=(3, 3, 4))
    with machine.backend() as backend, OnnxRuntimeBackend(model=machine.model, card=CARD) as other:
        np.testing.assert_allclose(backend.run(batch_of(1)), other.run(batch_of(1)), rtol=1e-5)


@pytest.mark.parametrize(
    ("refused", "complaint"),
    [
        ("deserialize_cuda_engine", "cannot load .*magic tag does not match"),
        ("create_execution_context", "cannot create an execution context"),
        ("set_tensor_address", "refuses: address of x"),
        ("set_input_shape", "refuses: input shape"),
        ("infer_shapes", "cannot infer the shapes of x"),
        ("get_tensor_shape", "output has shape"),
        ("execute_async_v3", "refuses: execution"),
    ],
)
def test_every_refusal_of_tensorrt_is_an_error_and_leaks_nothing(
    machine: Machine, refused: str, complaint: str
) -> None:
    machine.trt.refusing.add(refused)
    with pytest.raises(RegenError, match=complaint), machine.backend() as backend:
        backend.run(batch_of(1))
    assert machine.cuda.live == {}


@pytest.mark.parametrize(
    "failing",
    ["cudaSetDevice", "cudaStreamCreateWithFlags", "cudaMallocHost", "cudaMalloc", "cudaMemcpyAsync",
     "cudaStreamSynchronize"],
)  # fmt: skip
def test_every_failure_of_cuda_is_an_error(machine: Machine, failing: str) -> None:
    machine.cuda.failing.add(failing)
    with pytest.raises(DeviceError, match=f"{failing} failed"), machine.backend() as backend:
        backend.run(batch_of(1))


def test_failure_halfway_frees_what_was_there(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second slot's last allocation fails."""
    allocate, seen = FakeCuda.do_cudaMalloc, []

    def fails_at_last(self: FakeCuda, num_bytes: int) -> int:
        seen.append(num_bytes)
        if len(seen) == 4:
            raise MemoryError
        return allocate(self, num_bytes)

    monkeypatch.setattr(FakeCuda, "do_cudaMalloc", fails_at_last)
    with pytest.raises(MemoryError):
        machine.backend()
    assert len(seen) == 4
    assert machine.cuda.live == {}


@pytest.mark.parametrize("refused", ["execute in a graph", None])
def test_without_a_graph_it_still_runs_and_says_so(
    machine: Machine, refused: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    if refused:
        machine.trt.refusing.add(refused)
    else:
        machine.cuda.failing.add("cudaGraphInstantiate")
    with machine.backend() as backend, OnnxRuntimeBackend(model=machine.model, card=CARD) as other:
        for first in range(3):
            np.testing.assert_array_equal(backend.run(batch_of(1, first)), other.run(batch_of(1, first)))
    assert "CUDA graph not available" in capsys.readouterr().err
    assert machine.cuda.live == {}


def test_closing_in_any_order(machine: Machine) -> None:
    first, second = machine.backend(), machine.backend()
    first.run(batch_of(1))
    first.close()
    second.run(batch_of(1))
    second.close()
    second.close()
    first.close()
    assert machine.cuda.live == {}
    with pytest.raises(DeviceError, match="is closed"):
        first.run(batch_of(1))


def test_a_forgotten_backend_frees_its_memory(machine: Machine) -> None:
    backend = machine.backend()
    backend.run(batch_of(1))
    assert machine.cuda.live
    del backend
    gc.collect()
    assert machine.cuda.live == {}


@pytest.mark.parametrize(
    "batch",
    [batch_of(1)[:, :2], batch_of(1).astype(np.float64), batch_of(1)[..., :40]],
    ids=["planes", "type", "width"],
)
def test_refuses_other_batches(machine: Machine, batch: np.ndarray[Any, Any]) -> None:
    with machine.backend() as backend, pytest.raises(OptionError, match="the engine takes 1 to 4 frames"):
        backend.run(batch)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"version": "11.4.0.106"}, "built for tensorrt 11.4.0.106, but this is 10.13.3.9"),
        ({"gpu_name": "Tesla T4"}, "built for the GPU Tesla T4, but this is NVIDIA H200"),
        ({"compute_capability": "7.5"}, "built for compute capability 7.5, but this is 9.0"),
        ({"onnx_sha256": "0" * 64}, "built for a model with hash 000000000000, but this is"),
        ({"engine_sha256": "0" * 64}, "is damaged"),
    ],
)
def test_an_engine_for_something_else_is_refused_before_it_is_loaded(
    machine: Machine, changes: dict[str, Any], complaint: str
) -> None:
    machine.record(**changes)
    with pytest.raises(WeightsError, match=complaint) as caught:
        machine.backend()
    assert f"Rebuild with: python export/onnx2trt.py {machine.model} --out" in caught.value.hint
    assert "--batch 1,2,4 --runtime tensorrt" in caught.value.hint
    assert machine.cuda.calls == []


def test_an_engine_with_other_tensors_is_refused(machine: Machine) -> None:
    with pytest.raises(WeightsError, match="the card says"):
        TensorRtBackend(model=machine.model, card=card_of(input_name="image"))
    assert machine.cuda.live == {}


def test_rtx_engines_built_without_a_gpu_fit_any(machine: Machine) -> None:
    machine.record(gpu_name="any", compute_capability="any", product="tensorrt-rtx")
    with machine.backend() as backend:
        assert backend.description == "tensorrt-rtx 10.13.3.9 (NVIDIA H200, fp32)"


@pytest.mark.parametrize("damage", ["missing", "{}", "not json", "future"])
def test_bad_records_are_refused(machine: Machine, damage: str) -> None:
    path = record_path(engine_path(machine.model))
    if damage == "missing":
        path.unlink()
    elif damage == "future":
        path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 2'))
    else:
        path.write_text(damage)
    with pytest.raises(WeightsError, match="bad engine record"):
        read_record(engine_path(machine.model))


def test_auto_takes_tensorrt_and_announces_the_fallback(machine: Machine) -> None:
    with Predictor(machine.model) as predictor:
        assert predictor.backend_report == "tensorrt 10.13.3.9 (NVIDIA H200, fp32): NVIDIA GPU found"
        np.testing.assert_array_equal(predictor(striped_frame()).levels, [[0, 0, 1, 2, 2]] * 3)
    machine.record(version="11.4.0.106")
    with Predictor(machine.model) as predictor:
        assert predictor.backend_report.startswith("onnxruntime 1.")
        assert "TensorRT cannot be used" in predictor.backend_report
        assert "built for tensorrt 11.4.0.106, but this is 10.13.3.9. Rebuild with: python" in predictor.backend_report
    machine.record()
    machine.trt.refusing.add("execute_async_v3")
    with Predictor(machine.model) as predictor:
        assert "TensorRT refuses: execution" in predictor.backend_report
    with pytest.raises(DeviceError, match="refuses: execution"):
        Predictor(machine.model, backend="tensorrt")
    assert machine.cuda.live == {}


@pytest.mark.skipif(nvidia.count_nvidia_gpus() > 0, reason="NVIDIA GPU found")
@pytest.mark.parametrize("script", ["deploy/trt_infer.py", "export/onnx2trt.py"])
def test_without_a_driver_a_clean_message_and_no_crash(tmp_path: Path, script: str) -> None:
    model = write_model(tmp_path / "model.onnx", CARD)
    arguments = {
        "deploy/trt_infer.py": ["--model", model, "--input", model, "--out", tmp_path / "o", "--backend", "tensorrt"],
        "export/onnx2trt.py": [model, "--out", tmp_path / "model.engine"],
    }[script]
    ended = subprocess.run(
        [sys.executable, REPOSITORY / script, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == EXIT_USER_ERROR, ended.stderr
    assert ended.stderr.startswith("error: no NVIDIA GPU found: the driver (libcuda.so.1) is missing")
    assert ended.stderr.count(" hint: ") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.onnx"]
