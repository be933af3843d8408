"""The deployment benchmarks' own arithmetic: multiply-adds, what a backend gets right, the page, reuse rules."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from deploy.backends.onnxruntime_backend import OnnxRuntimeBackend
from deploy.prediction.postprocess import read_output
from deploy.prediction.predictor import Predictor
from deploy.prediction.preprocess import to_batch
from deploy.prediction.reuse import ReuseRule
from paddleseg_configs.ladder.macs import count_macs
from tests.helpers.deploy_helpers import card_of, striped_frame, write_model
from tests.helpers.label_helpers import REPOSITORY

sys.path.append(str(REPOSITORY / "benchmarks"))
import cpu_deploy
import processor_peaks
import temporal_reuse


def small_network(path: Path) -> Path:
    """Conv 3x3 of stride 2, a depthwise Conv, a transposed one, and a product."""
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 8, 12])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4, 8, 5])
    shapes = {"a": (4, 3, 3, 3), "b": (4, 1, 3, 3), "c": (4, 4, 2, 2), "d": (12, 5)}
    weights = [numpy_helper.from_array(np.zeros(shape, np.float32), name) for name, shape in shapes.items()]
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["p"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["p", "b"], ["q"], group=4, pads=[1, 1, 1, 1]),
        helper.make_node("ConvTranspose", ["q", "c"], ["r"], strides=[2, 2]),
        helper.make_node("MatMul", ["r", "d"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "small", [given], [result], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))
    return path


def test_multiply_adds(tmp_path: Path) -> None:
    first, depthwise = 4 * 4 * 6 * 3 * 9, 4 * 4 * 6 * 9
    transposed, product = 4 * 4 * 6 * 4 * 4, 4 * 8 * 12 * 5
    assert count_macs(small_network(tmp_path / "m.onnx")) == first + depthwise + transposed + product


def test_peaks_are_measured_for_each_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor_peaks, "SIDES", (64, 96))
    peaks = processor_peaks.measure_peaks(0.05)
    assert set(peaks) == {"fp32", "bf16", "int8"}
    assert all(0.01 < rate < 1e6 for rate in peaks.values())


def test_correctness_sees_a_wrong_backend(tmp_path: Path) -> None:
    card = card_of()
    model = write_model(tmp_path / "m.onnx", card)
    frames = np.array([striped_frame(shift=shift) for shift in range(3)])
    with OnnxRuntimeBackend(model=model, card=card, threads=1) as backend:
        outputs = [read_output(backend.run(to_batch(frame, card))[0], card) for frame in frames]
        reference = {
            "frames": frames,
            "labels": np.array([levels for _, levels in outputs]),
            "importance": np.array([importance for importance, _ in outputs]),
            "levels": np.array([levels for _, levels in outputs]),
        }
        entry: Any = cpu_deploy.Timed(card, model, "logits", backend, to_batch(frames[0], card))
        assert cpu_deploy.correctness(entry, reference) == (1, 1, 1)
        reference["frames"] = frames[::-1]
        agreement, recall, paddle_recall = cpu_deploy.correctness(entry, reference)
    assert agreement < 1
    assert recall < paddle_recall == 1


def test_the_report_is_written_as_it_grows(tmp_path: Path) -> None:
    options = cpu_deploy.CpuOptions(dataset=tmp_path, json=tmp_path / "r.json", page=tmp_path / "r.md", threads=(1,))
    report = cpu_deploy.Report(options)
    report._peaks["fp32"] = 100.0
    names = (
        "p50_ms",
        "p95_ms",
        "pre_ms",
        "post_ms",
        "label_agreement",
        "recall_top20",
        "recall_top20_paddle",
        "speedup",
    )
    row = {**dict.fromkeys(names, 1), "ends": "graph", "backend": "onnxruntime"}
    report.rows.append(
        {
            **row,
            "model": "tiny",
            "precision": "fp32",
            "threads": 1,
            "min_ms": 20.0,
            "cpu_ms": 20.0,
            "gmac": 0.5,
            "trained": False,
        }
    )
    report.left_out.append({"model": "enet", "reason": "unpool"})
    report.write()
    assert report.as_json()["rows"][0]["fraction_of_peak"] == 0.5
    page = (tmp_path / "r.md").read_text()
    assert "| tiny † | graph | onnxruntime | fp32 | 1 |" in page
    assert "Left out: `enet`: unpool" in page
    assert (tmp_path / "r.json").is_file()


def test_replay_reuses_as_the_rule_says(tmp_path: Path) -> None:
    with Predictor(write_model(tmp_path / "m.onnx", card_of())) as predictor:
        replay = temporal_reuse.Replay(predictor, ReuseRule(every=3))
        found = [replay(striped_frame(shift=shift)).levels[0, 0] for shift in range(5)]
        fresh = [predictor(striped_frame(shift=shift)).levels[0, 0] for shift in range(5)]
    assert replay.num_predicted == 2
    assert found == [fresh[0], fresh[0], fresh[0], fresh[3], fresh[3]]
