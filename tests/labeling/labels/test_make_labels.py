"""The labeling command, from a real video to a dataset."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import labeling.labels.label_videos as pipeline
from deploy.core.errors import OptionError, OutputError
from labeling.dataset.manifest import read_manifest
from labeling.dataset.reader import read_levels, read_split
from labeling.labels.options import LabelOptions
from labeling.maths.quantise import normalise, to_levels
from tests.helpers.label_helpers import REPOSITORY, SMALL, crop_clip, run_script, tree_bytes


@pytest.fixture(scope="module")
def clip(vtest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crop_clip(vtest, tmp_path_factory.mktemp("clip") / "person.avi")


def options(clip: Path, out: Path, **changes: object) -> LabelOptions:
    values = {"height": 80, "gap_seconds": 0.2, "upscaler": "reference", "device": "cpu"}
    return LabelOptions(videos=(clip,), out=out, **(values | changes))


@pytest.fixture(scope="module")
def dataset(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "dataset"
    pipeline.label_videos(options(clip, out))
    return out


def test_follows_the_contract(dataset: Path) -> None:
    manifest = read_manifest(dataset)
    assert (manifest.frame_height_px, manifest.frame_width_px) == (80, 100)
    assert (manifest.grid.rows, manifest.grid.cols) == (5, 7)  # the partial last row and column are there
    assert (dataset / "labels.txt").read_text().split() == [f"level_{level}" for level in range(10)]
    for split, record in manifest.splits.items():
        lines = (dataset / f"{split}.txt").read_text().splitlines()
        assert len(lines) == record.num_frames > 0
        histogram = np.zeros(10, int)
        for line in lines:
            image_name, label_name = line.split(" ")  # exactly one space
            assert image_name.replace("origin_images", "labels") == label_name  # paired by name
            image, label = Image.open(dataset / image_name), Image.open(dataset / label_name)
            assert (image.mode, label.mode, image.size, label.size) == ("RGB", "P", (100, 80), (100, 80))
            histogram += np.bincount(np.asarray(label).ravel(), minlength=10)
        assert histogram.tolist() == list(record.level_histogram)


def test_labels_are_the_quantised_importance(dataset: Path) -> None:
    manifest = read_manifest(dataset)
    knots = manifest.calibrations["dataset"]
    frames = list(read_split(dataset, manifest, "train"))
    assert sum(frame.importance.max() > 0 for frame in frames) > len(frames) / 2
    for frame in frames:
        value = normalise(frame.importance, (np.array(knots.importance), np.array(knots.value)))
        np.testing.assert_array_equal(read_levels(frame, manifest), to_levels(value, 10))


def test_every_frame_has_its_own_importance(dataset: Path) -> None:
    """Mistake 3: the importance of the last frame written for every frame."""
    with np.load(dataset / "importance" / "person.npz") as stored:
        importance, times = stored["importance"], stored["pts_numerator"] / stored["pts_denominator"]
        np.testing.assert_allclose(times, stored["frame_index"] / 10)
    assert len({frame.tobytes() for frame in importance}) > 0.7 * len(importance)


def test_a_finished_job_is_not_done_twice(dataset: Path, clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = tree_bytes(dataset)
    pipeline.label_videos(options(clip, dataset))
    assert "already complete" in capsys.readouterr().out
    assert tree_bytes(dataset) == before


@pytest.mark.parametrize(
    "change", [{"levels": 5}, {"variant": "gradient"}, {"score_threshold": 0.6}, {"curve": "log"}, {"every": 2}]
)
def test_other_options_never_reuse_old_labels(dataset: Path, clip: Path, change: dict[str, object]) -> None:
    """Mistake 2: a cache of labels that is not keyed by what made them."""
    with pytest.raises(OptionError, match=f"another job: {next(iter(change))} differ"):
        pipeline.label_videos(options(clip, dataset, **change))


def test_another_video_never_reuses_old_labels(dataset: Path, vtest: Path, tmp_path: Path) -> None:
    other = crop_clip(vtest, tmp_path / "person.avi", start_seconds=3.0)  # same name, same length
    with pytest.raises(OptionError, match="another job: videos, weights, calibration or package versions differ"):
        pipeline.label_videos(options(other, dataset))


def test_overwrite_replaces_the_whole_dataset(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "dataset"
    pipeline.label_videos(options(clip, out, every=2))
    pipeline.label_videos(options(clip, out, levels=5, overwrite=True))
    manifest = read_manifest(out)
    assert manifest.num_levels == 5 and len(manifest.splits["train"].level_histogram) == 5
    assert [path.name for path in tmp_path.iterdir()] == ["dataset"]


def test_foreign_folder_is_left_alone(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(OutputError, match="not a dataset"):
        pipeline.label_videos(options(clip, tmp_path, overwrite=True))
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_adding_a_video_moves_no_label(clip: Path, vtest: Path, tmp_path: Path) -> None:
    """Mistake 1: labels keyed by position in a listing."""
    earlier_name = crop_clip(vtest, tmp_path / "a_first.avi", count=8, start_seconds=2.0)
    settings = {"height": 80, "gap_seconds": 0.1, "upscaler": "reference", "scope": "video", "every": 2}
    pipeline.label_videos(LabelOptions(videos=(clip,), out=tmp_path / "one", **settings))
    pipeline.label_videos(LabelOptions(videos=(earlier_name, clip), out=tmp_path / "two", **settings))
    one, two = (tree_bytes(tmp_path / name / "labels" / "person") for name in ("one", "two"))
    assert one and one == two
    assert (tmp_path / "two" / "labels" / "a_first").is_dir()


def test_killed_run_resumes_to_the_same_bytes(clip: Path, tmp_path: Path) -> None:
    undisturbed = run_script(
        "labeling/make_labels.py", clip, "--out", tmp_path / "whole", *SMALL, "--upscaler", "reference"
    )
    assert undisturbed.returncode == 0, undisturbed.stderr
    command = [
        sys.executable,
        str(REPOSITORY / "labeling/make_labels.py"),
        str(clip),
        "--out",
        str(tmp_path / "killed"),
    ]
    process = subprocess.Popen([*command, *SMALL, "--upscaler", "reference"], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".killed.partial-*/frames/*/[0-9]*.npz")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    done = len(list(tmp_path.glob(".killed.partial-*/frames/*/[0-9]*.npz")))
    assert 0 < done < 14 and not (tmp_path / "killed").exists()
    resumed = run_script(
        "labeling/make_labels.py", clip, "--out", tmp_path / "killed", *SMALL, "--upscaler", "reference"
    )
    assert resumed.returncode == 0, resumed.stderr
    assert f"{done} of" in resumed.stdout and "are already done" in resumed.stdout
    assert tree_bytes(tmp_path / "killed") == tree_bytes(tmp_path / "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "whole"]


def test_killed_after_the_last_step_leaves_nothing_behind(clip: Path, tmp_path: Path) -> None:
    settings = options(clip, tmp_path / "dataset", every=4)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pipeline, "clear", lambda _folder: (_ for _ in ()).throw(KeyboardInterrupt))
        pipeline.label_videos(settings)
    (work,) = tmp_path.glob(".dataset.partial-*")
    for lock in ("lock", "lock-1-of-2"):  # which a killed process does not remove
        (work / lock).touch()
    pipeline.label_videos(settings)
    assert [path.name for path in tmp_path.iterdir()] == ["dataset"]


def test_unfinished_work_of_another_job_is_named(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".dataset.partial-0123456789ab").mkdir()
    pipeline.label_videos(options(clip, tmp_path / "dataset", every=4))
    assert "unfinished work" in capsys.readouterr().out and (tmp_path / ".dataset.partial-0123456789ab").is_dir()


def test_second_process_on_the_same_job_is_refused(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, refused = pipeline.label_here, []

    def meet_a_second_process(*arguments: object) -> None:
        monkeypatch.setattr(pipeline, "label_here", original)
        with pytest.raises(OutputError, match="another process") as error:
            pipeline.label_videos(options(clip, tmp_path / "dataset", every=4))
        refused.append(error.value)
        original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(pipeline, "label_here", meet_a_second_process)
    pipeline.label_videos(options(clip, tmp_path / "dataset", every=4))
    assert len(refused) == 1
    assert read_manifest(tmp_path / "dataset").splits["train"].num_frames > 0


def test_dry_run_writes_nothing(clip: Path, tmp_path: Path) -> None:
    result = run_script("labeling/make_labels.py", clip, "--out", tmp_path / "dataset", *SMALL, "--dry-run")
    assert result.returncode == 0 and "5 x 7 macroblocks" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_runs_from_any_folder_and_as_a_module(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    result = run_script(
        "labeling/make_labels.py", clip, "--out", "dataset", *SMALL, "--every", 4, cwd=tmp_path / "here"
    )
    assert result.returncode == 0, result.stderr
    assert read_manifest(tmp_path / "here" / "dataset").upscaler.name == "edsr"
    module = subprocess.run(
        [sys.executable, "-m", "labeling.make_labels", "--help"], cwd=REPOSITORY, capture_output=True, check=True
    )
    assert b"--out" in module.stdout


@pytest.mark.parametrize("name", ["make_labels", "train_upscaler", "evaluate_utility", "make_report", "demo"])
def test_help_is_fast_and_light(name: str) -> None:
    code = f"import sys; sys.argv = ['x', '--help']\nfrom labeling.{name} import main\n"
    code += "try: main()\nexcept SystemExit: pass\n"
    code += (
        "heavy = {'torch', 'paddle', 'cv2', 'onnxruntime', 'matplotlib'} & set(sys.modules); assert not heavy, heavy"
    )
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True, capture_output=True)
    assert time.monotonic() - started < 5  # about 0.4 s; a torch import takes longer than this on the slowest runner


def test_parts_make_the_same_dataset(clip: Path, dataset: Path, tmp_path: Path) -> None:
    """Three machines on one file system, the last one interrupted: the whole run does what is missing."""
    out = tmp_path / "dataset"
    for shard in ("2/3", "1/3"):
        pipeline.label_videos(options(clip, out, shard=shard))
        assert not out.exists()
    (work,) = tmp_path.glob(".dataset.partial-*")
    labelled = sorted(path.stem for path in work.glob("frames/*/*.npz"))
    everything = sorted(path.stem for path in (dataset / "labels").glob("*/*.png"))
    assert labelled == everything[: len(everything) * 2 // 3]
    pipeline.label_videos(options(clip, out))
    assert tree_bytes(out) == tree_bytes(dataset) and not work.exists()


def test_parts_keep_off_each_other(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "dataset"
    inside, refused = pipeline.label_here, []

    def meanwhile(*arguments: object) -> None:
        monkeypatch.setattr(pipeline, "label_here", inside)
        for shard in ("1/2", None):
            with pytest.raises(OutputError, match="another process"):
                pipeline.label_videos(options(clip, out, shard=shard))
            refused.append(shard)
        pipeline.label_videos(options(clip, out, shard="2/2"))

    monkeypatch.setattr(pipeline, "label_here", meanwhile)
    pipeline.label_videos(options(clip, out, shard="1/2"))
    assert refused == ["1/2", None]


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2", "1/2/3"])
def test_bad_parts_are_refused(shard: str) -> None:
    with pytest.raises(OptionError, match="shard"):
        options(Path("a.mp4"), Path("out"), shard=shard)


def test_labels_on_an_old_scale(clip: Path, dataset: Path, vtest: Path, tmp_path: Path) -> None:
    other = crop_clip(vtest, tmp_path / "other.avi", start_seconds=20.0)
    for name, calibration in (("own", None), ("old", dataset / "manifest.json")):
        pipeline.label_videos(options(other, tmp_path / name, calibration=calibration))
    old, own, first = (read_manifest(folder) for folder in (tmp_path / "old", tmp_path / "own", dataset))
    assert old.calibrations == first.calibrations and old.level_edges == first.level_edges
    assert own.calibrations != first.calibrations and own.job_sha256 != old.job_sha256
    assert old.options["calibration"] == first.job_sha256
    for frame in read_split(tmp_path / "old", old, "train"):
        levels = to_levels(normalise(frame.importance, first.calibrations["dataset"].knots()), 10)
        np.testing.assert_array_equal(read_levels(frame, old), levels)


@pytest.mark.parametrize(
    "change", [{"variant": "gradient"}, {"block_px": 8}, {"levels": 5}, {"score_threshold": 0.6}, {"upscaler": "edsr"}]
)
def test_a_scale_of_another_kind_is_refused(
    dataset: Path, clip: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    with pytest.raises(OptionError, match="another"):
        pipeline.label_videos(options(clip, tmp_path / "out", calibration=dataset, **change))
    assert not (tmp_path / "out").exists()


def test_a_scale_over_frames_is_refused(clip: Path, tmp_path: Path) -> None:
    pipeline.label_videos(options(clip, tmp_path / "frames", scope="frame"))
    with pytest.raises(OptionError, match="over each frame"):
        pipeline.label_videos(options(clip, tmp_path / "out", calibration=tmp_path / "frames"))


@pytest.mark.parametrize(("objective", "variant"), [("agreement", "delta"), ("f1", "path"), ("scores", "path")])
def test_every_objective_makes_a_dataset(clip: Path, tmp_path: Path, objective: str, variant: str) -> None:
    out = tmp_path / "dataset"
    pipeline.label_videos(options(clip, out, objective=objective, variant=variant, path_steps=1, upscaler="edsr"))
    manifest = read_manifest(out)
    frames = [frame for split in manifest.splits for frame in read_split(out, manifest, split)]
    assert any(frame.importance.max() > 0 for frame in frames)
    assert variant != "path" or any(frame.importance.min() < 0 for frame in frames)
    for frame in frames:
        assert read_levels(frame, manifest)[frame.importance <= 0].max(initial=0) == 0


def test_kept_frames_change_no_label(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --sr-cache the second run enlarges nothing, and the datasets are equal byte for byte."""
    from labeling.upscalers.network import NetworkUpscaler

    edsr = {"upscaler": "edsr", "every": 2, "gap_seconds": 0.0}
    pipeline.label_videos(options(clip, tmp_path / "plain", **edsr))
    pipeline.label_videos(options(clip, tmp_path / "cached", sr_cache=tmp_path / "cache", **edsr))
    assert len(list((tmp_path / "cache").rglob("*.png"))) == 8
    monkeypatch.setattr(NetworkUpscaler, "upscale", lambda *arguments: pytest.fail("enlarged again"))
    pipeline.label_videos(options(clip, tmp_path / "again", sr_cache=tmp_path / "cache", **edsr))
    plain = tree_bytes(tmp_path / "plain")
    assert tree_bytes(tmp_path / "cached") == plain and tree_bytes(tmp_path / "again") == plain


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_keeps_the_order(clip: Path, tmp_path: Path, precision: str) -> None:
    from scipy.stats import spearmanr

    importances = []
    for name in ("float32", precision):
        changes = {"upscaler": "edsr", "precision": name, "every": 2, "gap_seconds": 0.0}
        pipeline.label_videos(options(clip, tmp_path / name, **changes))
        with np.load(tmp_path / name / "importance" / "person.npz") as record:
            importances.append(record["importance"].reshape(-1))
    assert not np.array_equal(*importances), "the option does nothing"
    assert spearmanr(*importances).statistic > 0.9
