"""OpenVINO: the same answers as ONNX Runtime, its precision stated, its crashes kept out of this process."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest

from deploy.backends import openvino_backend
from deploy.backends.onnxruntime_backend import OnnxRuntimeBackend
from deploy.backends.openvino_backend import OpenVinoBackend
from deploy.cards.model_card import card_path
from deploy.core.errors import DeviceError, WeightsError
from deploy.prediction.predictor import Predictor
from deploy.prediction.preprocess import to_input
from tests.helpers.deploy_helpers import card_of, striped_frame, write_model

HAS_BF16 = "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
CHANGES: dict[str, dict[str, Any]] = {
    "input name": {"input_name": "image"},
    "output name": {"output_name": "scores"},
    "levels": {"level_values": (0.1, 0.9)},
    "kind": {"output_kind": "importance"},
}


@pytest.mark.parametrize("dynamic_batch", [True, False])
@pytest.mark.parametrize("threads", [1, 2])
def test_equals_onnx_runtime(tmp_path: Path, dynamic_batch: bool, threads: int) -> None:
    card = card_of(dynamic_batch=dynamic_batch)
    model = write_model(tmp_path / "m.onnx", card)
    batch = np.concatenate([to_input(striped_frame(shift=shift), card) for shift in range(3)])
    with OpenVinoBackend(model=model, card=card, threads=threads) as backend:
        assert backend.description.endswith(f"(CPU, {threads} thread{'s'[: threads - 1]}, fp32, hint f32)")
        result = backend.run(batch)
        kept = result.copy()
        backend.run(batch[::-1])
    np.testing.assert_array_equal(result, kept)
    with OnnxRuntimeBackend(model=model, card=card) as other:
        np.testing.assert_allclose(result, other.run(batch), rtol=1e-4, atol=1e-3)


def test_through_the_predictor_it_says_its_precision(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.onnx", card_of())
    with Predictor(model, backend="openvino") as predictor:
        np.testing.assert_array_equal(predictor(striped_frame()).levels, [[0, 0, 1, 2, 2]] * 3)
        assert predictor.backend.precision == "fp32"
    predictor.close()
    with pytest.raises(DeviceError, match="is closed"):
        predictor(striped_frame())


@pytest.mark.skipif(not HAS_BF16, reason="this CPU has no bf16")
def test_bf16_must_be_asked_for_and_is_said(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.onnx", card_of())
    with Predictor(model, backend="openvino-bf16") as predictor:
        assert predictor.backend.precision == "bf16"
        assert "bf16, hint bf16" in predictor.backend_report


def test_another_precision_than_asked_for_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = write_model(tmp_path / "m.onnx", card_of())
    compiled = openvino_backend._compile(model, 1, "f32")
    monkeypatch.setattr(openvino_backend, "_compile", lambda *_: compiled)
    with pytest.raises(DeviceError, match="computes in f32 on this machine, not in bf16"):
        OpenVinoBackend(model=model, card=card_of(), variant="bf16")


@pytest.mark.parametrize("what", CHANGES)
def test_refuses_a_model_that_does_not_fit_its_card(tmp_path: Path, what: str) -> None:
    model = write_model(tmp_path / "m.onnx", card_of())
    card_path(model).write_text(replace(card_of(), **CHANGES[what]).to_json())
    with pytest.raises(WeightsError, match="does not match its card"):
        Predictor(model, backend="openvino")


def test_refuses_a_broken_file(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.onnx", card_of())
    model.write_bytes(model.read_bytes()[:100])
    with pytest.raises(WeightsError, match="OpenVINO cannot load"):
        Predictor(model, backend="openvino")


@pytest.mark.parametrize("outcome", [-11, None])
def test_a_file_that_crashes_openvino_is_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: int | None
) -> None:
    def fake_run(*_arguments: Any, **_options: Any) -> Any:
        if outcome is None:
            raise subprocess.TimeoutExpired([], 1)
        return subprocess.CompletedProcess([], outcome)

    model = write_model(tmp_path / "m.onnx", card_of(precision="int8-cpu"))
    with Predictor(model, backend="openvino") as predictor:
        assert predictor.backend.precision == "int8"
    monkeypatch.setattr(subprocess, "run", fake_run)
    with pytest.raises(WeightsError, match=r"code -11|did not finish") as caught:
        Predictor(model, backend="openvino")
    assert "--backend onnxruntime" in caught.value.hint
