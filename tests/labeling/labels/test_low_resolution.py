"""How the low-resolution frame is made: reduced, coded as a camera would, or recorded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from deploy.core.errors import InputError, OptionError
from deploy.core.resize import area_resize, reduce_frame
from deploy.inputs.video import read_frames
from labeling.dataset.manifest import read_manifest
from labeling.labels.label_videos import label_videos
from labeling.labels.options import LabelOptions
from tests.helpers.label_helpers import REPOSITORY, crop_clip, tree_bytes, write_video


@pytest.fixture(scope="module")
def clip(vtest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crop_clip(vtest, tmp_path_factory.mktemp("clip") / "person.avi", count=20)


def label(clip: Path, out: Path, **changes: object) -> dict[int, NDArray[np.uint8]]:
    """Label, and read the low-resolution frames by index."""
    values = {"height": 80, "gap_seconds": 0.0, "upscaler": "reference", "device": "cpu", "every": 4}
    label_videos(LabelOptions(videos=(clip,), out=out, **(values | changes)))
    return {int(path.stem): np.asarray(Image.open(path)) for path in sorted((out / "origin_images").rglob("*.png"))}


@pytest.mark.parametrize("reduction", ["area", "bicubic", "lanczos"])
def test_frames_are_reduced_as_asked(clip: Path, tmp_path: Path, reduction: str) -> None:
    made = label(clip, tmp_path / "dataset", reduce=reduction)
    frames = [frame.image for frame in read_frames(clip)]
    assert list(made) == [0, 4, 8, 12, 16]
    for index, image in made.items():
        wanted = reduce_frame(frames[index], height_px=80, width_px=100, reduction=reduction)
        np.testing.assert_array_equal(image, wanted)
    assert read_manifest(tmp_path / "dataset").reduction == reduction


def test_another_reduction_is_another_job(clip: Path, tmp_path: Path) -> None:
    label(clip, tmp_path / "dataset", reduce="lanczos")
    with pytest.raises(OptionError, match="another job: reduce differ"):
        label(clip, tmp_path / "dataset", reduce="area")


def test_every_frame_is_coded_once_and_as_a_video(clip: Path, tmp_path: Path) -> None:
    """Frames depend on those before them, as in a camera's stream, whichever are labeled."""
    made = label(clip, tmp_path / "every4", lr_codec="h264:crf36")
    more = label(clip, tmp_path / "every2", lr_codec="h264:crf36", every=2)
    clean = label(clip, tmp_path / "clean")
    for index, image in made.items():
        np.testing.assert_array_equal(image, more[index])
        error = np.abs(image.astype(int) - clean[index]).mean()
        assert 0.5 < error < 12, error
    assert read_manifest(tmp_path / "every4").options["lr_codec"] == "h264:crf36"
    coarse = label(clip, tmp_path / "coarse", lr_codec="h264:30k")
    assert np.abs(coarse[16].astype(int) - clean[16]).mean() > np.abs(made[16].astype(int) - clean[16]).mean() / 2


def test_a_killed_run_codes_the_same_bytes(clip: Path, tmp_path: Path) -> None:
    arguments = ["--height", "80", "--gap-seconds", "0", "--upscaler", "reference", "--device", "cpu"]
    arguments += ["--lr-codec", "h264:crf30"]

    def command(out: Path) -> list[str]:
        return [sys.executable, "labeling/make_labels.py", str(clip), "--out", str(out), *arguments]

    env = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    running = subprocess.Popen(command(tmp_path / "dataset"), cwd=REPOSITORY, env=env, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(tmp_path.rglob("frames/*/000002.npz")):
        assert running.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert list(tmp_path.rglob("coded/person.mkv"))
    for out in ("dataset", "straight"):
        subprocess.run(command(tmp_path / out), cwd=REPOSITORY, env=env, check=True, stdout=subprocess.DEVNULL)
    assert tree_bytes(tmp_path / "dataset") == tree_bytes(tmp_path / "straight")


@pytest.mark.parametrize("codec", ["h264", "h264:crf52", "mpeg2:crf3", "h264:crf-1", "h264:0k", "h264:600x"])
def test_what_is_no_codec_is_refused(clip: Path, tmp_path: Path, codec: str) -> None:
    with pytest.raises(OptionError, match="codec"):
        label(clip, tmp_path / "dataset", lr_codec=codec)
    assert not any(tmp_path.iterdir())


@pytest.fixture(scope="module")
def moving(vtest: Path, tmp_path_factory: pytest.TempPathFactory) -> list[NDArray[np.uint8]]:
    """Frames that differ from one to the next, or an offset could not be seen."""
    frames = [frame.image for frame, _ in zip(read_frames(vtest), range(1), strict=False)]
    return [np.ascontiguousarray(frames[0][120:360, 8 * n : 8 * n + 300]) for n in range(24)]


def test_a_recorded_twin_is_matched_by_time(moving: list[NDArray[np.uint8]], tmp_path: Path) -> None:
    high = write_video(tmp_path / "high.avi", moving)
    small = [area_resize(frame, height_px=80, width_px=100) for frame in moving]
    low = write_video(tmp_path / "low.avi", small[::2], rate=5)  # half the rate: every second frame has a twin
    made = label(high, tmp_path / "dataset", lr=(low,), height=360)
    for index, image in made.items():
        np.testing.assert_array_equal(image, small[index])
    source = read_manifest(tmp_path / "dataset").sources[0]
    assert source.lr_path == str(low) and len(source.lr_sha256) == 64


def test_a_twin_that_is_off_is_refused_with_the_offset(moving: list[NDArray[np.uint8]], tmp_path: Path) -> None:
    high = write_video(tmp_path / "high.avi", moving)
    small = [area_resize(frame, height_px=80, width_px=100) for frame in moving]
    late = write_video(tmp_path / "late.avi", [small[0]] * 3 + small)  # shows everything 0.3 s later
    with pytest.raises(InputError, match=r"0\.300 s late"):
        label(high, tmp_path / "dataset", lr=(late,))
    short = write_video(tmp_path / "short.avi", small[:10])
    with pytest.raises(InputError, match=r"no frame at 1\.200 s"):
        label(high, tmp_path / "dataset", lr=(short,))
    wide = write_video(tmp_path / "wide.avi", [frame[:50] for frame in small])
    with pytest.raises(InputError, match="another shape"):
        label(high, tmp_path / "dataset", lr=(wide,))
    assert not (tmp_path / "dataset").exists()


def test_one_twin_a_video(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="2 --lr for 1 videos"):
        label(clip, tmp_path / "dataset", lr=(clip, clip))
    with pytest.raises(OptionError, match="--lr is already encoded"):
        label(clip, tmp_path / "dataset", lr=(clip,), lr_codec="h264:crf30")


def test_av_has_the_encoders() -> None:
    assert {"libx264", "libx265"} <= av.codecs_available
