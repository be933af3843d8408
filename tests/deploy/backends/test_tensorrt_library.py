"""Against NVIDIA's real libraries: names in the bindings of many versions, and engines built by TensorRT-RTX."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from deploy.cards.engine_record import read_record, record_path
from deploy.cards.model_card import write_card
from deploy.core.cli import EXIT_USER_ERROR
from deploy.core.errors import OptionError, WeightsError
from deploy.core.files import sha256_of
from deploy.prediction.preprocess import to_input
from export.engine_builder import batch_sizes, build_engine
from export.engine_options import EngineOptions
from export.exporter import finish_graph
from tests.helpers.deploy_helpers import card_of, striped_frame, write_model
from tests.helpers.label_helpers import REPOSITORY
from tests.helpers.tensorrt_names import SOURCES, used_names

NAMES = REPOSITORY / "tests" / "helpers" / "tensorrt_names.py"
BINDINGS = ("10.13.3.9", "10.16.1.11", "11.4.0.106")
STUB = """
createInferBuilder_INTERNAL createInferRefitter_INTERNAL createInferRuntime_INTERNAL getPluginRegistry
createNvOnnxParserRefitter_INTERNAL createNvOnnxParser_INTERNAL getBuilderPluginRegistry getNvOnnxParserVersion
initLibNvInferPlugins
"""


@pytest.fixture(scope="module")
def rtx() -> Any:
    return pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX's wheel is not installed")


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library with the functions that the bindings link to; none of them is ever called but the version's."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler to make stub libraries with")
    path = tmp_path_factory.mktemp("stub") / "stub.so"
    source = "".join(f"int {name}(void) {{ return 0; }}\n" for name in STUB.split())
    subprocess.run([compiler, "-shared", "-fPIC", "-x", "c", "-", "-o", path], input=source, text=True, check=True)
    return path


def bindings(version: str) -> Path:
    """Folder of the real bindings of a version, fetched once: 1.3 MB from PyPI, without NVIDIA's libraries."""
    folder = REPOSITORY / "datasets" / "cache" / f"tensorrt-bindings-{version}"
    if not (folder / "tensorrt_bindings").is_dir():
        command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
        fetched = subprocess.run([*command, f"tensorrt-cu13-bindings=={version}"], capture_output=True, check=False)
        if fetched.returncode:
            shutil.rmtree(folder, ignore_errors=True)
            pytest.skip(f"the bindings of TensorRT {version} cannot be fetched from PyPI")
    return folder


@pytest.mark.parametrize("version", BINDINGS)
def test_every_name_exists_in_the_bindings_and_no_answer_is_ignored(version: str, stub: Path, tmp_path: Path) -> None:
    folder = bindings(version)
    for name in ("libnvinfer", "libnvinfer_plugin", "libnvonnxparser"):
        (tmp_path / f"{name}.so.{version.partition('.')[0]}").symlink_to(stub)
    ended = subprocess.run(
        [sys.executable, NAMES, "tensorrt_bindings"], capture_output=True, text=True, check=False,
        env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path), "PYTHONPATH": str(folder)},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(version.rpartition(".")[0])


def test_every_name_exists_in_tensorrt_rtx(rtx: Any) -> None:
    ended = subprocess.run([sys.executable, NAMES, "tensorrt_rtx"], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_the_names_are_really_collected() -> None:
    some = {"Builder.build_serialized_network", "IExecutionContext.execute_async_v3", "OnnxParser.parse_from_file"}
    assert some <= used_names()
    assert len(used_names()) > 30


def test_every_cuda_function_exists() -> None:
    runtime = pytest.importorskip("cuda.bindings.runtime", reason="cuda-bindings is not installed")
    sources = [*SOURCES, REPOSITORY / "deploy" / "backends" / "cuda_memory.py"]
    used = {name for path in sources for name in re.findall(r"\bcuda[A-Z]\w+", path.read_text())}
    assert len(used) > 15
    members = set(dir(runtime.cudaMemcpyKind)) | set(dir(runtime.cudaStreamCaptureMode))
    assert not [name for name in used if not hasattr(runtime, name) and name not in members]


@pytest.mark.parametrize("dynamic_batch", [True, False])
@pytest.mark.parametrize(
    ("output", "precision"),
    [
        ("logits", "fp32"),
        ("levels", "fp32"),
        ("importance", "fp32"),
        ("importance", "fp16"),
        ("importance", "int8-trt"),
    ],
)
def test_rtx_builds_what_export_writes(
    rtx: Any, tmp_path: Path, output: Any, precision: Any, dynamic_batch: bool
) -> None:
    card = card_of(dynamic_batch=dynamic_batch)
    core = onnx.load(str(write_model(tmp_path / "core.onnx", card)))
    wanted = replace(card, input_kind="rgb8", output_kind=output, precision=precision)
    graph, card = finish_graph(core, wanted, lambda: [to_input(striped_frame(), wanted)])
    model = tmp_path / "model.onnx"
    onnx.save(graph, str(model))
    write_card(model, card)
    record = build_engine(EngineOptions(model=model, out=tmp_path / "model.engine", runtime="tensorrt-rtx"))
    assert record == read_record(tmp_path / "model.engine")
    batch = -1 if dynamic_batch else 1
    assert [(t.name, t.dtype, t.shape) for t in record.inputs] == [("rgb", "UINT8", (batch, *card.input_shape))]
    assert [(t.name, t.shape) for t in record.outputs] == [(card.output_name, (batch, *card.output_shape))]
    assert (record.product, record.version, record.gpu_name) == ("tensorrt-rtx", rtx.__version__, "any")
    assert record.batch == ((1, 8, 64) if dynamic_batch else (1, 1, 1))
    assert record.onnx_sha256 == sha256_of(model)
    assert record.precision == precision
    assert sorted(path.name for path in tmp_path.glob("model.*")) == [
        "model.engine", "model.engine.json", "model.json", "model.onnx"
    ]  # fmt: skip


def strange_model(path: Path) -> Path:
    """A model with an operator that nobody has."""
    card = card_of()
    given = helper.make_tensor_value_info(card.input_name, TensorProto.FLOAT, ["batch", *card.input_shape])
    result = helper.make_tensor_value_info(card.output_name, TensorProto.FLOAT, ["batch", *card.output_shape])
    node = helper.make_node("Frobnicate", [card.input_name], [card.output_name], name="the_odd_one", domain="odd")
    graph = helper.make_graph([node], "odd", [given], [result])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("odd", 1)]), path
    )
    write_card(path, card)
    return path


def test_an_unreadable_operator_is_named_and_the_old_engine_stays(rtx: Any, tmp_path: Path) -> None:
    """Mistake 18: the old engine is there until a new one is built."""
    model, engine = strange_model(tmp_path / "model.onnx"), tmp_path / "model.engine"
    engine.write_bytes(b"old engine")
    record_path(engine).write_text("old record")
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(WeightsError, match=r"node the_odd_one \(operator Frobnicate\): ") as caught:
        build_engine(EngineOptions(model=model, out=engine, runtime="tensorrt-rtx"))
    assert "Export again with --batch 1" in caught.value.hint
    assert engine.read_bytes() == b"old engine"
    assert record_path(engine).read_text() == "old record"
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_crash_while_writing_keeps_the_old_engine(rtx: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mistake 18, the other half: built, but the disk is full."""
    model, engine = write_model(tmp_path / "model.onnx", card_of()), tmp_path / "model.engine"
    options = EngineOptions(model=model, out=engine, runtime="tensorrt-rtx", batch="2")
    first = build_engine(options)
    before = engine.read_bytes()

    def full(*_arguments: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        build_engine(replace(options, batch="1"))
    assert engine.read_bytes() == before
    assert read_record(engine) == first
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "model.engine", "model.engine.json", "model.json", "model.onnx"
    ]  # fmt: skip


def test_timing_cache_and_workspace(rtx: Any, tmp_path: Path) -> None:
    model, cache = write_model(tmp_path / "model.onnx", card_of()), tmp_path / "timing.cache"
    options = EngineOptions(
        model=model, out=tmp_path / "m.engine", runtime="tensorrt-rtx", timing_cache=cache, workspace=64
    )
    build_engine(options)
    assert cache.stat().st_size > 0
    build_engine(options)
    assert not list(tmp_path.glob(".tmp-*"))


@pytest.mark.parametrize(
    ("text", "dynamic", "expected"),
    [(None, True, (1, 8, 64)), (None, False, (1, 1, 1)), ("4", True, (4, 4, 4)), ("1,2,3", True, (1, 2, 3)),
     ("1", False, (1, 1, 1))],
)  # fmt: skip
def test_batch_sizes(text: str | None, dynamic: bool, expected: tuple[int, ...]) -> None:
    assert batch_sizes(text, card_of(dynamic_batch=dynamic)) == expected


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"batch": "1,2"}, "is not MIN,OPT,MAX"),
        ({"batch": "a"}, "is not MIN,OPT,MAX"),
        ({"batch": "0,1,2"}, "does not hold"),
        ({"batch": "3,2,1"}, "does not hold"),
        ({"out": Path("m.plan")}, "must end in .engine"),
        ({"workspace": 0.0}, "must be more than 0"),
    ],
)
def test_bad_options_are_refused(tmp_path: Path, changes: dict[str, Any], complaint: str) -> None:
    model = write_model(tmp_path / "model.onnx", card_of())
    options = EngineOptions(model=model, out=tmp_path / "m.engine", runtime="tensorrt-rtx")
    with pytest.raises(OptionError, match=complaint):
        build_engine(replace(options, **changes))


def test_models_that_are_not_for_tensorrt_are_refused(tmp_path: Path) -> None:
    card = card_of(dynamic_batch=False)
    model = write_model(tmp_path / "model.onnx", card)
    options = EngineOptions(model=model, out=tmp_path / "m.engine", runtime="tensorrt-rtx", batch="8")
    with pytest.raises(OptionError, match="fixed batch of 1"):
        build_engine(options)
    write_card(model, replace(card, precision="int8-cpu"))
    with pytest.raises(OptionError, match="int8 for CPUs"):
        build_engine(replace(options, batch=None))
    with pytest.raises(WeightsError, match="model not found"):
        build_engine(replace(options, model=tmp_path / "no.onnx"))


def test_the_command_builds_an_engine(rtx: Any, tmp_path: Path) -> None:
    model = write_model(tmp_path / "model.onnx", card_of())
    command = [sys.executable, REPOSITORY / "export" / "onnx2trt.py", model, "--out", tmp_path / "m.engine"]
    arguments = ["--batch", "1,2,4", "--runtime", "tensorrt-rtx"]
    ended = subprocess.run([*command, *arguments], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "wrote" in ended.stdout
    assert read_record(tmp_path / "m.engine").batch == (1, 2, 4)
    refused = subprocess.run([*command, "--batch", "x"], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert refused.returncode == EXIT_USER_ERROR
