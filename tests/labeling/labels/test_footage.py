"""Labels of real footage and of folders of images: the frames, times and losses that inference sees."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deploy.core.errors import InputError, OptionError
from deploy.inputs.video import read_frames
from labeling.core.frames import read_pairs
from labeling.dataset.manifest import Manifest, read_manifest
from labeling.labels.job import LabelJob, plan_job
from labeling.labels.label_videos import label_videos
from labeling.labels.options import LabelOptions
from tests.helpers.footage import RATE, number_of, picture, spoil, write
from tests.helpers.footage_cases import CASES, Case, each_case, paths_of, write_hdr
from tests.helpers.label_helpers import tree_bytes

SETTINGS = {"height": 64, "gap_seconds": 0.2, "upscaler": "reference", "device": "cpu"}


def options(*videos: Path, out: Path = Path("never"), **changes: object) -> LabelOptions:
    return LabelOptions(videos=videos, out=out, **(SETTINGS | changes))  # type: ignore[arg-type]


def frames_of(job: LabelJob, wanted: LabelOptions) -> dict[int, int]:
    """Index -> number of the picture that would be labeled, of the first video."""
    (video, *_) = job.videos
    pairs = read_pairs(video.info.path, video.size, video.span, video.reading(wanted))
    return {pair.frame.index: number_of(pair.frame.image) for pair in pairs}


@each_case
def test_labels_see_what_inference_sees(case: Case, tmp_path: Path) -> None:
    for path in paths_of(case, tmp_path):
        wanted = options(path)
        job = plan_job(wanted)
        (video,) = job.videos
        assert frames_of(job, wanted) == dict(enumerate(case.numbers)), path.name
        assert list(video.info.seconds) == case.seconds
        assert video.info.times == tuple(frame.pts_seconds for frame in read_frames(path))
        assert (video.size.height_px, video.size.width_px, video.size.has_reference) == (64, 85, True)
        assert sum(loss.count for loss in video.losses) == case.lost
        record = video.source_record()
        assert (record.num_frames, record.width_px, record.height_px) == (len(case.numbers), 256, 192)
        assert sum(loss.num_frames for loss in record.losses) == case.lost
        if case.lost:
            with pytest.raises(InputError, match=r"could not be decoded|another size"):
                plan_job(options(path, damaged="stop"))


def test_start_and_stop_count_from_the_first_frame(tmp_path: Path) -> None:
    path = write(tmp_path / "v.ts", start=10_000)
    wanted = options(path, start_seconds=2.0, stop_seconds=3.0, gap_seconds=0.0)
    assert frames_of(plan_job(wanted), wanted) == {number: number for number in range(20, 30)}
    with pytest.raises(OptionError, match="no frame of 'v' is selected"):
        plan_job(options(path, start_seconds=1002.0))


def test_a_stream_is_part_of_the_job_only_where_it_is_named(tmp_path: Path) -> None:
    path = next(case for case in CASES if case.name == "preview first").make(tmp_path)
    assert plan_job(options(path, height=16, gap_seconds=0.0, stream=0)).videos[0].info.num_frames == 10
    assert plan_job(options(path)).videos[0].info.num_frames == 48
    with pytest.raises(InputError, match="stream 9 is not a video stream"):
        plan_job(options(path, stream=9))


def test_a_damaged_video_is_labelled_and_its_losses_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = spoil(write(tmp_path / "v.mp4", gop_size=1), 20)
    wanted = options(path, out=tmp_path / "out", every=3)
    label_videos(wanted)
    assert capsys.readouterr().err.count("frames that could not be decoded: 1 (2.000 s)") == 1
    manifest = read_manifest(tmp_path / "out")
    (loss,) = manifest.sources[0].losses
    assert (loss.kind, loss.num_frames, loss.places) == ("undecodable", 1, ("2.000 s",))
    with np.load(tmp_path / "out" / "importance" / "v.npz") as stored:
        times = stored["pts_numerator"] / stored["pts_denominator"]
        shown = [index if index < 20 else index + 1 for index in stored["frame_index"]]
        np.testing.assert_allclose(times, np.array(shown) / RATE)
    label_videos(options(path, out=tmp_path / "again", every=3))
    assert tree_bytes(tmp_path / "out") == tree_bytes(tmp_path / "again")


def test_manifests_without_losses_are_read(tmp_path: Path) -> None:
    label_videos(options(write(tmp_path / "v.mp4"), out=tmp_path / "out", every=4))
    data = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert data["sources"][0].pop("losses") == [] and "stream" not in data["options"]
    assert Manifest.model_validate_json(json.dumps(data)).sources[0].losses == ()


# Folders of images


def image_folder(folder: Path, count: int = 16) -> Path:
    """Numbered pictures whose names sort otherwise as text: frame_2 after frame_10."""
    folder.mkdir()
    for number in range(count):
        Image.fromarray(picture(number)).save(folder / f"frame_{number}.png")
    return folder


def test_a_folder_of_images_is_labelled_in_natural_order(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "day one")
    label_videos(options(folder, out=tmp_path / "out", gap_seconds=0.04))
    (source,) = read_manifest(tmp_path / "out").sources
    assert (source.video_id, source.num_frames, source.frame_rate) == ("day_one", 16, "25")
    with np.load(tmp_path / "out" / "importance" / "day_one.npz") as stored:
        assert len(stored["frame_index"]) > 10
        names = [f"frame_{index}.png" for index in stored["frame_index"]]
        assert stored["image_names"].tolist() == names
        np.testing.assert_allclose(stored["pts_numerator"] / stored["pts_denominator"], stored["frame_index"] / 25)
        for index in stored["frame_index"].tolist():
            image = np.asarray(Image.open(tmp_path / "out" / "origin_images" / "day_one" / f"{index:06d}.png"))
            assert number_of(image) == index


def test_the_hash_of_a_folder_is_that_of_names_and_contents(tmp_path: Path) -> None:
    first = plan_job(options(image_folder(tmp_path / "a"), gap_seconds=0.0)).videos[0].sha256
    (tmp_path / "a" / "notes.txt").write_text("no image")
    assert plan_job(options(tmp_path / "a", gap_seconds=0.0)).videos[0].sha256 == first
    (tmp_path / "a" / "frame_3.png").rename(tmp_path / "a" / "frame_99.png")
    assert plan_job(options(tmp_path / "a", gap_seconds=0.0)).videos[0].sha256 != first


def test_images_that_cannot_be_used_are_named_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = image_folder(tmp_path / "images")
    (folder / "frame_5.png").write_bytes((folder / "frame_5.png").read_bytes()[:300])
    Image.fromarray(picture(7)[:, :100]).save(folder / "frame_7.png")
    (folder / "IMG_1.HEIC").write_bytes(b"....ftypheic")
    (folder / ".hidden").write_text("x")
    wanted = options(folder, gap_seconds=0.0)
    job = plan_job(wanted)
    said = capsys.readouterr().err
    assert "1 of its files are not supported images: IMG_1.HEIC" in said and "mogrify" in said
    assert "images that could not be read: 1 (frame_5.png: " in said
    assert "frame_7.png: 100 x 192, but the first image is 256 x 192" in said
    left = {number: number for number in range(16) if number not in (5, 7)}
    assert frames_of(job, wanted) == left and not {5, 7} & job.videos[0].splits.keys()
    with pytest.raises(InputError, match=r"frame_5\.png"):
        plan_job(options(folder, damaged="stop"))


def test_images_of_nearly_one_shape_belong_together(tmp_path: Path) -> None:
    """KITTI: 1242 x 375, 1224 x 370 and others."""
    (tmp_path / "images").mkdir()
    for number, (height, width) in enumerate([(375, 1242), (370, 1224), (376, 1241)] * 4):
        Image.fromarray(picture(number, height, width)).save(tmp_path / "images" / f"{number:06d}.png")
    wanted = options(tmp_path / "images", height=120, gap_seconds=0.0)
    job = plan_job(wanted)
    assert (job.videos[0].info.height_px, job.videos[0].info.width_px) == (370, 1224)
    assert frames_of(job, wanted) == {number: number for number in range(12)} and not job.videos[0].losses


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_pictures_that_move_are_one_picture_in_both_commands(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from deploy.inputs.sources import open_source, probe_source
    from deploy.inputs.video import FrameSelection, ReadOptions, SourceReport

    pictures = [Image.fromarray(picture(number)) for number in range(3)]
    path = tmp_path / f"moving.{kind.lower()}"
    pictures[0].save(path, save_all=True, append_images=pictures[1:])
    report = SourceReport("moving")
    assert probe_source(path, FrameSelection(), ReadOptions(), report).num_frames == 1
    source = open_source(path, FrameSelection())
    assert [number_of(frame.image) for frame in source.frames] == [0]
    assert report.notes == source.report.notes == (f"{path.name} contains 3 images; only the first is used",)


@pytest.mark.parametrize(
    ("make", "message", "hint"),
    [
        (lambda folder: (folder / "a.heic").write_bytes(b"x"), "no images in", "mogrify"),
        (lambda folder: (folder / "aachen").mkdir(), "no images in", "aachen"),
        (lambda folder: (folder / "a.png").write_bytes(b"x"), "no image of", ""),
    ],
)
def test_folders_without_images(make, message: str, hint: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "images").mkdir()
    make(tmp_path / "images")
    with pytest.raises(InputError, match=message) as error:
        plan_job(options(tmp_path / "images"))
    assert hint in error.value.hint


def test_heic_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(b"....ftypheic")
    with pytest.raises(InputError, match="HEIC and AVIF are not supported"):
        plan_job(options(tmp_path / "a.heic"))


def test_jfif_is_jpeg(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(12):
        Image.fromarray(picture(number)).save(folder / f"{number}.jfif", format="JPEG", quality=95)
    wanted = options(folder, gap_seconds=0.0)
    assert frames_of(plan_job(wanted), wanted) == {number: number for number in range(12)}


def test_importance_of_images_is_taken_over_frame_by_frame(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = image_folder(tmp_path / "images")
    label_videos(options(folder, out=tmp_path / "one", gap_seconds=0.04, scope="video"))
    other = {"gap_seconds": 0.04, "scope": "video", "levels": 5}
    label_videos(options(folder, out=tmp_path / "fresh", **other))
    capsys.readouterr()
    label_videos(options(folder, out=tmp_path / "taken", importance_from=tmp_path / "one", **other))
    assert "frames of" in capsys.readouterr().out
    assert tree_bytes(tmp_path / "taken") == tree_bytes(tmp_path / "fresh")


def test_hdr_has_the_same_frames_in_labels_and_in_inference(tmp_path: Path) -> None:
    path = write_hdr(tmp_path / "v.mkv")
    wanted = options(path)
    (video,) = plan_job(wanted).videos
    size = video.size
    pairs = read_pairs(path, size, video.span)
    small = read_frames(path, fit=lambda height, width: (size.height_px, size.width_px))
    differences = [np.abs(a.lr.astype(int) - b.image).mean() for a, b, _ in zip(pairs, small, range(3), strict=False)]
    assert len(differences) == 3 and max(differences) < 3
    assert Fraction(video.info.frame_rate) == RATE
