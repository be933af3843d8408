"""Commands and code of the documentation run, or are accepted by their parsers, or say why not."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from deploy.core.resize import area_resize
from deploy.inputs.video import FrameSelection, read_frames
from tests.helpers.deploy_helpers import striped_frame
from tests.helpers.doc_blocks import LANGUAGES, NOT_OURS, REPOSITORY, Block, blocks_of, pages
from tests.helpers.doc_commands import check_command, commands_of
from tests.helpers.label_helpers import write_video

BLOCKS = [block for page in pages() for block in blocks_of(page)]
# README.zh.md has the blocks of README.md: test_doc_pages.py.
RUN = [
    block
    for block in BLOCKS
    if block.how.startswith("run") and block.language in ("bash", "python") and block.page != "README.zh.md"
]
README_BLOCKS = [block for block in RUN if block.page == "README.md"]
CLIP = Path("datasets/cache/vtest.avi")
CLIP_SECONDS, CLIP_RATE = 24, 2
"""Two gaps of two seconds must leave frames for every split."""
WALKER = (slice(120, 360), slice(140, 460))
"""Of the demo's clip, in its shape."""


class Workshop:
    """A copy of the project beside a small clip, in which blocks are run as a reader runs them: the README first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.done: dict[Block, subprocess.CompletedProcess[str]] = {}

    def run(self, block: Block) -> subprocess.CompletedProcess[str]:
        """Run a block; before it those of the README that come before it, or all of them for another page's."""
        for first in README_BLOCKS[: README_BLOCKS.index(block) if block in README_BLOCKS else None]:
            self._run_once(first)
        return self._run_once(block)

    def _run_once(self, block: Block) -> subprocess.CompletedProcess[str]:
        if block not in self.done:
            self.done[block] = self._run(block)
        return self.done[block]

    def _run(self, block: Block) -> subprocess.CompletedProcess[str]:
        file = self.folder / ("block.py" if block.language == "python" else "block.sh")
        file.write_text(f"{block.text.rstrip()} {block.options}\n", encoding="utf-8")
        command = [sys.executable, file.name] if block.language == "python" else ["bash", "-euo", "pipefail", file.name]
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        variables = os.environ | {"PATH": path, "PYTHONPATH": str(self.folder), "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            command, cwd=self.folder, env=variables, capture_output=True, text=True, timeout=500, check=False
        )


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    folder = tmp_path_factory.mktemp("documented") / "project"
    hidden = shutil.ignore_patterns(*NOT_OURS, ".*", "*.egg-info", "__pycache__")
    shutil.copytree(REPOSITORY, folder, ignore=hidden)
    (folder / CLIP).parent.mkdir()
    small_clip(folder / CLIP)
    for number in (1, 2, 3):
        small_clip(folder / f"camera-{number}.avi", first_frame=number)
        (folder / f"camera-{number}.avi").rename(folder / f"camera-{number}.mp4")
    return Workshop(folder)


def small_clip(path: Path, first_frame: int = 0) -> None:
    """A person walks, where the demo's clip is at hand; else stripes move."""
    if (REPOSITORY / CLIP).is_file():
        chosen = FrameSelection(stop_seconds=CLIP_SECONDS, every=5)
        frames = [frame.image[WALKER] for frame in read_frames(REPOSITORY / CLIP, selection=chosen)]
    else:
        frames = [striped_frame(240, 320, shift) for shift in range(CLIP_RATE * CLIP_SECONDS)]
    small = [area_resize(np.ascontiguousarray(frame), height_px=72, width_px=96) for frame in frames[first_frame:]]
    write_video(path, small, CLIP_RATE)


@pytest.mark.parametrize("block", RUN, ids=str)
def test_a_block_runs(workshop: Workshop, block: Block) -> None:
    result = workshop.run(block)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_readme_makes_what_it_shows(workshop: Workshop) -> None:
    workshop.run(README_BLOCKS[-1])
    demo = workshop.folder / "runs" / "demo"
    made = ("dataset/manifest.json", "model.onnx", "model.json", "predictions/importance.npz", "report.html")
    assert [name for name in made if not (demo / name).is_file()] == []


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.how == "parsed only"], ids=str)
def test_commands_that_take_long_are_accepted(block: Block) -> None:
    commands = commands_of(block.text)
    assert commands and block.language == "bash"
    for command in commands:
        check_command(command)


@pytest.mark.parametrize(
    "command",
    [
        "python labeling/make_labels.py VIDEO --out DIR --hight 192",
        "python labeling/make_labels.py VIDEO --out DIR --height tall",
        "python labeling/make_labels.py VIDEO",
        "python labeling/make_label.py VIDEO --out DIR",
        "python deploy/trt_infer.py --model m.onnx --input VIDEO --out DIR --backed openvino",
        "python deploy/trt_infer.py benchmark --model m.onnx --inputs-size 1x1",
        "python -m paddleseg.tools.train --config paddleseg_configs/bisenetv2.yml --iterations 5",
        "python -m paddleseg.tools.train --config paddleseg_configs/bisenetv3.yml",
        "python -m paddleseg.tools.trian --config paddleseg_configs/bisenetv2.yml",
        "python -m labeling.demo --frame 5",
        "make dmeo",
        "make demo VIDOE=clip.mp4",
        "trtexec --onnx=model.onnx",
    ],
)
def test_a_misspelt_command_is_noticed(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises((SystemExit, AssertionError, FileNotFoundError)):
        check_command(commands_of(command)[0])


def test_a_correct_command_is_accepted() -> None:
    script = """
    # a comment
    OMP_NUM_THREADS=1 python labeling/make_labels.py a.mp4 b.mp4 \\
        --out DIR --levels 5  # another
    make demo VIDEO=clip.mp4
    """
    first, second = commands_of(script)
    assert first[:4] == ["python", "labeling/make_labels.py", "a.mp4", "b.mp4"] and first[-2:] == ["--levels", "5"]
    check_command(first)
    check_command(second)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_block_says_what_it_is(block: Block) -> None:
    assert block.language in LANGUAGES
    if block.how != "run":
        assert len(block.reason.split()) >= 2, "say why it is not just run"
        assert block.language in ("bash", "python")
        assert not re.search(r"\n```", block.text)
    if block.language == "python":
        ast.parse(block.text)
    elif block.language == "yaml":
        assert yaml.safe_load(block.text)
    elif block.language == "bash":
        checked = subprocess.run(["bash", "-n"], input=block.text, text=True, capture_output=True, check=False)
        assert checked.returncode == 0, checked.stderr
