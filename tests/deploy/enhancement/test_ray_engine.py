"""Enhancing on a Ray cluster: a killed worker's input goes on elsewhere, and nothing reported done is lost."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from deploy import enhance, read_frames
from deploy.outputs.growing_folder import UNFINISHED
from tests.helpers.deploy_helpers import card_of, striped_frame, write_model, write_video
from tests.helpers.label_helpers import REPOSITORY

pytestmark = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install ray")


def test_a_killed_worker_costs_an_open_segment(tmp_path: Path) -> None:
    """Two workers, an input each; one is killed with segments closed. What comes out is as if nothing had happened."""
    model = write_model(tmp_path / "model.onnx", card_of())
    inputs = [
        write_video(tmp_path / f"{name}.mp4", [striped_frame(96, 160, start + n) for n in range(75)])
        for start, name in enumerate(("a", "b"))
    ]
    given = ["--predictor", model, "--input", *inputs, "--segment-seconds", 0.4, "--threads", 1, "--budget", "200/s"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}

    def start(out: Path) -> subprocess.Popen[str]:
        words = [sys.executable, enhance.__file__, *map(str, given), "--out", str(out), "--engine", "ray"]
        return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    process = start(tmp_path / "out")
    worker = worker_with_segments(process, tmp_path / "out")
    closed = {path: path.stat().st_mtime_ns for path in tmp_path.glob("out/*/enhanced-00000[0]*.mp4")}
    worker.kill()
    said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert closed and {path: path.stat().st_mtime_ns for path in closed} == closed
    for stream in ("stream-00-a", "stream-01-b"):
        folder = tmp_path / "out" / stream
        lines = (folder / "blocks.jsonl").read_text().splitlines()
        assert [json.loads(line)["index"] for line in lines[1:]] == list(range(75))
        assert len(list(folder.glob("enhanced-*.mp4"))) == 8 and not (folder / UNFINISHED).exists()
        assert sum(len(list(read_frames(path))) for path in folder.glob("enhanced-*.mp4")) == 75
    report = json.loads((tmp_path / "out" / "latency.json").read_text())
    assert len(report["inputs"]) == 2 and not (tmp_path / "out" / UNFINISHED).exists()


def worker_with_segments(process: subprocess.Popen[str], out: Path) -> psutil.Process:
    """A worker, as soon as a segment of each input is closed."""
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and process.poll() is None:
        if len(list(out.glob("*/enhanced-000001.mp4"))) == 2:
            for child in psutil.Process(process.pid).children(recursive=True):
                if "_enhance_part" in child.name() or "_enhance_part" in " ".join(child.cmdline()):
                    return child
        time.sleep(0.02)
    process.kill()
    pytest.fail(f"no worker had closed a segment: {process.communicate()}")
