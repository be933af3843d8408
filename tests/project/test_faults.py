"""Full and read-only disks, vanished inputs, rivals, Ctrl-C, dead workers, a clock that goes backwards, kills.

Each ends in one clear message, leaves nothing half-written under a final name, and the same command then completes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import deploy.inference.streams as streams
import labeling.labels.label_videos as label_pipeline
from deploy.core.errors import RegenError
from deploy.core.work_folder import hold, work_folder
from deploy.outputs.growing_folder import UNFINISHED
from paddleseg_configs.training.data.loading import load_batches
from paddleseg_configs.training.run import checkpoint
from tests.helpers.deploy_helpers import card_of, striped_frame, write_model
from tests.helpers.deploy_helpers import write_video as write_h264
from tests.helpers.fault_helpers import call, mounted, one_message
from tests.helpers.label_helpers import REPOSITORY, SMALL, crop_clip, run_script, tree_bytes
from tests.helpers.paddle_helpers import ULTRA_LIGHT, run_module, shared_run

LABEL, TRAIN = "labeling.make_labels", "paddleseg_configs.training.train"
EXPORT, INFER = "export.export_onnx", "deploy.trt_infer"
STAGES = ["label", "train", "export", "infer"]


@pytest.fixture(scope="module")
def clip(vtest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crop_clip(vtest, tmp_path_factory.mktemp("clip") / "person.avi")


@pytest.fixture(scope="module")
def material(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What the stages read."""
    folder = tmp_path_factory.mktemp("material")
    dataset, weights = shared_run(tmp_path_factory.getbasetemp())
    frames = [striped_frame(shift=number // 5) for number in range(30)]
    model, video = write_model(folder / "model.onnx", card_of()), write_h264(folder / "video.mp4", frames)
    return {"clip": clip, "dataset": dataset, "weights": weights, "model": model, "video": video}


def command(stage: str, material: dict[str, Path], folder: Path) -> tuple[str, list[object], Path]:
    """Module and arguments of a stage that writes into a folder, and what appears there."""
    trained_from = ["--config", ULTRA_LIGHT, "--dataset", material["dataset"]]
    if stage == "label":
        return LABEL, [material["clip"], *SMALL, "--upscaler", "reference", "--out", folder / "out"], folder / "out"
    if stage == "train":
        schedule = ["--iters", 4, "--batch_size", 2, "--save_interval", 2, "--log_iters", 1, "--do_eval"]
        return TRAIN, [*trained_from, *schedule, "--save_dir", folder / "out"], folder / "out" / "iter_4"
    if stage == "export":
        weights = ["--weights", material["weights"], "--out", folder / "out.onnx", "--frames", 1]
        return EXPORT, [*trained_from, *weights], folder / "out.onnx"
    return INFER, ["--model", material["model"], "--input", material["video"], "--out", folder / "out"], folder / "out"


def is_finished(out: Path) -> bool:
    return out.exists() and not (out / UNFINISHED).exists()


@pytest.mark.parametrize(
    ("stage", "size"),
    [("label", "48k"), ("train", "600k"), ("train", "2600k"), ("export", "64k"), ("export", "1600k"), ("infer", "24k")],
)
def test_full_disk(
    stage: str,
    size: str,
    material: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with mounted(tmp_path / "disk", size) as disk:
        module, arguments, out = command(stage, material, disk.root)
        assert call(monkeypatch, module, *arguments) == 2
        message = one_message(capsys)
        assert "No space left" in message, message
        assert not is_finished(out)
        disk.remount("size=64m")
        assert call(monkeypatch, module, *arguments) == 0
        assert is_finished(out) and not list(disk.root.rglob(".*"))


@pytest.mark.parametrize("stage", STAGES)
def test_read_only_disk(
    stage: str,
    material: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with mounted(tmp_path / "disk", "1m") as disk:
        disk.remount("ro")
        module, arguments, _ = command(stage, material, disk.root)
        assert call(monkeypatch, module, *arguments) == 2
        assert "read-only" in one_message(capsys).lower()


@pytest.mark.parametrize("stage", STAGES)
def test_output_below_a_file(
    stage: str,
    material: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_text("precious")
    module, arguments, _ = command(stage, material, tmp_path / "file")
    assert call(monkeypatch, module, *arguments) == 2
    assert str(tmp_path / "file") in one_message(capsys)
    assert (tmp_path / "file").read_text() == "precious"


def stop_half_way(*values: Any) -> None:
    (values[4].root / "something").touch()
    raise RegenError("no", hint="no")


def rival(stage: str, folder: Path) -> object:
    """What a process holds that does the same."""
    if stage == "label":
        (work,) = folder.glob(".out.partial-*")
        return hold(work / "lock")
    if stage == "train":
        return hold(folder / "out" / ".lock")
    return work_folder(folder / ("out.onnx" if stage == "export" else "out"))


@pytest.mark.parametrize("stage", STAGES)
def test_a_second_process_is_refused(
    stage: str,
    material: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    module, arguments, out = command(stage, material, tmp_path)
    if stage == "label":  # a run that stops at once leaves the folder whose name is the job's
        with monkeypatch.context() as patch:
            patch.setattr(label_pipeline, "label_here", stop_half_way)
            assert call(monkeypatch, module, *arguments) == 2
        capsys.readouterr()
    with rival(stage, tmp_path):  # type: ignore[attr-defined]
        assert call(monkeypatch, module, *arguments) == 2
        assert "another process is working on" in one_message(capsys)
        assert not out.exists()
    assert call(monkeypatch, module, *arguments) == 0 and out.exists()


def test_two_at_the_same_time(material: dict[str, Path], tmp_path: Path) -> None:
    """One makes the results; the other is refused, whether it meets the first one at work or its results."""
    _, arguments, out = command("infer", material, tmp_path)
    start = [sys.executable, "deploy/trt_infer.py", *map(str, arguments)]
    both = [subprocess.Popen(start, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 2], said
    assert json.loads((out / "latency.json").read_text())["num_frames"] == 30
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_video_that_vanishes(
    material: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original, copy = label_pipeline.label_here, tmp_path / "copy.avi"
    copy.write_bytes(material["clip"].read_bytes())
    module, arguments, out = command("label", {**material, "clip": copy}, tmp_path)

    def gone(*values: object) -> None:
        copy.unlink()
        original(*values)

    with monkeypatch.context() as patch:
        patch.setattr(label_pipeline, "label_here", gone)
        assert call(monkeypatch, module, *arguments) == 2
    assert "video not found" in one_message(capsys) and not out.exists()
    copy.write_bytes(material["clip"].read_bytes())
    assert call(monkeypatch, module, *arguments) == 0 and out.exists()


def test_a_frame_that_vanishes_while_training(
    material: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module, arguments, out = command("train", material, tmp_path)
    images = material["dataset"] / "origin_images"
    original = checkpoint.prune

    def gone(save_dir: Path, keep: int) -> None:
        original(save_dir, keep)
        images.rename(images.with_name("elsewhere"))

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "prune", gone)
        assert call(monkeypatch, module, *arguments) == 2
    assert "image not found" in one_message(capsys) and not out.exists()
    images.with_name("elsewhere").rename(images)
    assert call(monkeypatch, module, *arguments) == 0 and out.exists()
    assert f"resuming from {out.with_name('iter_1')}" in capsys.readouterr().out


def test_an_image_that_vanishes(
    material: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "images").mkdir()
    for number in range(3):
        Image.fromarray(striped_frame(shift=number)).save(tmp_path / "images" / f"{number}.png")
    module, arguments, out = command("infer", {**material, "video": tmp_path / "images"}, tmp_path)
    original = streams.open_source

    def gone(*values: object) -> object:
        source = original(*values)  # type: ignore[arg-type]
        (tmp_path / "images" / "2.png").unlink()
        return source

    with monkeypatch.context() as patch:
        patch.setattr(streams, "open_source", gone)
        assert call(monkeypatch, module, *arguments) == 2
    assert "image not found" in one_message(capsys)
    assert len((out / "blocks.jsonl").read_text().splitlines()) == 1 and not is_finished(out), "the first image is done"
    Image.fromarray(striped_frame()).save(tmp_path / "images" / "2.png")
    assert call(monkeypatch, module, *arguments) == 0 and is_finished(out)
    assert len((out / "blocks.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("stage", "started"), [("label", ".out.partial-*/frames/*/*.npz"), ("infer", "out/blocks.jsonl")]
)
def test_ctrl_c(stage: str, started: str, material: dict[str, Path], tmp_path: Path) -> None:
    frames = [striped_frame(shift=number) for number in range(3000)]
    long = write_h264(tmp_path / "long.mp4", frames) if stage == "infer" else material["video"]
    module, arguments, out = command(stage, {**material, "video": long}, tmp_path)
    start = [sys.executable, "-m", module, *map(str, arguments)]
    process = subprocess.Popen(start, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(started)) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "interrupted: " in said and "Traceback" not in said, said
    assert not is_finished(out)
    assert run_module(module, *arguments).returncode == 0 and is_finished(out)
    assert not list(tmp_path.rglob(".*"))


class _Deadly:
    """Samples; the process that loads number 3 dies."""

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        if index == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return np.zeros((3, 2, 2), np.float32), np.zeros((2, 2), np.int64)


def test_a_loading_process_that_dies() -> None:
    batches = load_batches(_Deadly(), [[0, 1], [2, 3], [4, 5]], num_workers=2)
    with pytest.raises(RegenError, match="a frame-loading process died"):
        list(batches)


_BACKWARDS = """
import itertools, sys, time
print("the clock goes backwards", file=sys.stderr)
_hours = itertools.count()
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() - 3600 * next(_hours)
time.time_ns = lambda: _time_ns() - 3600 * 10**9 * next(_hours)
"""


@pytest.mark.parametrize("stage", ["label", "train", "infer"])
def test_a_clock_that_goes_backwards(
    stage: str, material: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look at the clock finds it an hour earlier; results are those of a clock that goes on."""
    made = []
    for name in ("onwards", "backwards"):
        (tmp_path / name).mkdir()
        module, arguments, out = command(stage, material, tmp_path / name)
        if name == "backwards":
            (tmp_path / "sitecustomize.py").write_text(_BACKWARDS)
            monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{REPOSITORY}")
        ended = run_module(module, *arguments)
        assert ended.returncode == 0 and "Traceback" not in ended.stderr, ended.stderr
        assert ("the clock goes backwards" in ended.stderr) == (name == "backwards")
        made.append({file: data for file, data in tree_bytes(out).items() if file != "latency.json"})
    assert made[0] == made[1] and made[0]


def test_what_killed_writers_left_is_no_part_of_a_dataset(
    material: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = label_pipeline.assemble_dataset

    def after_a_kill(*values: object, **named: object) -> None:
        for folder in (tmp_path.glob(".out.partial-*/dataset/origin_images/person"), tmp_path.glob(".out.partial-*")):
            (next(folder) / ".tmp-half.png").write_bytes(b"half")
        original(*values, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(label_pipeline, "assemble_dataset", after_a_kill)
    module, arguments, out = command("label", material, tmp_path)
    assert call(monkeypatch, module, *arguments) == 0
    assert out.exists() and not list(tmp_path.rglob(".*"))


def test_killing_at_random_instants(vtest: Path, tmp_path: Path) -> None:
    """A short run of the driver, which `make faults` runs for longer."""
    report = tmp_path / "faults.json"
    options = ["--kills", 2, "--seed", 3, "--stages", "label", "--frames", 12, "--json", report, "--video", vtest]
    preload = ["labeling.labels.label_videos", "labeling.labels.labeller", "labeling.detectors.hog"]
    ended = run_script("benchmarks/faults.py", *options, "--preload", *preload)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    record = json.loads(report.read_text())
    assert record["total"]["kills"] == 2 and record["total"]["equal"] == record["total"]["trials"] > 0
    assert record["stages"]["label"]["most_frames_done_again"] <= 1
