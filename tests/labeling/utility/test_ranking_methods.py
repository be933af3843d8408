"""The rankings that come from other frames, and names of models."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.core.errors import InputError, OptionError
from deploy.core.files import sha256_of
from deploy.core.grid import Grid
from deploy.detectors.matching import MatchCounts
from labeling.dataset.manifest import read_manifest
from labeling.dataset.reader import read_levels, read_split
from labeling.networks.stored_weights import find_weights
from labeling.utility.curves import make_curve
from labeling.utility.evaluation import _load_predictors, _other_labels
from labeling.utility.ranking_methods import Rankers, frames_before, on_grid
from tests.helpers.deploy_helpers import card_of, write_model
from tests.helpers.paddle_helpers import FRAMES, HEIGHT, WIDTH, make_dataset


def test_the_frame_before_is_of_the_same_video(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "dataset")
    manifest = read_manifest(dataset)
    before = frames_before(dataset, manifest)
    assert len(before) == sum(count - 1 for count in FRAMES.values())
    for frame in read_split(dataset, manifest, "val"):
        earlier = before.get((frame.video_id, frame.index))
        assert (earlier is None) == (frame.index == 0)
        if earlier:
            assert (earlier.video_id, earlier.index) == (frame.video_id, frame.index - 1)
            assert not np.array_equal(read_levels(earlier, manifest), read_levels(frame, manifest))


def test_a_curve_says_what_its_frames_say() -> None:
    f1 = {0.0: [2, 4], 0.5: [6, 8], 1.0: [8, 8]}
    frames = [{("m", k): MatchCounts(found[i], 10, 10) for k, found in f1.items()} for i in range(2)]
    for counts in frames:
        counts["m", 0.1] = MatchCounts(9, 9, 9)  # of an earlier evaluation with other budgets
    curve = make_curve("m", "true", frames, np.array([0, 1]), sorted(f1))
    assert [point.f1_mean for point in curve.points] == pytest.approx([0.3, 0.7, 0.8])
    assert curve.points[1].recovery == pytest.approx(0.8)
    assert (curve.points[1].recovery_low, curve.points[1].recovery_high) == pytest.approx((4 / 6, 1.0))
    assert curve.f1_area.value == pytest.approx(0.5) and curve.f1_area.low == pytest.approx(0.4)
    assert curve.recovery_area is not None and curve.recovery_area.value == pytest.approx(0.4)
    assert curve.f1_frames == ((0.2, 0.6, 0.8), (0.4, 0.8, 0.8))


@pytest.mark.parametrize("name", ["label", "edges", "boxes + 32 px", "twice"])
def test_two_rankings_of_one_name_are_refused(name: str) -> None:
    bench: Any = None
    with pytest.raises(OptionError, match=f"two rankings have the name '{re.escape(name)}'"):
        Rankers(bench, {name: bench}, None, {"twice": {}})


def test_models_are_called_as_asked(tmp_path: Path) -> None:
    card = card_of(HEIGHT, WIDTH)
    path = write_model(tmp_path / "m.onnx", card)
    manifest = read_manifest(make_dataset(tmp_path / "dataset"))
    with ExitStack() as stack:
        assert list(_load_predictors([str(path), f"other={path}"], manifest, stack)) == [card.name, "other"]
    with pytest.raises(OptionError, match="two models have the name x"):
        _load_predictors([f"x={path}", f"x={path}"], manifest, ExitStack())


def test_labels_of_another_dataset_must_be_on_the_same_grid(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "dataset")
    manifest = read_manifest(dataset)
    grid = manifest.make_grid()
    found = _other_labels([f"other={dataset}"], manifest)["other"]
    assert len(found) == sum(FRAMES.values()) and found["val_video", 1].importance.shape == (grid.rows, grid.cols)
    larger = read_manifest(make_dataset(tmp_path / "larger", height_px=2 * HEIGHT))
    with pytest.raises(OptionError, match="a different grid for train_video"):
        _other_labels([f"other={dataset}"], larger)


def test_importance_is_carried_to_another_grid() -> None:
    """Of the same picture at another size: a constant stays, halves stay where they are, means are kept."""
    small, large = Grid(96, 160, 3), Grid(180, 300, 3)
    assert on_grid(np.full((6, 10), 0.25, np.float32), small, large) == pytest.approx(0.25)
    halves = np.zeros((6, 10), np.float32)
    halves[:, 5:] = 1
    found = on_grid(halves, small, large)
    assert found.shape == (large.rows, large.cols) == (12, 19)
    assert (found[:, :9] == 0).all() and (found[:, 10:] == 1).all() and found[0, 9] == pytest.approx(10 / 16)
    assert on_grid(halves, small, small) is halves


def test_weights_are_found_by_their_hash(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    wanted = tmp_path / "deep" / "er" / "renamed.onnx"
    for path, text in ((wanted, "these"), (tmp_path / "a.onnx", "others"), (tmp_path / "b.txt", "no weights")):
        path.write_text(text)
    assert find_weights(sha256_of(wanted), [tmp_path]) == wanted
    assert find_weights(sha256_of(tmp_path / "b.txt"), [tmp_path]) is None
    assert find_weights("", [tmp_path]) is None
    shard, graph = tmp_path / "net.bin", tmp_path / "net.json"
    shard.write_text("a TensorFlow.js model's")
    assert find_weights(sha256_of(shard), [tmp_path]) == shard
    graph.write_text("{}")
    assert find_weights(sha256_of(shard), [tmp_path]) == graph  # what loads them
    with pytest.raises(InputError, match=r"--weights-folder .* is not a folder"):
        find_weights("0" * 64, [tmp_path / "none"])
