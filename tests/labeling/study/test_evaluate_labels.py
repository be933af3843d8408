"""The comparison of ways of labeling: what it measures by hand, and its file, table and page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from deploy.core.errors import DatasetError
from deploy.core.grid import Grid
from deploy.core.work_folder import hold
from deploy.inputs.video import Frame
from labeling.detectors import create_detector
from labeling.maths.accuracy import SumOfScores
from labeling.maths.importance import accuracy_gradient, block_importance, path_gradient
from labeling.study.candidates import Candidate, FrameUnderStudy, candidates, importance_maps, sampled_effects
from labeling.study.record import LabelStudy, StudyRun, read_study
from labeling.study.tables import tables
from labeling.upscalers.simple import interpolate
from tests.helpers.label_helpers import crop_clip, run_script

GRID = Grid(53, 64, 3)


@pytest.fixture(scope="module")
def frame(vtest_frames: list[Frame]) -> FrameUnderStudy:
    """A person walks here; the true frame stands for the super-resolved one."""
    sr = torch.from_numpy(vtest_frames[0].image[176:335, 160:352].copy()).permute(2, 0, 1)[None].float() / 255
    start = interpolate(functional.interpolate(sr, size=(53, 64), mode="area"), 3)
    right = create_detector("hog").detect(sr)[0]
    return FrameUnderStudy(start, sr, {"sr": right})


def test_effects_are_exact_changes(frame: FrameUnderStudy) -> None:
    detector = create_detector("hog")
    blocks, effects = sampled_effects(frame, detector, GRID, 16, (0,))
    assert len(set(blocks.tolist())) == 16 and set(effects) == {("scores", "none"), ("agreement", "sr"), ("f1", "sr")}
    strongest = int(np.abs(effects["scores", "none"]).argmax())
    row, col = divmod(int(blocks[strongest]), GRID.cols)
    by_hand = frame.interpolated.clone()
    area = (slice(row * 48, row * 48 + 48), slice(col * 48, col * 48 + 48))
    by_hand[..., *area] = frame.sr[..., *area]
    scores = [float(detector.detect(image)[0].scores.sum()) for image in (by_hand, frame.interpolated)]
    assert scores[0] != scores[1]
    assert effects["scores", "none"][strongest] == pytest.approx(scores[0] - scores[1], abs=1e-5)


def test_shared_passes_give_the_labels_of_single_ones(frame: FrameUnderStudy) -> None:
    """What labeling computes for one variant alone."""
    detector = create_detector("hog")
    maps = importance_maps(frame, detector, GRID)
    assert set(maps) == {candidate.name for candidate in candidates(("sr",))}
    accuracy = SumOfScores(detector)
    gradient, _ = accuracy_gradient(accuracy, frame.interpolated)
    delta = block_importance(gradient, frame.interpolated[0], frame.sr[0], GRID, "delta")
    np.testing.assert_allclose(maps["delta, scores"], delta, rtol=1e-4, atol=1e-7)
    mean, _ = path_gradient(accuracy, frame.interpolated, frame.sr, 6)
    path = block_importance(mean, frame.interpolated[0], frame.sr[0], GRID, "path")
    np.testing.assert_allclose(maps[Candidate("path", "scores", steps=6).name], path, rtol=1e-3, atol=1e-5)
    judged = frame.accuracies(detector)["f1", "sr"]
    mean, _ = path_gradient(judged, frame.interpolated, frame.sr, 2)
    path = block_importance(mean, frame.interpolated[0], frame.sr[0], GRID, "path")
    np.testing.assert_allclose(maps["path, f1 (sr), 2 steps"], path, rtol=1e-3, atol=1e-5)


def test_a_run_is_measured_once_and_written_up(vtest: Path, tmp_path: Path) -> None:
    clip = crop_clip(vtest, tmp_path / "walk.mkv", count=3)
    out = tmp_path / "labels.json"
    command = ("labeling/evaluate_labels.py", clip, "--out", out, "--frames", 2, "--blocks", 4, "--budgets", 0.2)
    finished = run_script(*command)
    assert finished.returncode == 0, finished.stderr
    (run,) = read_study(out).runs
    assert run.settings.frame_index == (0, 2) and run.settings.height_px == 80
    for reference, methods in run.f1.items():
        ends = {(frames[0][0], frames[0][-1], frames[1][0], frames[1][-1]) for frames in methods.values()}
        assert len(ends) == 1, "with nothing or everything enhanced all methods are one"
        assert reference != "sr" or next(iter(ends))[1::2] == (1.0, 1.0)
        assert {"delta, scores", "|SR - IN|", "path, f1 (true), 1 step"} <= set(methods)
    assert "path, f1 (true), 1 step" in (tmp_path / "labels-tables.md").read_text()
    assert "data:image/svg+xml" in out.with_suffix(".html").read_text()
    assert [path.name for path in tmp_path.glob(".*")] == [], "unfinished work is left"
    before = out.read_bytes()
    again = run_script(*command)
    assert "already done" in again.stdout and out.read_bytes() == before
    other = run_script(*command[:-1], 0.3)
    assert other.returncode == 2 and "--budgets 0.3 differ from those of the runs" in other.stderr
    assert out.read_bytes() == before
    with hold(tmp_path / ".labels.json.partial" / "lock"):
        second = run_script(*command)
    assert second.returncode == 2 and "another process is working on" in second.stderr


def study_of(f1: dict[str, list[list[float]]], example: StudyRun) -> LabelStudy:
    table = {name: tuple(map(tuple, frames)) for name, frames in f1.items()}
    return LabelStudy(runs=(example.model_copy(update={"f1": {"true": table}}),))


def test_tables_state_means_and_paired_differences(example_run: StudyRun) -> None:
    ours, base = [[0.5, 0.9, 0.8]] * 8, [[0.5, 0.6, 0.8]] * 8
    study = study_of({"ours": ours, "|SR - IN|": base, "edges": base}, example_run)
    found = {table.title: table for table in tables(study)}
    f1 = next(table for title, table in found.items() if title.startswith("All 1 runs"))
    assert f1.rows[0] == ("ours", "0.500 (0.50, 0.50)", "0.900 (0.90, 0.90)", "0.800 (0.80, 0.80)")
    difference = next(table for title, table in found.items() if "minus that of |SR - IN|" in title)
    assert difference.rows[0][:2] == ("ours", "+0.300 (+0.30, +0.30) *")
    assert not difference.rows[1][1].endswith("*")
    correlation = next(table for title, table in found.items() if "median rank" in title)
    assert correlation.rows == (("ours", "0.40"),)


@pytest.fixture
def example_run() -> StudyRun:
    settings = {
        "video": "a.mp4", "video_sha256": "0" * 64, "detector": {"name": "hog", "weights_sha256": ""},
        "upscaler": {"name": "edsr", "weights_sha256": ""}, "height_px": 80, "width_px": 100, "scale": 3,
        "block_px": 16, "budgets": (0.2,), "frame_index": tuple(range(8)), "num_blocks": 4, "segments": 4, "seed": 0,
    }  # fmt: skip
    return StudyRun.model_validate(
        {
            "settings": settings,
            "versions": {},
            "seconds": 1.0,
            "correlations": {"|scores|": {"ours": (0.2, None, 0.4, 0.9)}},
            "f1": {},
        }
    )


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text("{}x")
    with pytest.raises(DatasetError, match="not a comparison of labels"):
        read_study(path)
    finished = run_script("labeling/evaluate_labels.py", "--out", path)
    assert finished.returncode == 2 and "Traceback" not in finished.stderr
