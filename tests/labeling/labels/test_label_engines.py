"""Labeling on a Ray cluster equals labeling here, also when a worker is killed; previews while it runs."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

import labeling.labels.label_videos as pipeline
from deploy.core.errors import OptionError
from labeling.labels.options import LabelOptions
from tests.helpers.label_helpers import REPOSITORY, SMALL, crop_clip, run_script, tree_bytes

RAY = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install ray")


@pytest.fixture(scope="module")
def clips(vtest: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two videos, a task each."""
    folder = tmp_path_factory.mktemp("clips")
    return [crop_clip(vtest, folder / f"{start}.avi", 24, start) for start in (0, 20)]


def options(clips: list[Path], out: Path, **changes: object) -> LabelOptions:
    values = {"height": 80, "gap_seconds": 0.2, "upscaler": "reference", "device": "cpu"}
    return LabelOptions(videos=tuple(clips), out=out, **(values | changes))


@pytest.fixture(scope="module")
def local(clips: list[Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("local") / "dataset"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    pipeline.label_videos(options(clips, out))
    torch.set_num_threads(threads)
    return tree_bytes(out)


@RAY
def test_a_killed_worker_costs_only_unfinished_frames(
    clips: list[Path], local: dict[str, bytes], tmp_path: Path
) -> None:
    """Two workers; one is killed with frames half done. The dataset equals the local one byte for byte."""
    out = tmp_path / "dataset"
    command = [sys.executable, str(REPOSITORY / "labeling/make_labels.py"), *map(str, clips), "--out", str(out)]
    process = subprocess.Popen(
        [*command, *SMALL, "--upscaler", "reference", "--device", "cpu", "--engine", "ray"],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    worker = first_worker_with_frames(process, tmp_path)
    done_before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("frames/*/*.npz")}
    worker.kill()
    output, errors = process.communicate(timeout=400)
    assert process.returncode == 0, output + errors
    assert done_before and tree_bytes(out) == local
    assert not list(tmp_path.glob(".dataset.partial-*"))


def first_worker_with_frames(process: subprocess.Popen[str], folder: Path) -> psutil.Process:
    """A worker, as soon as some frames are done."""
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline and process.poll() is None:
        if len(list(folder.rglob("frames/*/*.npz"))) >= 3:
            for child in psutil.Process(process.pid).children(recursive=True):
                if "_label_run" in child.name() or "_label_run" in " ".join(child.cmdline()):
                    return child
        time.sleep(0.02)
    process.kill()
    pytest.fail(f"no worker had labeled a frame: {process.communicate()}")


def test_bad_engines(clips: list[Path], tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="divides the work itself"):
        options(clips, tmp_path / "out", engine="ray", shard="1/2")
    wrong = run_script("labeling/make_labels.py", clips[0], "--out", tmp_path / "out", "--engine", "slurm")
    assert wrong.returncode == 2 and "engine" in wrong.stderr


def test_previews_are_there_while_it_runs(clips: list[Path], local: dict[str, bytes], tmp_path: Path) -> None:
    seen: list[set[str]] = []
    store = pipeline.WorkFolder.store_frame

    def spy(work: object, *arguments: object) -> None:
        seen.append({path.name for path in (tmp_path / "dataset-preview").rglob("*.png")})
        store(work, *arguments)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline.WorkFolder, "store_frame", spy)
        pipeline.label_videos(options(clips, tmp_path / "dataset", preview=10))
    assert seen[0] == {"000000.png"} and len(seen[-1]) > 1, "written at the end only"
    assert tree_bytes(tmp_path / "dataset") == local, "looking changed the labels"
    pictures = sorted((tmp_path / "dataset-preview" / "0").glob("*.png"))
    assert [path.name for path in pictures][:2] == ["000000.png", "000010.png"]
    picture = np.asarray(Image.open(pictures[0]))
    assert picture.shape == (16 + 80 * 4 + 22, 3 * 100 * 4, 3)
    frame, overlay, levels = np.split(picture[16:-22], 3, axis=1)
    label = np.asarray(Image.open(tmp_path / "dataset" / "origin_images" / "0" / "000000.png"))
    assert np.array_equal(frame[::4, ::4], label) and not np.array_equal(frame, overlay)
    assert len(np.unique(levels.reshape(-1, 3), axis=0)) <= 10


def test_the_gpu_benchmark_runs_on_a_cpu_and_says_when_there_is_no_gpu(vtest: Path, tmp_path: Path) -> None:
    out = tmp_path / "table.md"
    common = (vtest, "--detectors", "efficientdet-d0", "--height", "48", "--batches", "1", "2", "--seconds", "0.1")
    done = run_script("benchmarks/label_gpu.py", *common, "--device", "cpu", "--out", out)
    assert done.returncode == 0, done.stderr
    rows = [line.split("|") for line in out.read_text().splitlines() if line.startswith("| efficientdet-d0")]
    assert [(row[2].strip(), row[3].strip()) for row in rows] == [
        ("float32", "1"), ("float32", "2"), ("bfloat16", "1"), ("bfloat16", "2"),
    ]  # fmt: skip
    assert all(float(row[4]) > 0 and float(row[5]) > 1 for row in rows)
    if not torch.cuda.is_available():
        refused = run_script("benchmarks/label_gpu.py", *common)
        assert refused.returncode == 2 and "finds no GPU" in refused.stderr
