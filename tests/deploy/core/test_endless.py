"""ONNX files that would run for ever, as predictor, upscaler and detector: refused by name before they run."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from deploy import OnnxDetector, Predictor, Upscaler, enhance
from deploy.cards.model_card import write_card
from deploy.core.cli import EXIT_USER_ERROR, run
from deploy.core.endless import require_an_end
from deploy.core.errors import WeightsError
from deploy.enhancement.upscaler import EMBEDDED
from deploy.prediction.predictor import GENERAL
from labeling.detectors import create_detector
from labeling.upscalers import UPSCALERS
from tests.helpers.deploy_helpers import card_of, striped_frame, write_model, write_video

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
SLOW_SECONDS = 20
Hostile = Callable[[onnx.ModelProto], None]


def body(*nodes: onnx.NodeProto) -> onnx.GraphProto:
    """Of a loop that goes on whatever comes."""
    return helper.make_graph(
        [helper.make_node("Identity", ["go"], ["still"]), *(nodes or [helper.make_node("Identity", ["v"], ["next"])])],
        "body",
        [helper.make_tensor_value_info(name, kind, []) for name, kind in (("n", INT64), ("go", BOOL), ("v", FLOAT))],
        [helper.make_tensor_value_info(name, kind, []) for name, kind in (("still", BOOL), ("next", FLOAT))],
    )


def loop(trips: str, values: str, into: str, graph: onnx.GraphProto) -> onnx.NodeProto:
    return helper.make_node("Loop", [trips, "always", values], [into], body=graph)


def append(model: onnx.ModelProto, *nodes: onnx.NodeProto) -> None:
    constants = {"always": np.array(True), "many": np.array(2**62), "zero": np.array(0, np.float32)}
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    model.graph.node.extend(nodes)


def always_true(model: onnx.ModelProto) -> None:
    append(model, loop("", "zero", "never", body()))


def many_trips(model: onnx.ModelProto) -> None:
    append(model, loop("many", "zero", "never", body()))


def inside_a_branch(model: onnx.ModelProto) -> None:
    inner = helper.make_graph(
        [loop("", "zero", "never", body())], "then", [], [helper.make_tensor_value_info("never", FLOAT, [])]
    )
    append(model, helper.make_node("If", ["always"], ["chosen"], then_branch=inner, else_branch=inner))


def inside_a_function(model: onnx.ModelProto) -> None:
    function = helper.make_function(
        "own", "Harmless", ["v"], ["w"], [loop("", "v", "w", body())], [helper.make_opsetid("", 17)]
    )
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("own", 1))
    append(model, helper.make_node("Harmless", ["zero"], ["never"], domain="own"))


def functions_that_multiply(model: onnx.ModelProto) -> None:
    """Ten functions, each of which calls the one before three times: 59,049 nodes, and the whole three times."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    calls = [helper.make_node("Relu", ["v"], ["w"])]
    for level in range(11):
        model.functions.append(helper.make_function("own", f"F{level}", ["v"], ["w"], calls, opsets))
        names = ["v", "a", "b", "w"]
        calls = [helper.make_node(f"F{level}", [names[n]], [names[n + 1]], domain="own") for n in range(3)]
    model.opset_import.append(helper.make_opsetid("own", 1))
    append(model, helper.make_node("F10", ["zero"], ["x0"], domain="own"), *(
        helper.make_node("F10", [f"x{n}"], [f"x{n + 1}"], domain="own") for n in range(3)
    ))  # fmt: skip


def function_that_calls_itself(model: onnx.ModelProto) -> None:
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    call = helper.make_node("Again", ["v"], ["w"], domain="own")
    model.functions.append(helper.make_function("own", "Again", ["v"], ["w"], [call], opsets))
    model.opset_import.append(helper.make_opsetid("own", 1))


HOSTILE: dict[Hostile, str] = {
    always_true: "operator Loop, which may run for ever",
    many_trips: "operator Loop, which may run for ever",
    inside_a_branch: "operator Loop, which may run for ever",
    inside_a_function: "operator Loop in its function Harmless",
    functions_that_multiply: "functions call each other more than",
    function_that_calls_itself: "functions call each other more than",
}
every_kind = pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)


def spoilt(source: Path, target: Path, make: Hostile) -> Path:
    model = onnx.load(str(source))
    make(model)
    onnx.save(model, str(target))
    return target


def refused(path: Path, kind: str, make: Hostile, use: Callable[[Path], object]) -> None:
    started = time.monotonic()
    with pytest.raises(WeightsError, match=HOSTILE[make]) as caught:
        use(path)
    assert f"cannot use {path} as a" in str(caught.value) and kind in str(caught.value) and caught.value.hint
    assert time.monotonic() - started < SLOW_SECONDS


@every_kind
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_predictor(make: Hostile, backend: str, tmp_path: Path) -> None:
    if backend == "openvino":
        pytest.importorskip("openvino")
    card = card_of()
    plain = write_model(tmp_path / "plain.onnx", card)
    path = spoilt(plain, tmp_path / "model.onnx", make)
    write_card(path, card)
    refused(path, "predictor", make, lambda model: Predictor(model, backend=backend))


@every_kind
def test_upscaler(make: Hostile, tmp_path: Path) -> None:
    path = spoilt(EMBEDDED, tmp_path / "upscaler.onnx", make)
    path.with_suffix(".json").write_text(EMBEDDED.with_suffix(".json").read_text())
    refused(path, "upscaler", make, Upscaler)
    refused(path, "upscaler", make, lambda given: UPSCALERS.create("onnx", scale=3, weights=given))


@every_kind
def test_detector(make: Hostile, assets: Path, tmp_path: Path) -> None:
    path = spoilt(assets / "yolox_nano.onnx", tmp_path / "detector.onnx", make)
    refused(path, "detector", make, OnnxDetector)
    refused(path, "detector", make, lambda given: create_detector("onnx", weights=given))


def test_the_command_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = spoilt(EMBEDDED, tmp_path / "upscaler.onnx", always_true)
    path.with_suffix(".json").write_text(EMBEDDED.with_suffix(".json").read_text())
    video = write_video(tmp_path / "v.mp4", [striped_frame()])
    words = ["--input", video, "--upscaler", path, "--out", tmp_path / "out"]
    monkeypatch.setattr(sys, "argv", ["enhance.py", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        run(enhance.main)
    said = capsys.readouterr().err
    assert ended.value.code == EXIT_USER_ERROR and "operator Loop" in said and " hint: " in said
    assert not (tmp_path / "out").exists()


def test_what_comes_with_the_project_is_not_refused(assets: Path) -> None:
    for path in (EMBEDDED, GENERAL, *assets.glob("*.onnx")):
        require_an_end(path, "model", path)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_to_their_end(data: bytes) -> None:
    require_an_end(data, "model", Path("model.onnx"))


def test_deep_nesting_and_forged_lengths_end() -> None:
    data = b""
    for _ in range(2000):  # a node whose attribute holds a graph with such a node
        attribute = b"\x32" + varint(len(data)) + data
        node = b"\x2a" + varint(len(attribute)) + attribute
        data = b"\x0a" + varint(len(node)) + node
    require_an_end(b"\x3a" + varint(len(data)) + data, "model", Path("model.onnx"))
    require_an_end(b"\x3a" + b"\xff" * 9 + b"\x01" + data[:100], "model", Path("model.onnx"))


def varint(number: int) -> bytes:
    return bytes([*((number >> 7 * place & 0x7F) | 0x80 for place in range(4)), number >> 28])
