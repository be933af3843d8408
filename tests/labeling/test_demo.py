"""The whole chain of the demo on a few frames and steps, from a clip to a page in a browser."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from deploy.cards.model_card import read_card
from labeling.dataset.manifest import read_manifest
from labeling.utility.record import read_utility
from tests.helpers.label_helpers import REPOSITORY, crop_clip

MODEL = "mobileseg_mobilenetv3_small_x035"


@pytest.fixture(scope="module")
def clip(vtest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crop_clip(vtest, tmp_path_factory.mktemp("clip") / "person.avi", count=120)


def run_demo(clip: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "labeling.demo", "--video", clip, "--out", out]
    settings = ["--frames", "40", "--iters", "6", "--evaluate-frames", "2"]
    return subprocess.run([*command, *settings], cwd=REPOSITORY, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def finished(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("demo") / "run"
    result = run_demo(clip, out)
    assert result.returncode == 0, result.stdout + result.stderr
    return out, result.stdout


def test_prints_every_command_before_it_runs_it(finished: tuple[Path, str]) -> None:
    _, printed = finished
    assert printed.startswith("\n[zero-shot] python deploy/trt_infer.py --input")
    printed = printed.split("[labels]", 1)[1]
    scripts = (
        "labeling/make_labels.py",
        "-m paddleseg.tools.train",
        "export/export_onnx.py",
        "deploy/trt_infer.py",
        "deploy/enhance.py",
        "labeling/evaluate_utility.py",
        "labeling/make_report.py",
    )
    positions = [printed.index(f"python {script}") for script in scripts]
    assert positions == sorted(positions)


def test_files_of_every_stage_agree(finished: tuple[Path, str]) -> None:
    out, _ = finished
    manifest, card, utility = (
        read_manifest(out / "dataset"),
        read_card(out / "model.onnx"),
        read_utility(out / "utility.json"),
    )
    assert card.grid == manifest.make_grid() and card.num_levels == manifest.num_levels == 10
    assert card.parity["label_agreement"] >= 0.999
    with np.load(out / "predictions" / "importance.npz") as maps:
        assert maps["importance"].shape == (40, manifest.grid.rows, manifest.grid.cols)
        np.testing.assert_allclose(maps["pts_numerator"] / maps["pts_denominator"], maps["frame_index"] / 10)
    methods = {curve.method for curve in utility.curves}
    assert methods == {"importance", "label", MODEL, "zero-shot", "|SR - IN|", "edges", "detector boxes", "random"}
    assert {curve.reference for curve in utility.curves} == {"true", "sr"}
    for curve in utility.curves:
        assert [point.budget for point in curve.points] == [0, 0.05, 0.1, 0.2, 0.3, 0.5, 1]
        assert all(0 <= p.f1_low <= p.f1_mean <= p.f1_high <= 1 for p in curve.points)
    assert all(curve.points[-1].f1_mean == 1 for curve in utility.curves if curve.reference == "sr")
    stages = json.loads((out / "predictions" / "latency.json").read_text())["stages"]
    assert stages["infer"]["p50_ms"] > 0


def test_second_run_takes_seconds_and_does_nothing(finished: tuple[Path, str], clip: Path) -> None:
    out, _ = finished
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    started = time.monotonic()
    result = run_demo(clip, out)
    assert result.returncode == 0 and result.stdout.count("up to date") == 9
    assert time.monotonic() - started < 30
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_a_failing_stage_stops_the_demo(tmp_path: Path) -> None:
    text = tmp_path / "letter.mp4"
    text.write_text("not a video")
    result = run_demo(text, tmp_path / "run")
    assert result.returncode == 2 and "not a readable video" in result.stderr and "Traceback" not in result.stderr


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed (apt-get install chromium)")
def test_page_renders_in_a_browser(finished: tuple[Path, str], tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    out, _ = finished
    page_text = (out / "report.html").read_text()
    assert "http://" not in page_text.replace("http://www.w3.org", "") and "https://" not in page_text  # self-contained
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1240, "height": 900})
        complaints: list[str] = []
        page.on(
            "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto((out / "report.html").as_uri())
        widths = page.eval_on_selector_all("img", "images => images.map(image => image.naturalWidth)")
        captions = page.eval_on_selector_all("figcaption", "captions => captions.map(caption => caption.textContent)")
        alt_missing = page.eval_on_selector_all("img", "images => images.filter(image => !image.alt).length")
        overflow = page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
        rows = page.eval_on_selector_all("tbody tr", "rows => rows.map(row => row.cells[0].textContent)")
        shown = page.inner_text("body")
        browser.close()
    assert complaints == []
    assert len(widths) >= 2 * 4 + 1 + 2 + 1 and min(widths) > 0  # two frames, histogram, two curves, training
    assert {"frame", "importance", "levels", "prediction"} <= set(captions)
    assert {"label", MODEL, "|SR - IN|", "edges", "detector boxes", "random", "infer"} <= set(rows)
    versions = ["LR frame", "selection, 20% of the blocks", "enhanced", "whole-frame SR", "true frame"]
    begins = [number for number, caption in enumerate(captions) if caption == "LR frame"]
    assert 4 <= len(begins) <= 6, "two or three frames, each whole and a part"
    assert all(captions[number : number + 5] == versions for number in begins)
    assert {"decode", "predict", "select", "regions", "network", "paste", "together"} <= set(rows)
    assert "times as long" in shown
    assert alt_missing == 0 and not overflow
