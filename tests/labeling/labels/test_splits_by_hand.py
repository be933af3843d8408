"""Which video is for what: options, a list file, shares of zero, datasets without training frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deploy.core.errors import InputError, OptionError
from labeling.dataset.checking import check_dataset
from labeling.dataset.manifest import Manifest, read_manifest
from labeling.dataset.reader import read_split
from labeling.labels.job import plan_job
from labeling.labels.label_videos import label_videos
from labeling.labels.options import LabelOptions
from tests.helpers.label_helpers import crop_clip, run_script

SETTINGS = {"height": 80, "gap_seconds": 0.2, "upscaler": "reference", "device": "cpu"}


@pytest.fixture(scope="module")
def cameras(vtest: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("cameras")
    return [crop_clip(vtest, folder / f"{name}.avi", count=8, start_seconds=2.0 * n) for n, name in enumerate("abcd")]


def planned(tmp_path: Path, **options: object) -> dict[str, dict[int, str]]:
    job = plan_job(LabelOptions(out=tmp_path / "dataset", **(SETTINGS | options)))
    return {video.video_id: dict(video.splits) for video in job.videos}


def test_options_say_which_video_is_for_what(cameras: list[Path], tmp_path: Path) -> None:
    a, b, c, d = cameras
    found = planned(tmp_path, train=(d, a), val=(c,), test=(b,), every=4)
    assert found == {
        "d": {0: "train", 4: "train"},
        "a": {0: "train", 4: "train"},
        "c": {0: "val", 4: "val"},
        "b": {0: "test", 4: "test"},
    }


def test_dry_run_says_it(cameras: list[Path], tmp_path: Path) -> None:
    a, b, c, _ = cameras
    done = run_script(
        "labeling/make_labels.py", "--train", a, "--val", b, "--test", c, "--out", tmp_path / "x", "--dry-run",
        "--height", 80, "--upscaler", "reference",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "  c: 8 frames in the file; train 0, val 0, test 8" in done.stdout


def test_a_list_file_gives_parts(cameras: list[Path], tmp_path: Path) -> None:
    a, b = cameras[:2]
    clips = a.parent / "clips.yml"
    clips.write_text(
        f"- {{path: a.avi, split: train, stop: 0.4}}\n- {{path: a.avi, split: test, start: 0.6}}\n"
        f"- {{path: {b}, split: val, every: 3}}\n"
    )
    found = planned(tmp_path, clips=clips)
    assert found == {
        "a": {0: "train", 1: "train", 2: "train", 3: "train", 6: "test", 7: "test"},
        "b": {0: "val", 3: "val", 6: "val"},
    }
    label_videos(LabelOptions(out=tmp_path / "dataset", clips=clips, **SETTINGS))
    manifest = read_manifest(tmp_path / "dataset")
    assert [(clip.split, clip.start_seconds, clip.stop_seconds, clip.every) for clip in manifest.sources[0].clips] == [
        ("train", 0.0, 0.4, 1), ("test", 0.6, None, 1),
    ]  # fmt: skip
    assert not list(check_dataset(tmp_path / "dataset"))
    clips.write_text(clips.read_text().replace("split: val", "split: train"))
    with pytest.raises(OptionError, match="contains labels of another job"):
        label_videos(LabelOptions(out=tmp_path / "dataset", clips=clips, **SETTINGS))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "list"),
        ("- path: a.avi", "entry 1.split: Field required"),
        ("- {path: a.avi, split: training}", "entry 1.split: Input should be 'train', 'val' or 'test'"),
        ("- {path: a.avi, split: val, stride: 2}", "entry 1.stride: Extra inputs"),
        ("- {path: a.avi, split: val, start: 3, stop: 2}", "entry 1: stop_seconds=2.0 is not after"),
        ("- {path: a.avi, split: val, start: .nan}", "entry 1.start: Input should be a finite number"),
        ("- {path: a.avi, split: val, start: 100}", "no frame of 'a' is selected"),
        ("- {path: a.avi, split: val}\n- {path: a.avi, split: test, start: 0.5}", "is in val and test"),
        ("[", "is not YAML"),
        ("!!python/object/apply:os.system ['true']", "is not YAML"),
    ],
)
def test_bad_list_files(cameras: list[Path], tmp_path: Path, text: str, message: str) -> None:
    clips = cameras[0].parent / "bad.yml"
    clips.write_text(text)
    with pytest.raises(OptionError, match=message):
        planned(tmp_path, clips=clips)


def test_files_that_are_not_there(cameras: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read --clips .*none\.yml: No such file"):
        planned(tmp_path, clips=tmp_path / "none.yml")
    (tmp_path / "clips.yml").write_text("- {path: none.avi, split: val}")
    with pytest.raises(InputError, match=r"none\.avi"):
        planned(tmp_path, clips=tmp_path / "clips.yml")


def test_a_video_without_a_split_beside_others_is_refused(cameras: list[Path], tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"a\.avi has no split, but other videos have one"):
        planned(tmp_path, videos=(cameras[0],), test=(cameras[1],))
    with pytest.raises(OptionError, match="no video given"):
        planned(tmp_path)


def test_shares_of_zero(cameras: list[Path], tmp_path: Path) -> None:
    assert set(planned(tmp_path, videos=(cameras[0],), split=(0, 0, 1))["a"].values()) == {"test"}
    found = planned(tmp_path, videos=tuple(cameras[:2]), split=(0.5, 0, 0.5))
    assert [set(frames.values()) for frames in found.values()] == [{"train"}, {"test"}]
    one = planned(tmp_path, videos=(cameras[0],), split=(0.5, 0, 0.5))["a"]
    assert set(one.values()) == {"train", "test"}


def test_a_dataset_to_judge_by(cameras: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only test: normalized by itself, and it says so; or on the scale of the training's dataset."""
    a, b, c, d = cameras
    label_videos(LabelOptions(out=tmp_path / "learn", train=(a,), val=(b,), test=(c,), **SETTINGS))
    capsys.readouterr()
    label_videos(LabelOptions(out=tmp_path / "alone", test=(d,), **SETTINGS))
    assert (
        "without training frames, importance is normalized over all frames of this dataset" in capsys.readouterr().out
    )
    label_videos(LabelOptions(out=tmp_path / "judge", test=(d,), calibration=tmp_path / "learn", **SETTINGS))
    assert "without training frames" not in capsys.readouterr().out
    learn, alone, judge = (read_manifest(tmp_path / name) for name in ("learn", "alone", "judge"))
    assert judge.calibrations == learn.calibrations != alone.calibrations
    assert [judge.splits[name].num_frames for name in ("train", "val", "test")] == [0, 0, 8]
    for name in ("alone", "judge"):
        assert not list(check_dataset(tmp_path / name))

    def raw(name: str, manifest: Manifest) -> np.ndarray:
        return np.stack([frame.importance for frame in read_split(tmp_path / name, manifest, "test")])

    np.testing.assert_array_equal(raw("alone", alone), raw("judge", judge))
