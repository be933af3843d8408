"""The deployment benchmarks' own arithmetic: multiply-adds, what a backend gets right, the page, reuse rules, clips."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from deploy.backends.onnxruntime_backend import OnnxRuntimeBackend
from deploy.core.errors import InputError, OptionError, RegenError
from deploy.prediction.postprocess import read_output
from deploy.prediction.predictor import Predictor
from deploy.prediction.preprocess import to_batch
from deploy.prediction.reuse import ReuseRule
from paddleseg_configs.ladder.macs import count_macs
from tests.helpers.deploy_helpers import card_of, striped_frame, write_model
from tests.helpers.label_helpers import REPOSITORY

sys.path.append(str(REPOSITORY / "benchmarks"))
import clip_rankings
import clips
import cpu_deploy
import fine_tuning
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


def clip_entry(clip: str, whole: float, *gains: float, **known: Any) -> dict[str, Any]:
    """What `benchmarks/clips.py` keeps of a clip: gain of the whole frame and of its ways."""
    ways = zip((clips.WHOLE, *clips.WAYS), (whole, *gains), strict=False)
    rows = [
        {
            "way": way,
            "f1": 0.5 + gain,
            "gain": gain,
            "gain_low": gain - 0.01,
            "gain_high": gain + 0.01,
            "milliseconds": 100 * whole,
        }
        for way, gain in ways
    ]
    return {
        "clip": clip,
        "detector": "d",
        "role": "test",
        "lr": "none",
        "worth_it": False,
        "verdict": "v",
        "rows": rows,
    } | known


def test_recovery_is_of_sums_and_resamples_clips() -> None:
    one, other = clip_entry("a", 0.1, 0.05, 0.1, 0.0), clip_entry("b", 0.3, 0.25, 0.3, 0.0)
    assert clips.recovery([one], clips.WAYS[0]) == "50%", "of one clip there is no interval"
    assert clips.recovery([one, other], clips.WAYS[0]) == "75% (50% to 83%)", "0.3 of 0.4"
    again = clip_entry("a", 0.1, 0.05, detector="e")
    assert clips.recovery([one, again], clips.WAYS[0]) == "50%", "two detectors on a clip are one clip"
    assert clips.recovery([one], clips.WAYS[3]) == clips.recovery([], clips.WAYS[0]) == "-", "not tried"


def test_clips_that_do_not_gain_are_listed_apart() -> None:
    entries = [
        clip_entry("small", 0.029, 0.02, 0.02, 0.02, 0.02),
        clip_entry("large", 0.1, 0.05, 0.1, 0.02, 0.08),
        clip_entry("learnt", 0.2, 0.1, 0.1, 0.1, 0.1, role="train", detector="e"),
        {**clip_entry("blind", 0.5), "worth_it": None, "verdict": "cannot be said", "rows": []},
    ]
    tables = {table.title: table for table in clips.tables_of(entries)}
    ways = clips.measured_ways(entries)
    none = ("-",) * len(ways)
    large, learnt = ("50%", "100%", "20%", "80%", *none[4:]), ("50%",) * 4 + none[4:]
    assert tables["Recovery"].rows == (
        ("test", "none", "d", "1", *large),
        ("test", "none", "d, e", "1", *large),
        ("train", "none", "e", "1", *learnt),
        ("train", "none", "d, e", "1", *learnt),
    ), "roles are never pooled"
    assert tables["Gain of the whole frame"].rows[0] == (
        *("test", "none", "d", "2", "0.500", "0.565", "+6.5", "+2.9 to +10.0", "2 of 2"),
    ), "those that gain little count, too"
    assert tables["Clips"].rows[1:] == (
        ("large", "test", "none", "d", "+10.0", "+9.0 to +11.0", *large),
        ("small", "test", "none", "d", "+2.9", "+1.9 to +3.9", "not worth it", *[""] * (len(ways) - 1)),
    )
    assert tables["Clips of which nothing can be said"].rows == (("blind", "none", "d", "cannot be said"),)
    assert tables["Milliseconds a frame, detector included"].rows[0] == (clips.WHOLE, "6", "20")


def test_other_upscalers_are_compared_on_the_same_clips() -> None:
    """They count in no other table, and clips without a pair in none."""
    entries = [clip_entry("a", 0.1), clip_entry("b", 0.3)]
    earlier = [clip_entry("a", 0.02, earlier="old"), clip_entry("c", 0.1, earlier="old")]
    tables = {table.title: table for table in clips.tables_of([*entries, *earlier])}
    assert tables["Upscalers"].rows == (
        ("test", "none", "d", "old", "0.500", "0.520", "+2.0", "+2.0 to +2.0", "1 of 1", "+8.0 (+8.0 to +8.0)"),
    )
    assert tables["Gain of the whole frame"].rows == clips.tables_of(entries)[0].rows
    assert "Upscalers" not in {table.title for table in clips.tables_of(entries)}


def test_time_to_a_share_of_the_gain() -> None:
    """Half of the gain lies halfway between two budgets; what one clip gains early counts for the mean."""
    gains = {clips.NOTHING: (0.0, 10), "top 10% by predictor": (0.04, 30), "top 20% by predictor": (0.08, 50)}
    rows = [
        {"way": way, "gain": gain, "milliseconds": ms}
        for way, (gain, ms) in (gains | {clips.WHOLE: (0.1, 200)}).items()
    ]
    assert clips.time_to_gain([{"rows": rows}]) == ["200", "35 (5.71x)", "48 (4.21x)", "125 (1.60x)"]


def test_differences_between_ways() -> None:
    one, other = clip_entry("a", 0.1, 0.05, 0.1, 0.0), clip_entry("b", 0.3, 0.28, 0.2, 0.0)
    assert clips.difference([one], *clips.WAYS[:2]) == "-5.0"
    assert clips.difference([one, other], *clips.WAYS[:2]) == "+1.5 (-5.0 to +8.0)"
    assert clips.difference([one], clips.WHOLE, clips.LABEL) == "-"


def test_rankings_of_clips(vtest: Path) -> None:
    """Every way gets its share of the blocks."""
    worth = clips.WorthOptions(video=vtest, detector=Path("hog"), height=64, frames=2)
    with clips.EnhancerEngine(None, None) as engine:
        choose = partial(clips._chosen, "labels", worth, engine)
        answer = clips.find_out(worth, engine, clips.open_any_detector, choose=choose)
        few = clips.find_out(
            worth, engine, clips.open_any_detector, choose=partial(clips._chosen, "whole", worth, None)
        )
    ways = [row.way for row in answer.verdict.rows]
    assert {clips.WHOLE, *clips.WAYS} <= set(ways)
    assert [row.way for row in few.verdict.rows] == ["nothing (interpolated)", clips.WHOLE, clips.SHOWN]


def test_regions_are_chosen_by_what_they_add() -> None:
    """The first three regions of four; two of them gain nothing without each other, so only one comes early."""
    regions = [np.arange(4).reshape(1, 4) == number for number in range(4)]
    worth = {(): 0.0, (0,): 0.1, (1,): 0.4, (2,): 0.3, (3,): -0.2, (0, 1): 0.45, (1, 2): 0.4, (0, 1, 2): 0.6}
    looked: list[tuple[int, ...]] = []

    def value(chosen: NDArray[np.bool_]) -> float:
        looked.append(tuple(np.flatnonzero(chosen).tolist()))
        return worth[looked[-1]]

    ranking = clip_rankings._greedy(regions, value, 2)
    assert np.argsort(-ranking[0]).tolist() == [1, 0, 2, 3]
    assert looked == [(), (0,), (1,), (2,), (3,), (1,), (1, 2), (0, 1), (0, 1)]


def test_fine_tuning_uses_the_first_half_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vtest: Path) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], **_: Any) -> Any:
        commands.append(command[1:])
        return SimpleNamespace(returncode=int(command[1] == "-m"), stderr="boom")

    monkeypatch.setattr(fine_tuning.subprocess, "run", run)
    worth = clips.WorthOptions(video=vtest, detector=Path("hog"), frames=2)
    with pytest.raises(RegenError, match="-m failed: boom"):
        fine_tuning.fine_tune(worth, 100, 3, tmp_path)
    label, train = commands
    assert label[label.index("--stop-seconds") + 1] == "39.7" and fine_tuning.half_seconds(vtest) == 39.7
    assert label[label.index("--height") + 1] == "192" and train[train.index("--iters") + 1] == "100"


def test_lists_of_clips_and_detectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = tmp_path / "clips.yml"
    listed.write_text("- {path: a/b.mp4, role: test, source: x/y, license: MIT}\n")
    assert clips.read_clips(listed) == [
        {"path": str(tmp_path / "a" / "b.mp4"), "role": "test", "source": "x/y", "license": "MIT"}
    ]
    for text in ("", "[]", "- 3", "- {path: a.mp4}", "- {", 2 * listed.read_text()):
        listed.write_text(text)
        with pytest.raises(InputError, match="cannot read clips"):
            clips.read_clips(listed)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.mp4").write_bytes(b"1")
    listed.write_text(f"- {{path: a/b.mp4, role: test, source: x/y, license: MIT, sha256: {'0' * 64}}}\n")
    with pytest.raises(InputError, match="is not the file"):
        clips.read_clips(listed)
    monkeypatch.setenv("REGEN_ASSETS", str(tmp_path))
    known = clips.read_clips(None)
    assert len(known) == 20 and {clip["role"] for clip in known} == {"train", "test"}
    assert known[0]["path"] == str(tmp_path / "clips" / "train" / "carnd_project_cut.mp4")
    assert clips.parse_detectors(["y=f/y.onnx@960x544", "c=centernet"]) == {
        "y": (Path("f/y.onnx"), "960x544"),
        "c": (Path("centernet"), None),
    }
    for wrong in (["y.onnx"], ["y=a.onnx@960"], ["y=a.onnx", "y=b.onnx"], ["a/b=c.onnx"], []):
        with pytest.raises(OptionError, match="detectors="):
            clips.parse_detectors(wrong)


def test_a_clip_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from deploy.worth_it.verdict import Row, Verdict

    asked: list[str] = []

    def find_out(options: Any, *_: Any, **__: Any) -> Any:
        asked.append(options.video.name)
        if options.video.name == "broken.mp4":
            raise InputError(f"cannot read {options.video}", hint="")
        rows = tuple(Row(way, None, 1, 1, 1, 0, 0, 0, 5) for way in (clips.WHOLE, "detector at 8x4, interpolated"))
        return SimpleNamespace(verdict=Verdict("not worth it", False, rows))

    monkeypatch.setattr(clips, "find_out", find_out)
    listed = tmp_path / "c.yml"
    listed.write_text("".join(f"- {{path: {n}.mp4, role: test, source: s, license: l}}\n" for n in ("good", "broken")))
    (tmp_path / "good.mp4").write_bytes(b"1")
    options = clips.ClipsOptions(detectors=("d=d.onnx",), clips=listed, out=tmp_path / "out")
    first, second = clips.measure(options), clips.measure(options)
    coded = clips.measure(replace(options, lr_codecs=("h264:crf30",)))
    assert coded[0]["lr"] == "h264:crf30" and (options.out / "good-d-h264-crf30.json").is_file()
    (options.out / "good-d-h264-crf30.json").unlink()
    del asked[-2:]
    assert first == second and asked == ["good.mp4", "broken.mp4", "broken.mp4"], "what failed is tried again"
    assert [path.name for path in options.out.glob("*.json")] == ["good-d.json"]
    assert first[0]["rows"][1]["way"] == "detector input x 1.25, interpolated"
    assert first[1]["verdict"] == "left out: cannot read broken.mp4"
    assert clips.measure(replace(options, roles=("test",))) == first
    with pytest.raises(OptionError, match="roles=train"):
        clips.measure(replace(options, roles=("train",)))
    with pytest.raises(InputError, match=r"good-d\.json was measured with another frames"):
        clips.measure(replace(options, frames=3))
    (tmp_path / "good.mp4").write_bytes(b"2")
    with pytest.raises(InputError, match="measured with another clip"):
        clips.measure(options)
