"""Every breach of the dataset contract is found, named with its file, and all are found at once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import labeling.labels.label_videos as pipeline
from labeling.dataset.checking import check_dataset
from labeling.labels.options import LabelOptions
from tests.helpers.label_helpers import crop_clip, run_script

FIRST = "0/000000.png"


@pytest.fixture(scope="module")
def clip(vtest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crop_clip(vtest, tmp_path_factory.mktemp("clip") / "0.avi")


@pytest.fixture(scope="module")
def whole(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "dataset"
    settings = {"height": 80, "gap_seconds": 0.2, "upscaler": "reference", "device": "cpu"}
    pipeline.label_videos(LabelOptions(videos=(clip,), out=out, **settings))
    return out


@pytest.fixture
def dataset(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "dataset"))


def edit(path: Path, change: Callable[[str], str]) -> None:
    path.write_text(change(path.read_text()))


def recolour(path: Path, change: Callable[[np.ndarray], np.ndarray], mode: str = "P") -> None:
    with Image.open(path) as image:
        pixels, palette = np.array(image), image.getpalette()
    changed = Image.fromarray(change(pixels))
    if mode == "P":
        changed = changed.convert("P")
        changed.putpalette(palette)
    changed.save(path)


def set_pixel(value: int) -> Callable[[np.ndarray], np.ndarray]:
    def change(pixels: np.ndarray) -> np.ndarray:
        pixels[0, 0] = value
        return pixels

    return change


def move_pair(dataset: Path) -> None:
    line = (dataset / "train.txt").read_text().splitlines()[0]
    edit(dataset / "test.txt", lambda text: text + line + "\n")


def escape(dataset: Path) -> None:
    edit(dataset / "val.txt", lambda text: text + "../../etc/passwd labels/0/000000.png\n")


def escape_by_a_link(dataset: Path) -> None:
    (dataset / "origin_images" / FIRST).unlink()
    (dataset / "origin_images" / FIRST).symlink_to("/etc/hostname")


def break_importance(dataset: Path) -> None:
    path = dataset / "importance" / "0.npz"
    with np.load(path) as stored:
        record = dict(stored)
    record["importance"] = record["importance"][:, ::-1]
    np.savez_compressed(path, **record)


def copy_picture(dataset: Path) -> None:
    """The first picture of train over the first of test."""
    names = [(dataset / f"{split}.txt").read_text().split(" ")[0] for split in ("train", "test")]
    shutil.copy(dataset / names[0], dataset / names[1])


BREACHES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "list missing": (lambda d: (d / "val.txt").unlink(), "val.txt", "cannot be read"),
    "two spaces": (lambda d: edit(d / "train.txt", lambda t: t.replace(" ", "  ", 1)), "train.txt", "one space"),
    "escape": (escape, "val.txt", "points outside the dataset"),
    "absolute": (lambda d: edit(d / "val.txt", lambda t: "/" + t), "val.txt", "points outside the dataset"),
    "link outside": (escape_by_a_link, "train.txt", "points outside the dataset"),
    "wrong pair": (lambda d: edit(d / "train.txt", lambda t: t.replace("labels/0/000000", "labels/0/000001", 1)),
                   "train.txt", "pairs"),
    "lost line": (lambda d: edit(d / "train.txt", lambda t: t.split("\n", 1)[1]), "train.txt", "the manifest has"),
    "in two splits": (move_pair, "test.txt", "is already in train.txt"),
    "same picture": (copy_picture, "origin_images", "the same image as"),
    "stray": (lambda d: shutil.copy(d / "labels" / FIRST, d / "labels" / "0" / "999999.png"), "labels/0/999999.png",
              "not in any list"),
    "no image": (lambda d: (d / "origin_images" / FIRST).unlink(), f"origin_images/{FIRST}", "No such file"),
    "grey image": (lambda d: recolour(d / "origin_images" / FIRST, lambda p: p[..., 0], "L"), f"origin_images/{FIRST}",
                   "not RGB"),
    "small image": (lambda d: recolour(d / "origin_images" / FIRST, lambda p: p[:-1], "RGB"), f"origin_images/{FIRST}",
                    "100 x 79"),
    "no label": (lambda d: (d / "labels" / FIRST).unlink(), f"labels/{FIRST}", "cannot read label"),
    "grey label": (lambda d: recolour(d / "labels" / FIRST, lambda p: p, "L"), f"labels/{FIRST}", "mode 'L'"),
    "level too high": (lambda d: recolour(d / "labels" / FIRST, set_pixel(10)), f"labels/{FIRST}", "has level 10"),
    "torn block": (lambda d: recolour(d / "labels" / FIRST, set_pixel(9)), f"labels/{FIRST}", "more than one level"),
    "damaged image": (lambda d: (d / "origin_images" / FIRST).write_bytes(b"\x89PNG nothing"),
                      f"origin_images/{FIRST}", "cannot identify"),
    "histogram": (lambda d: recolour(d / "labels" / FIRST, lambda p: p * 0), "train.txt", "have levels"),
    "importance": (break_importance, "labels/", "does not match its importance"),
    "no importance": (lambda d: (d / "importance" / "0.npz").unlink(), "importance", "cannot read"),
    "level names": (lambda d: (d / "labels.txt").write_text("a\n"), "labels.txt", "names 1 levels"),
}  # fmt: skip


def test_a_whole_dataset_has_no_problem(whole: Path) -> None:
    assert list(check_dataset(whole)) == []


@pytest.mark.parametrize("name", BREACHES)
def test_each_breach_is_named(name: str, dataset: Path) -> None:
    make, file, message = BREACHES[name]
    make(dataset)
    problems = list(check_dataset(dataset))
    fitting = [p for p in problems if p.file.startswith(file) and message in p.message]
    assert fitting, problems
    assert all(problem.fix for problem in problems)


def test_all_at_once_on_the_command_line(dataset: Path, clip: Path, tmp_path: Path) -> None:
    for name in ("two spaces", "stray", "level names", "no importance"):
        BREACHES[name][0](dataset)
    clip_copy = clip.read_bytes()
    clip.write_bytes(clip_copy + b"more")
    try:
        done = run_script("labeling/check.py", dataset, "--json", tmp_path / "problems.json")
    finally:
        clip.write_bytes(clip_copy)
    assert done.returncode == 2
    for part in ("one space", "not in any list", "names 1 levels", "cannot read", "has changed since", "fix: "):
        assert part in done.stdout
    problems = json.loads((tmp_path / "problems.json").read_text())
    assert len(problems) >= 5 and set(problems[0]) == {"file", "message", "fix"}


def test_no_dataset_is_one_clear_message(tmp_path: Path) -> None:
    done = run_script("labeling/check.py", tmp_path)
    assert done.returncode == 2 and "no manifest.json" in done.stderr and "Traceback" not in done.stderr
