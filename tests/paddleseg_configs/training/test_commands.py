"""The commands as a user runs them."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deploy.core.cli import EXIT_USER_ERROR, run
from deploy.core.errors import InputError
from paddleseg_configs.training.predict import find_images
from tests.helpers.paddle_helpers import FRAMES, HEIGHT, LEVELS, REPOSITORY, ULTRA_LIGHT, WIDTH, run_module, shared_run

COMMANDS = ["paddleseg_configs.training." + name for name in ("train", "val", "predict", "export")]
HEAVY = ("paddle", "paddleseg", "onnx", "onnxruntime", "torch")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return shared_run(tmp_path_factory.getbasetemp())


def call(monkeypatch: pytest.MonkeyPatch, module: str, *arguments: object) -> int:
    """Run a command in this process; its exit status."""
    monkeypatch.setattr(sys, "argv", [module, *map(str, arguments)])
    try:
        run(importlib.import_module(module).main)
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


@pytest.mark.parametrize("module", [*COMMANDS, "export.export_onnx"])
def test_help_is_quick_and_imports_nothing_heavy(module: str) -> None:
    script = (
        f"import runpy, sys; sys.argv = ['x', '--help']\n"
        f"try: runpy.run_module({module!r}, run_name='__main__', alter_sys=True)\n"
        f"except SystemExit: print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    started = time.monotonic()
    result = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert result.stdout.rstrip().endswith("[]")
    assert "--config" in result.stdout
    assert time.monotonic() - started < 3


@pytest.mark.parametrize("name", ["train", "val", "predict", "export"])
def test_tools_are_part_of_paddleseg(name: str) -> None:
    """The small distribution is installed, and its module is ours."""
    tool = importlib.import_module(f"paddleseg.tools.{name}")
    assert tool.main is importlib.import_module(f"paddleseg_configs.training.{name}").main


def test_the_documented_command_trains(shared: tuple[Path, Path], tmp_path: Path) -> None:
    config = ULTRA_LIGHT.relative_to(REPOSITORY)
    arguments = ["--config", config, "--dataset", shared[0], "--iters", 2, "--batch_size", 2, "--save_dir", tmp_path]
    result = run_module("paddleseg.tools.train", *arguments)
    assert result.returncode == 0, result.stderr
    assert f"last checkpoint: {tmp_path / 'iter_2'}" in result.stdout


def test_user_errors_end_with_one_message(
    shared: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train = COMMANDS[0]
    assert call(monkeypatch, train, "--config", tmp_path / "absent.yml") == EXIT_USER_ERROR
    assert capsys.readouterr().err.startswith("error: cannot read configuration")
    assert call(monkeypatch, train, "--config", ULTRA_LIGHT, "--dataset", tmp_path) == EXIT_USER_ERROR
    assert "not a finished dataset" in capsys.readouterr().err
    arguments = ["--config", ULTRA_LIGHT, "--dataset", shared[0], "--save_dir", tmp_path]
    wrong = ["optimizer.type=Nothing", "model.arm_type=Nothing", "model.backbone.type=Nothing"]
    for override in wrong:
        assert call(monkeypatch, train, *arguments, "--opts", override) == EXIT_USER_ERROR
        assert "Traceback" not in capsys.readouterr().err


def test_val_prints_and_writes(
    shared: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--config", ULTRA_LIGHT, "--dataset", shared[0], "--model_path", shared[1]]
    assert call(monkeypatch, COMMANDS[1], *arguments, "--split", "test", "--json", tmp_path / "v.json") == 0
    record = json.loads((tmp_path / "v.json").read_text())
    assert record["num_frames"] == FRAMES["test"]
    assert len(record["level_recall"]) == LEVELS
    assert f"quadratic_kappa    {record['quadratic_kappa']:.4f}" in capsys.readouterr().out


def test_predict_writes_palettes(shared: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = shared[0] / "origin_images"
    arguments = ["--config", ULTRA_LIGHT, "--dataset", shared[0], "--model_path", shared[1]]
    assert call(monkeypatch, COMMANDS[2], *arguments, "--image_path", source, "--save_dir", tmp_path) == 0
    with Image.open(tmp_path / "val_video" / "000000.png.levels.png") as image:
        assert (image.mode, image.size) == ("P", (WIDTH, HEIGHT))
        assert np.asarray(image).max() < LEVELS
    assert len(list(tmp_path.rglob("*.png"))) == sum(FRAMES.values())


def test_export_writes_both_files(shared: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["--config", ULTRA_LIGHT, "--dataset", shared[0], "--model_path", shared[1], "--save_dir", tmp_path]
    assert call(monkeypatch, COMMANDS[3], *arguments) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.pdiparams"]


def test_images_are_found_by_list_and_missing_ones_refused(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a/b.png labels/b.png\n\nc.png\n")
    found = find_images(tmp_path / "list.txt")
    assert found[0] == (tmp_path / "a/b.png", Path("000000_b.png.levels.png"))
    assert len(found) == 2
    for nothing in (tmp_path / "absent.png", tmp_path):
        with pytest.raises(InputError, match="no images"):
            find_images(nothing)
