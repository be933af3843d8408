"""Frames of other sizes and shapes through a model, and the way back to their own macroblocks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from deploy import Grid, Predictor, read_frames
from deploy.core.errors import InputError, OptionError
from tests.helpers.deploy_helpers import card_of, trt_infer_command, write_model, write_video


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Importance follows brightness; frames of 96 x 64."""
    return write_model(tmp_path / "model.onnx", card_of(64, 96))


def halves(height: int, width: int) -> np.ndarray:
    """Dark on the left, bright on the right."""
    frame = np.zeros((height, width, 3), np.uint8)
    frame[:, width // 2 :] = 255
    return frame


def test_a_fixed_model_pads_other_shapes_and_answers_on_the_frames_own_blocks(model: Path) -> None:
    portrait, wide = halves(320, 160), halves(128, 512)
    with Predictor(model) as exact, pytest.raises(InputError, match="another aspect ratio"):
        exact(portrait)
    with Predictor(model, fit="pad") as predictor:
        for frame, placed in ((portrait, (64, 32)), (wide, (24, 96))):
            view = predictor.view(*frame.shape[:2])
            pixels = view.to_input(frame)
            assert pixels.shape == (64, 96, 3) and view.placed_px == placed
            padding = np.ones((64, 96), bool)
            padding[: placed[0], : placed[1]] = False
            assert len(np.unique(pixels[padding], axis=0)) == 1  # the mean color
            found = predictor(frame)
            assert found.grid == Grid(*frame.shape[:2], scale=predictor.card.grid.scale)
            assert found.importance.shape == (found.grid.rows, found.grid.cols)
            quarter = found.grid.cols // 4
            assert (found.importance[:, :quarter].max() + 0.3) < found.importance[:, -quarter:].min()
            assert np.array_equal(found.levels, found.levels[:1].repeat(found.grid.rows, 0))  # nothing of the padding
        same = predictor(halves(128, 192))
        assert same.grid == predictor.card.grid  # the model's shape: as ever
        small = predictor.view(32, 32)
        assert small.placed_px == (32, 32)  # never enlarged


def test_options_that_a_model_does_not_have_are_refused(model: Path) -> None:
    with pytest.raises(OptionError, match="takes frames of 96 x 64 only"):
        Predictor(model, lr_height=64)
    with pytest.raises(OptionError, match="fit"):
        Predictor(model, fit="stretch")  # type: ignore[arg-type]


def test_the_command_runs_without_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    video = write_video(tmp_path / "portrait.mp4", [halves(160, 96)] * 3)
    out = tmp_path / "out"
    assert trt_infer_command(monkeypatch, "--input", video, "--out", out, "--overlays", 1) == 0
    assert "included with the project" in capsys.readouterr().err
    with np.load(out / "importance.npz") as maps:
        assert maps["importance"].shape == (3, 10, 6)
        assert (maps["height_px"], maps["width_px"]) == (160, 96)
    blocks = [block for line in (out / "blocks.jsonl").read_text().splitlines() for block in json.loads(line)["blocks"]]
    assert len(blocks) == 3 * 12 and all(x + w <= 96 and y + h <= 160 for x, y, w, h in blocks)
    assert next(read_frames(out / "overlay.mp4")).image.shape[0] >= 160


def test_frames_of_several_sizes_in_one_input_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    folder = tmp_path / "images"
    folder.mkdir()
    Image.fromarray(halves(96, 96)).save(folder / "a.png")
    Image.fromarray(halves(192, 192)).save(folder / "b.png")
    assert trt_infer_command(monkeypatch, "--input", folder, "--out", tmp_path / "out") == 2
    assert "b.png is 192 x 192 pixels, but the previous frames are 96 x 96" in capsys.readouterr().err
    assert (tmp_path / "out" / "UNFINISHED").exists(), "the first one is done"
    assert len((tmp_path / "out" / "blocks.jsonl").read_text().splitlines()) == 1
