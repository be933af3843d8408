"""The package as a user installs it: everything in the wheel, the base alone enough for deployment, from any folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.helpers.deploy_helpers import card_of, striped_frame, write_model, write_video
from tests.helpers.label_helpers import REPOSITORY

PACKAGES = ("deploy", "export", "labeling", "paddleseg_configs", "regen")
NOT_SHIPPED = ("README.md", "paddleseg_tools/")
BASE = {"numpy", "pillow", "av", "onnxruntime"}


def uv(*arguments: object, cwd: Path = REPOSITORY) -> str:
    command = [sys.executable, "-m", "uv", *map(str, arguments)]
    ended = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=500, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from what git knows or would know, in a folder of its own: nothing is written beside the sources."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in (*_tracked(*PACKAGES), "pyproject.toml", "README.md", "LICENSE"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((REPOSITORY / name).read_bytes())
    uv("build", "--wheel", "--out-dir", out, source)
    return next(out.glob("regen-*.whl"))


def _tracked(*folders: str) -> list[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *folders]
    names = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.splitlines()
    return [name for name in names if (REPOSITORY / name).is_file()]


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that holds the wheel and what it asks for."""
    environment = tmp_path_factory.mktemp("environment") / "env"
    uv("venv", "--python", sys.executable, environment)
    uv("pip", "install", "--python", environment / "bin" / "python", wheel)
    return environment / "bin"


def run(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=cwd, env=clean, capture_output=True, text=True, timeout=300, check=False)


def test_the_wheel_holds_every_file(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    wanted = {name for name in _tracked(*PACKAGES) if not any(part in name for part in NOT_SHIPPED)}
    assert len(wanted) > 200 and wanted - held == set()
    assert {"labeling/upscalers/weights/edsr_x3.safetensors", "paddleseg_configs/_base_/mobileseg.yml"} <= held


def test_the_base_is_deployment_alone(installed: Path, tmp_path: Path) -> None:
    packages = json.loads(uv("pip", "list", "--format", "json", "--python", installed / "python"))
    names = {package["name"] for package in packages}
    assert names >= BASE | {"regen"} and not names & {"torch", "paddlepaddle", "tyro", "pydantic", "opencv-python"}


def test_a_clip_is_predicted_from_another_folder(installed: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "model.onnx", card_of())
    write_video(tmp_path / "clip.mp4", [striped_frame(shift=shift) for shift in range(5)])
    ended = run(
        installed / "regen", "infer", "--model", "model.onnx", "--input", "clip.mp4", "--out", "maps", cwd=tmp_path
    )
    assert ended.returncode == 0, ended.stderr
    assert len((tmp_path / "maps" / "blocks.jsonl").read_text().splitlines()) == 5
    code = """
import regen
from deploy import Predictor, top_blocks
with Predictor("model.onnx") as predictor:
    found = [top_blocks(prediction.importance, 0.2).sum() for prediction in predictor.video("clip.mp4")]
print(len(found), set(map(int, found)), regen.Predictor is Predictor)
"""
    ended = run(installed / "python", "-W", "error", "-c", code, cwd=tmp_path)
    assert ended.stdout.split("\n")[0] == "5 {3} True", ended.stderr


@pytest.mark.parametrize(
    ("command", "said"), [("label", "regen[label]"), ("train --config bisenetv2", "make setup"), ("x", "Known: infer")]
)
def test_what_is_missing_is_told(command: str, said: str, installed: Path, tmp_path: Path) -> None:
    ended = run(installed / "regen", *command.split(), cwd=tmp_path)
    assert ended.returncode == 2 and said in ended.stderr and "Traceback" not in ended.stderr


def test_every_command_is_listed_and_answers_or_says_why(installed: Path, tmp_path: Path) -> None:
    listed = run(installed / "regen", "--help", cwd=tmp_path)
    names = [line.split()[0] for line in listed.stdout.splitlines() if line.startswith("  ")]
    assert listed.returncode == 0 and len(names) >= 15
    for name in names:
        ended = run(installed / "regen", name, "--help", cwd=tmp_path)
        assert ended.returncode in (0, 2) and "Traceback" not in ended.stderr, (name, ended.stderr)
        assert ended.returncode == 0 or "which is not installed" in ended.stderr, (name, ended.stderr)
