"""The documentation is true: its commands run, its links lead somewhere, both languages say the same."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import yaml

from deploy.core.resize import area_resize
from deploy.core.video import FrameSelection, read_frames
from tests.browser import needs_chromium, opened
from tests.deploy_helpers import striped_frame
from tests.doc_blocks import LANGUAGES, NOT_OURS, REPOSITORY, Block, blocks_of, pages, without_blocks
from tests.doc_commands import check_command, commands_of, make_targets
from tests.label_helpers import write_video

README, CHINESE = REPOSITORY / "README.md", REPOSITORY / "README.zh.md"
BLOCKS = [block for page in pages() for block in blocks_of(page)]
RUN = [block for block in BLOCKS if block.how.startswith("run") and block.language in ("bash", "python")]
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
        """Run a block, and before the first one all those of the README."""
        if not self.done:
            self.done = {first: self._run(first) for first in RUN if first.page == README.name}
        return self.done.get(block) or self._run(block)

    def _run(self, block: Block) -> subprocess.CompletedProcess[str]:
        file = self.folder / ("block.py" if block.language == "python" else "block.sh")
        file.write_text(f"{block.text.rstrip()} {block.options}\n", encoding="utf-8")
        command = [sys.executable, file.name] if block.language == "python" else ["bash", "-euo", "pipefail", file.name]
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        variables = os.environ | {"PATH": path, "PYTHONPATH": str(self.folder), "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            command, cwd=self.folder, env=variables, capture_output=True, text=True, timeout=300, check=False
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
        frames = [frame.image[WALKER] for frame in read_frames(REPOSITORY / CLIP, chosen)]
    else:
        frames = [striped_frame(240, 320, shift) for shift in range(CLIP_RATE * CLIP_SECONDS)]
    small = [area_resize(np.ascontiguousarray(frame), height_px=72, width_px=96) for frame in frames[first_frame:]]
    write_video(path, small, CLIP_RATE)


@pytest.mark.parametrize("block", RUN, ids=str)
def test_a_block_runs(workshop: Workshop, block: Block) -> None:
    if block.page == CHINESE.name:  # the same blocks, by another test
        assert block.text in {first.text for first in RUN if first.page == README.name}
        return
    result = workshop.run(block)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_readme_makes_what_it_shows(workshop: Workshop) -> None:
    workshop.run(RUN[0])
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


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_a_page_holds_together(page: Path) -> None:
    """No indented code, no marker without its block, and links, pictures, targets and tests that exist."""
    raw = page.read_text(encoding="utf-8")
    text = re.sub(r"^```.*?^```", "", raw, flags=re.M | re.S)
    assert re.findall(r"^\n    \S.*", text, flags=re.M) == [], "code goes into a fenced block"
    markers = re.findall(r"<!-- (?:not run|parsed only|run with)", raw)
    assert len(markers) == sum(block.how != "run" for block in blocks_of(page)), "a marker stands right above its block"
    for link in re.findall(r"\]\(([^)\s]+)\)", without_blocks(raw)):
        assert link.startswith(("http://", "https://")) or leads_somewhere(page, link), link
    assert set(re.findall(r"`make ([a-z]+)", raw)) <= make_targets()
    for file, test in re.findall(r"`(test_\w+\.py)(?:::(\w+))?`", text):
        source = (REPOSITORY / "tests" / file).read_text(encoding="utf-8")
        assert not test or f"def {test}(" in source, f"{file}::{test}"


def leads_somewhere(page: Path, link: str) -> bool:
    """Whether a relative link names a file, and a heading in it where it has a fragment."""
    name, _, fragment = unquote(link).partition("#")
    target = page.parent / name if name else page
    if not fragment:
        return target.exists()
    return target.is_file() and fragment in {slug(title) for title in headings(target)}


def headings(page: Path) -> list[str]:
    """The headings of a page, with their marks."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return re.findall(r"^#+ .+", text, flags=re.M)


def slug(heading: str) -> str:
    """A heading's fragment, as GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.lstrip("# ").lower()).replace(" ", "-")


def test_both_languages_say_the_same() -> None:
    english, chinese = blocks_of(README), blocks_of(CHINESE)
    assert [(block.language, block.how, block.options) for block in english] == [
        (block.language, block.how, block.options) for block in chinese
    ]
    for ours, theirs in zip(english, chinese, strict=True):
        meaning = commands_of if ours.language == "bash" else (lambda text: ast.dump(ast.parse(text)))
        assert meaning(ours.text) == meaning(theirs.text), f"{ours} and {theirs}"
    levels = [[title.split()[0] for title in headings(page)] for page in (README, CHINESE)]
    assert levels[0] == levels[1]
    numbers = [re.findall(r"\d+\.\d+", without_blocks(page.read_text(encoding="utf-8"))) for page in (README, CHINESE)]
    assert sorted(numbers[0]) == sorted(numbers[1])
    links = [set(re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))) for page in (README, CHINESE)]
    assert links[0] - {CHINESE.name} == links[1] - {README.name}
    assert CHINESE.name in links[0] and README.name in links[1]


def test_the_architecture_names_what_exists() -> None:
    text = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    folders = "deploy|export|labeling|paddleseg_configs|tests|detectors|upscalers|training"
    named = re.findall(rf"\b((?:{folders})/[\w/{{}},.]*)", text)
    assert len(named) > 15
    for name in named:
        for path in alternatives(name.rstrip(".,")):
            roots = (REPOSITORY, REPOSITORY / "labeling", REPOSITORY / "paddleseg_configs")
            assert any((root / path).exists() for root in roots), path


def alternatives(name: str) -> list[str]:
    """``a/{b,c}/`` -> ``a/b/`` and ``a/c/``."""
    braces = re.search(r"\{([\w,]+)\}", name)
    return [name.replace(braces[0], part) for part in braces[1].split(",")] if braces else [name]


def test_types_are_where_the_architecture_says() -> None:
    text = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| `([\w/.]+\.py)` \|", text, flags=re.M)
    assert len(rows) >= 12
    for name, file in rows:
        assert re.search(rf"^(class )?{name}\b", (REPOSITORY / file).read_text(encoding="utf-8"), flags=re.M), name


@needs_chromium
def test_pictures_show_in_a_browser(tmp_path: Path) -> None:
    named = {
        (page.parent / link).resolve()
        for page in pages()
        for link in re.findall(r"!\[[^\]]+\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    }
    assert {path.name for path in named} >= {"demo.png", "architecture.svg"}
    sheet = tmp_path / "pictures.html"
    sheet.write_text("".join(f'<img src="{path.as_uri()}" style="max-width: 100%">' for path in sorted(named)))
    with opened(sheet) as page:
        widths = page.eval_on_selector_all("img", "images => images.map(image => image.naturalWidth)")
    assert len(widths) == len(named) and min(widths) > 100


@needs_chromium
@pytest.mark.parametrize("page", sorted((REPOSITORY / "docs").rglob("*.html")), ids=lambda page: page.name)
def test_committed_pages_render_in_a_browser(page: Path) -> None:
    with opened(page) as shown:
        assert shown.eval_on_selector_all("h1, h2", "titles => titles.length") > 0
        assert 0 not in shown.eval_on_selector_all("img", "images => images.map(image => image.naturalWidth)")
