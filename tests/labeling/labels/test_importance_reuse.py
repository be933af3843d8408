"""``--importance-from``: the same dataset as labeling anew, without any detector at work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deploy.core.errors import OptionError
from labeling.dataset.manifest import read_manifest
from labeling.labels.label_videos import label_videos
from labeling.labels.labeller import Labeller
from labeling.labels.options import LabelOptions
from tests.helpers.label_helpers import crop_clip, tree_bytes


@pytest.fixture(scope="module")
def first(vtest: Path, tmp_path_factory: pytest.TempPathFactory) -> LabelOptions:
    """Options of a finished dataset of five levels."""
    folder = tmp_path_factory.mktemp("reuse")
    clip = crop_clip(vtest, folder / "person.avi")
    options = LabelOptions(videos=(clip,), out=folder / "five", height=80, gap_seconds=0.2, levels=5)
    label_videos(options)
    return options


@pytest.mark.parametrize(
    "change",
    [
        {"levels": 20},
        {"curve": "linear", "scope": "video"},
        {"split": (0.4, 0.3, 0.3), "gap_seconds": 0.1, "every": 2},
    ],
    ids=["levels", "curve", "frames"],
)
def test_the_result_is_that_of_labelling_anew(
    first: LabelOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, object]
) -> None:
    fresh = replace(first, out=tmp_path / "fresh", **change)  # type: ignore[arg-type]
    label_videos(fresh)
    known = {int(index) for index in np.load(first.out / "importance" / "person.npz")["frame_index"]}
    calls = []

    def counted(self: Labeller, pair: object) -> object:
        calls.append(pair.frame.index)  # type: ignore[attr-defined]
        return stock(self, pair)  # type: ignore[arg-type]

    stock = Labeller.label
    monkeypatch.setattr(Labeller, "label", counted)
    label_videos(replace(fresh, out=tmp_path / "taken", importance_from=first.out))
    assert tree_bytes(tmp_path / "taken") == tree_bytes(tmp_path / "fresh")
    wanted = {int(index) for index in np.load(fresh.out / "importance" / "person.npz")["frame_index"]}
    assert set(calls) == wanted - known and wanted & known
    if "levels" in change:
        assert not calls and read_manifest(tmp_path / "taken").num_levels == 20


@pytest.mark.parametrize(
    "change", [{"variant": "gradient"}, {"block_px": 8}, {"classes": ("person",)}, {"upscaler": "reference"}]
)
def test_importance_of_another_kind_is_refused(first: LabelOptions, tmp_path: Path, change: dict[str, object]) -> None:
    options = replace(first, out=tmp_path / "other", importance_from=first.out, levels=7, **change)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="was made with another"):
        label_videos(options)
    assert not options.out.exists()
