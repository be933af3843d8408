"""Several datasets as one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deploy.core.errors import DatasetError, OptionError
from labeling.dataset.manifest import read_manifest, write_manifest
from labeling.dataset.merging import merge_datasets
from labeling.dataset.reader import read_levels, read_split
from labeling.maths.split import SPLITS
from tests.helpers.paddle_helpers import FRAMES, make_dataset


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    return [make_dataset(tmp_path / "small"), make_dataset(tmp_path / "large", height_px=100, width_px=140)]


def test_all_frames_keep_their_labels_and_sizes(parts: list[Path], tmp_path: Path) -> None:
    merged = merge_datasets(parts, tmp_path / "merged")
    assert merged == read_manifest(tmp_path / "merged")
    assert (merged.frame_height_px, merged.frame_width_px) == (100, 140)
    for split in SPLITS:
        frames = list(read_split(tmp_path / "merged", merged, split))
        assert len(frames) == merged.splits[split].num_frames == 2 * FRAMES[split]
        for number, part in enumerate(parts, 1):
            manifest = read_manifest(part)
            of_part = [frame for frame in frames if frame.video_id == f"{split}_video-{number}"]
            for frame, own in zip(of_part, read_split(part, manifest, split), strict=True):
                assert frame.image.read_bytes() == own.image.read_bytes() and frame.index == own.index
                assert np.array_equal(read_levels(frame, merged), read_levels(own, manifest))
                assert np.array_equal(frame.importance, own.importance)
    histograms = [read_manifest(part).splits["train"].level_histogram for part in parts]
    assert merged.splits["train"].level_histogram == tuple(np.sum(histograms, axis=0))


def test_what_differs_is_refused_and_nothing_is_left(parts: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "merged"
    with pytest.raises(OptionError, match="needs at least two datasets"):
        merge_datasets(parts[:1], out)
    coarse = make_dataset(tmp_path / "coarse", num_levels=3)
    with pytest.raises(OptionError, match=f"num_levels of {coarse} is 3, but that of {parts[0]} is 5"):
        merge_datasets([parts[0], coarse], out)
    (parts[1] / "importance" / "val_video.npz").unlink()
    with pytest.raises(DatasetError, match=r"val_video\.npz is missing"):
        merge_datasets(parts, out)
    assert not out.exists() and not list(tmp_path.glob(".merged*"))
    out.mkdir()
    with pytest.raises(OptionError, match="already exists"):
        merge_datasets(parts, out)


def test_a_scale_of_the_dataset_becomes_one_of_its_videos(parts: list[Path], tmp_path: Path) -> None:
    knots = {"importance": (0.0, 1.0), "value": (0.0, 1.0)}
    for part, top in zip(parts, (1.0, 2.0), strict=True):
        manifest = read_manifest(part).model_dump()
        manifest |= {"scope": "dataset", "calibrations": {"dataset": knots | {"importance": (0.0, top)}}}
        write_manifest(part, type(read_manifest(part)).model_validate(manifest))
    merged = merge_datasets(parts, tmp_path / "merged")
    assert merged.scope == "video"
    assert {key: value.importance[1] for key, value in merged.calibrations.items()} == {
        f"{split}_video-{number}": top for number, top in ((1, 1.0), (2, 2.0)) for split in SPLITS
    }
