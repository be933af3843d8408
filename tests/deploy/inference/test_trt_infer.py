"""The command: videos, folders and images in, whole results or nothing out."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deploy import trt_infer
from deploy.core.cli import EXIT_USER_ERROR
from deploy.inputs.video import read_frames
from tests.helpers.deploy_helpers import card_of, striped_frame, write_model, write_video
from tests.helpers.deploy_helpers import trt_infer_command as command

DEPLOY = Path(trt_infer.__file__).parent
ALLOWED = {"numpy", "PIL", "av", "onnxruntime", "openvino", "deploy"}
OPTIONAL = {
    "detectors/resizing.py": {"onnx"},
    "core/ray_cluster.py": {"ray"},
    "worth_it/precision.py": {"pycocotools"},
}
"""What a file may ask for, saying which package is missing."""
STRIPES = [0, 0, 1, 2, 2]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A brightness model of 48 x 80 pixels."""
    return write_model(tmp_path / "model.onnx", card_of())


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Six frames of 48 x 80, stripes that move, 30000/1001 a second."""
    return write_video(tmp_path / "v.mp4", [striped_frame(shift=i) for i in range(6)], rate=Fraction(30000, 1001))


def listing(folder: Path) -> list[str]:
    """Everything below a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_video_end_to_end(
    model: Path, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs" / "out"
    assert command(monkeypatch, "--model", model, "--input", video, "--out", out, "--overlays", 2) == 0
    printed = capsys.readouterr()
    assert printed.err.startswith("backend: onnxruntime 1.")
    assert all(stage in printed.out for stage in ("decode", "preprocess", "infer", "postprocess", "write", "frames/s"))
    assert listing(out) == [
        "blocks.jsonl", "importance.npz", "latency.json", "overlay.mp4",
        "overlays", "overlays/000000.png", "overlays/000003.png",
    ]  # fmt: skip

    results = np.load(out / "importance.npz")
    assert results["schema_version"] == 1
    assert results["importance"].shape == results["levels"].shape == (6, 3, 5)
    assert (results["importance"].dtype, results["levels"].dtype) == (np.float32, np.uint8)
    np.testing.assert_array_equal(results["frame_index"], range(6))
    np.testing.assert_array_equal(results["pts_numerator"] * 30000, np.arange(6) * 1001 * results["pts_denominator"])
    for shift in range(6):
        np.testing.assert_array_equal(results["levels"][shift], [np.roll(STRIPES, -shift)] * 3)
    grid = {name: results[name].item() for name in ("grid_name", "block_px", "scale", "height_px", "width_px")}
    assert grid == {"grid_name": "lr", "block_px": 16, "scale": 3, "height_px": 48, "width_px": 80}
    np.testing.assert_array_equal(results["selected"].sum(axis=(1, 2)), [3] * 6)

    lines = [json.loads(line) for line in (out / "blocks.jsonl").read_text().splitlines()]
    blocks = [[64, 0, 16, 16], [64, 16, 16, 16], [64, 32, 16, 16]]
    assert lines[0] == {"index": 0, "pts_seconds": 0.0, "seconds": 0.0, "blocks": blocks}
    assert [line["index"] for line in lines] == list(range(6))

    overlay = list(read_frames(out / "overlay.mp4"))
    assert [frame.pts_seconds for frame in overlay] == [Fraction(1001 * i, 30000) for i in range(6)]
    latency = json.loads((out / "latency.json").read_text())
    assert latency["num_frames"] == 6
    assert list(latency["stages"]) == ["decode", "preprocess", "infer", "postprocess", "select", "write"]
    assert results["predicted"].all()
    assert set(latency["stages"]["infer"]) == {"mean_ms", "p50_ms", "p95_ms", "p99_ms"}


def test_selection_of_frames_and_blocks(
    model: Path, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--every", 2, "--start-seconds", 0.05, "--stop-seconds", 0.16, "--top", 0, "--overlays", 0]
    out = tmp_path / "out"
    arguments = ["--model", model, "--input", video, "--out", out, "--no-overlay-video", "--threads", 1]
    assert command(monkeypatch, *arguments, *options) == 0
    results = np.load(out / "importance.npz")
    np.testing.assert_array_equal(results["frame_index"], [2, 4])
    assert not results["selected"].any()
    assert listing(out) == ["blocks.jsonl", "importance.npz", "latency.json"]


def test_rotated_video_of_another_odd_size(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lying = np.rot90(striped_frame().repeat(2, axis=0).repeat(2, axis=1)[:95, :159])
    plain = write_video(tmp_path / "plain.mp4", [np.ascontiguousarray(lying)] * 2)
    rotated = turn_display_clockwise(plain, tmp_path / "rotated.mp4")
    (frame, _) = read_frames(rotated)
    assert frame.image.shape == (95, 159, 3)
    assert command(monkeypatch, "--model", model, "--input", rotated, "--out", tmp_path / "out") == 0
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "importance.npz")["levels"][1], [STRIPES] * 3)


def turn_display_clockwise(source: Path, target: Path) -> Path:
    """Copy an MP4 with the display matrix of a quarter turn clockwise in its track header, as telephones write it.

    ISO/IEC 14496-12, 8.3.2: p' = a p + c q, q' = b p + d q, stored as a b u c d v x y w.
    """
    data = bytearray(source.read_bytes())
    start = data.index(b"tkhd") + 44
    data[start : start + 36] = np.array([0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30], ">i4").tobytes()
    target.write_bytes(data)
    return target


def test_folder_of_images_by_name(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for shift, name in enumerate(["a.png", "b.PNG", "c.bmp"]):
        Image.fromarray(striped_frame(shift=shift)).save(folder / name)
    (folder / "notes.txt").write_text("not an image")
    assert command(monkeypatch, "--model", model, "--input", folder, "--out", tmp_path / "out") == 0
    results = np.load(tmp_path / "out" / "importance.npz")
    assert results["image_names"].tolist() == ["a.png", "b.PNG", "c.bmp"]
    np.testing.assert_array_equal(results["levels"][2], [np.roll(STRIPES, -2)] * 3)
    last = json.loads((tmp_path / "out" / "blocks.jsonl").read_text().splitlines()[-1])
    assert (last["image"], last["pts_seconds"]) == ("c.bmp", 0.08)
    assert not (tmp_path / "out" / "overlay.mp4").exists()


def test_one_image(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(striped_frame()).save(tmp_path / "frame.png")
    out = tmp_path / "out"
    assert command(monkeypatch, "--model", model, "--input", tmp_path / "frame.png", "--out", out) == 0
    assert listing(out) == [
        "blocks.jsonl", "importance.npz", "latency.json", "overlays", "overlays/000000.png"
    ]  # fmt: skip


def make_bad_input(kind: str, folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Arguments of a command that must fail."""
    good = folder / "good.png"
    Image.fromarray(striped_frame()).save(good)
    images = folder / "images"
    images.mkdir()
    arguments: dict[str, object] = {"--model": model, "--input": images, "--out": folder / "new" / "out"}
    if kind == "corrupt image":
        shutil.copy(good, images / "a.png")
        (images / "b.png").write_bytes(good.read_bytes()[:100])
        arguments["--damaged"] = "stop"
    elif kind == "missing model":
        arguments |= {"--model": folder / "no.onnx", "--input": good}
    elif kind == "other model":
        arguments |= {"--model": write_model(folder / "o.onnx", card_of(), embed=card_of(64)), "--input": good}
    elif kind == "missing input":
        arguments["--input"] = folder / "no.mp4"
    elif kind == "not a video":
        arguments["--input"] = model
    elif kind == "truncated video":
        write_video(folder / "v.mp4", [striped_frame(shift=i) for i in range(4)])
        (folder / "v.mp4").write_bytes((folder / "v.mp4").read_bytes()[:-2000])
        arguments["--input"] = folder / "v.mp4"
    elif kind == "other shape":
        Image.fromarray(striped_frame(80, 80)).save(good)
        arguments["--input"] = good
    elif kind == "out below a file":
        arguments |= {"--input": good, "--out": good / "out"}
    elif kind == "out impossible":
        arguments |= {"--input": good, "--out": Path("/proc/none/out")}
    elif kind == "out is the current folder":
        (folder / "here").mkdir()
        monkeypatch.chdir(folder / "here")
        arguments |= {"--input": good, "--out": "."}
    elif kind == "out is a file":
        arguments |= {"--input": good, "--out": good}
    elif kind == "start after the end":
        arguments |= {"--input": good, "--start-seconds": 5}
    elif kind in {"--top", "--every", "--overlays", "--threads"}:
        arguments |= {"--input": good, kind: -1}
    elif kind == "backend":
        arguments |= {"--input": good, "--backend": "tpu"}
    return [item for pair in arguments.items() for item in pair]


@pytest.mark.parametrize(
    "kind",
    [
        "empty folder", "corrupt image", "missing model", "other model", "missing input", "not a video",
        "truncated video", "other shape", "out below a file", "out impossible", "out is a file",
        "out is the current folder",
        "start after the end", "--top", "--every", "--overlays", "--threads", "backend",
    ],
)  # fmt: skip
def test_bad_input_is_one_message_and_leaves_nothing(
    kind: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = make_bad_input(kind, tmp_path, model, monkeypatch)
    before = listing(tmp_path)
    assert command(monkeypatch, *arguments) == EXIT_USER_ERROR
    message = capsys.readouterr().err
    assert message.count("error: ") == 1
    assert message.count(" hint: ") == 1
    assert "Traceback" not in message
    assert listing(tmp_path) == before


def test_replaces_only_its_own_results_and_only_when_told(
    model: Path, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    arguments = ["--model", model, "--input", video, "--out", out]
    assert command(monkeypatch, *arguments) == 0
    before = (out / "importance.npz").read_bytes()
    assert command(monkeypatch, *arguments, "--top", 0.5) == EXIT_USER_ERROR
    assert "--overwrite" in capsys.readouterr().err
    assert (out / "importance.npz").read_bytes() == before
    assert command(monkeypatch, *arguments, "--top", 0.5, "--overwrite", "--no-overlay-video") == 0
    assert (out / "importance.npz").read_bytes() != before
    assert not (out / "overlay.mp4").exists()
    (out / "overlays" / "thesis.png").write_bytes(b"precious")
    assert command(monkeypatch, *arguments, "--overwrite") == EXIT_USER_ERROR
    assert "overlays/thesis.png" in capsys.readouterr().err
    assert (out / "overlays" / "thesis.png").read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.onnx", "out", "v.mp4"]


def test_a_failing_rerun_keeps_the_old_results(
    model: Path, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert command(monkeypatch, "--model", model, "--input", video, "--out", out) == 0
    before = listing(tmp_path)
    broken = tmp_path / "frames"
    broken.mkdir()
    (broken / "a.png").write_bytes(b"\x89PNG")
    assert command(monkeypatch, "--model", model, "--input", broken, "--out", out, "--overwrite") == EXIT_USER_ERROR
    assert listing(tmp_path) == sorted([*before, "frames", "frames/a.png"])


def test_never_replaces_the_folder_that_holds_its_input(
    model: Path, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert command(monkeypatch, "--model", model, "--input", video, "--out", out) == 0
    arguments = ["--model", model, "--input", out / "overlay.mp4", "--out", out, "--overwrite"]
    assert command(monkeypatch, *arguments) == EXIT_USER_ERROR
    assert "is inside --out" in capsys.readouterr().err


def test_runs_with_deploy_copied_alone_and_only_its_own_libraries(model: Path, video: Path, tmp_path: Path) -> None:
    alone, home = tmp_path / "edge" / "deploy", tmp_path / "home"
    home.mkdir()
    shutil.copytree(DEPLOY, alone, ignore=shutil.ignore_patterns("__pycache__"))
    code = (
        "import runpy, sys\n"
        "sys.modules.update(dict.fromkeys(['torch', 'torchvision', 'paddle', 'paddleseg', 'onnx', 'cv2', 'scipy',\n"
        "    'pydantic', 'tyro', 'rich', 'labeling', 'export']))\n"
        "sys.argv[:] = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "print(sys.modules['deploy'].__file__)\n"
    )
    arguments: list[str | Path] = ["--model", model, "--input", video, "--out", tmp_path / "out"]
    ended = subprocess.run(
        [sys.executable, "-I", "-c", code, alone / "trt_infer.py", *arguments],
        capture_output=True, text=True, cwd=tmp_path, env={"HOME": str(home)}, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert listing(home) == []
    assert ended.stdout.splitlines()[-1] == str(alone / "__init__.py")
    assert (tmp_path / "out" / "overlay.mp4").is_file()


def test_benchmark_times_each_stage(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "benchmark", "--model", model, "--frames", 5, "--input-size", "160x96") == 0
    printed = capsys.readouterr().out
    assert all(stage in printed for stage in ("resize", "normalise", "network", "postprocess", "onnxruntime"))
    assert command(monkeypatch, "benchmark", "--model", model, "--frames", 0) == EXIT_USER_ERROR
    assert command(monkeypatch, "benchmark", "--model", model, "--input-size", "big") == EXIT_USER_ERROR


def test_a_separate_environment_with_four_packages_is_enough(
    model: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """deploy/ alone, in an environment made from nothing but what an edge box has."""
    pins = (DEPLOY.parent / "requirements.txt").read_text().splitlines()
    names = ("numpy==", "pillow==", "av==", "onnxruntime==")
    wanted = [line for line in pins if line.startswith(names)]
    assert len(wanted) == 4
    home, python = tmp_path / "box", tmp_path / "box" / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home / "venv"], check=True)
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(python), *wanted]
    installed = subprocess.run(command, capture_output=True, text=True, check=False)
    if installed.returncode:
        pytest.skip(f"the four packages cannot be installed: {installed.stderr.strip()[-200:]}")
    shutil.copytree(DEPLOY, home / "deploy", ignore=shutil.ignore_patterns("__pycache__"))
    arguments = ["--model", model, "--input", video, video, "--out", home / "out", "--select", "top-10%"]
    ended = subprocess.run(
        [python, "-I", home / "deploy" / "trt_infer.py", *map(str, arguments)],
        capture_output=True, text=True, cwd=home, env={"HOME": str(home)}, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert (home / "out" / "stream-01-v" / "overlay.mp4").is_file()
    packages = subprocess.run([python, "-c", "import torch"], capture_output=True, check=False)
    assert packages.returncode != 0


@pytest.mark.parametrize("how", [["trt_infer.py"], ["-m", "deploy.trt_infer"]])
def test_help_needs_no_library(how: list[str], tmp_path: Path) -> None:
    shutil.copytree(DEPLOY, tmp_path / "deploy", ignore=shutil.ignore_patterns("__pycache__"))
    folder = tmp_path if "-m" in how else tmp_path / "deploy"
    ended = subprocess.run(
        [sys.executable, "-S", *how, "--help"], capture_output=True, text=True, cwd=folder, env={}, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "--overlay-video" in ended.stdout


def test_script_reports_errors_without_a_traceback(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, DEPLOY / "trt_infer.py", "--model", "no.onnx", "--input", "no.mp4", "--out", "out"],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert ended.returncode == EXIT_USER_ERROR
    assert ended.stderr.startswith("error: model not found: no.onnx\n hint: ")
    assert listing(tmp_path) == []


def test_imports_only_the_libraries_of_an_edge_box() -> None:
    for path in sorted(DEPLOY.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            packages = {name.split(".")[0] for name in names}
            optional = OPTIONAL.get(path.relative_to(DEPLOY).as_posix(), set())
            assert packages <= ALLOWED | optional | sys.stdlib_module_names, f"{path}: {packages}"
