"""Bad input ends in one clear message and exit code 2, with nothing half-written."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch

import deploy.core.files as files
import labeling.make_labels as make_labels
from deploy.core.cli import run
from tests.helpers.label_helpers import SMALL, crop_clip, run_script, write_video


@pytest.fixture(scope="module")
def clip(vtest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crop_clip(vtest, tmp_path_factory.mktemp("clip") / "person.avi")


def refuse(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[object], out: Path
) -> str:
    """Run the command in this process; return its one message after checking how it ended."""
    command = ["make_labels.py", *SMALL, "--upscaler", "reference", "--out", str(out), *map(str, arguments)]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit) as stopped:
        run(make_labels.main)
    message = capsys.readouterr().err
    assert stopped.value.code == 2, message
    assert "Traceback" not in message and not out.exists()
    return message


def text_as_video(folder: Path, clip: Path) -> Path:
    path = folder / "letter.mp4"
    path.write_text("Dear Sir or Madam,\n" * 50)
    return path


def truncated(folder: Path, clip: Path) -> Path:
    path = folder / "half.avi"
    path.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    return path


def audio_only(folder: Path, clip: Path) -> Path:
    path = folder / "song.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def no_frames(folder: Path, clip: Path) -> Path:
    path = folder / "empty.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.height, stream.width, stream.pix_fmt = 64, 64, "bgr0"
        container.start_encoding()
    return path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder, clip: folder / "nowhere.mp4", "not found"),
        (lambda folder, clip: folder, "no images in"),
        (text_as_video, "not a readable video"),
        (truncated, "a truncated file"),
        (audio_only, "no video stream"),
        (no_frames, "no frames"),
    ],
)
def test_bad_videos(
    make: Callable[[Path, Path], Path],
    words: str,
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert words in refuse(monkeypatch, capsys, [make(tmp_path, clip), "--damaged", "stop"], tmp_path / "out")
    assert not list(tmp_path.glob(".out*"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--detector", "hogg"], "Did you mean 'hog'"),
        (["--detector", "onnx"], "needs a file"),
        (["--detector", "onnx", "--detector-weights", "/nowhere.onnx"], "detector not found"),
        (["--detector", "onnx", "--detector-weights", __file__], "cannot use"),
        (["--upscaler", "edsr", "--upscaler-weights", __file__], "not plain weights"),
        (["--upscaler", "bicubic"], "zero everywhere"),
        (["--classes", "unicorn"], "no class 'unicorn'"),
        (["--score-threshold", "30"], "between 0 and 1"),
        (["--levels", "256"], "from 2 to 255"),
        (["--levels", "1"], "from 2 to 255"),
        (["--split", "0.5", "0.5", "0.5"], "sum to 1"),
        (["--every", "0"], "from 1 to 1000000"),
        (["--start-seconds", "100"], "no frame"),
        (["--gap-seconds", "90"], "no frame"),
        (["--device", "cuda:9"], "no GPU"),
        (["--dry-run", "False"], "Unrecognized"),  # mistake 13: `--flag False` must not mean true
    ],
)
def test_bad_options(
    arguments: list[object],
    words: str,
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if "cuda:9" in arguments and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert words.lower() in refuse(monkeypatch, capsys, [clip, *arguments], tmp_path / "out").lower()


def test_a_video_without_a_reference_beside_others(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = write_video(tmp_path / "small.avi", [np.zeros((100, 200, 3), np.uint8)] * 17)
    message = refuse(monkeypatch, capsys, [clip, small, "--upscaler", "reference"], tmp_path / "out")
    assert "small.avi (200 x 100) is smaller than 3 x 80" in message


def test_the_same_video_twice(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "twice" in refuse(monkeypatch, capsys, [clip, clip], tmp_path / "out")


def test_output_below_a_file(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("not a folder")
    message = refuse(monkeypatch, capsys, [clip], tmp_path / "file" / "out")
    assert "folder" in message


def test_full_disk_loses_nothing_and_resumes(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real, written = files.write_npz.__globals__["np"].savez_compressed, []

    def full_after_three(*arguments: object, **arrays: object) -> None:
        if len(written) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(arguments[0])
        real(*arguments, **arrays)

    with monkeypatch.context() as patch:
        patch.setattr(files.np, "savez_compressed", full_after_three)
        assert "disk is full" in refuse(monkeypatch, capsys, [clip], tmp_path / "out")
    kept = list(tmp_path.glob(".out.partial-*/frames/*/*"))
    assert len(kept) == 3 and all(path.name[0] != "." for path in kept)  # no half-written file
    run_again = run_script(
        "labeling/make_labels.py", clip, "--out", tmp_path / "out", *SMALL, "--upscaler", "reference"
    )
    assert run_again.returncode == 0 and "3 of" in run_again.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_really_full_disk(clip: Path, tmp_path: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", tmp_path], check=False).returncode == 0
    if not mounted:
        pytest.skip("this machine does not allow mounting a small file system")
    try:
        result = run_script(
            "labeling/make_labels.py", clip, "--out", tmp_path / "out", *SMALL, "--upscaler", "reference"
        )
        assert result.returncode == 2 and "disk is full" in result.stderr and "Traceback" not in result.stderr
        assert not (tmp_path / "out").exists()
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no /proc, the one folder where even root may not write")
def test_unwritable_output(clip: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert "/proc" in refuse(monkeypatch, capsys, [clip], Path("/proc/out"))
