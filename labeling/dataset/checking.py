"""Check a dataset folder against the contract of docs/architecture.md. Finds every violation, not only the first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deploy.core.errors import DatasetError, first_line
from deploy.core.files import sha256_of
from deploy.inputs.sources import sha256_of_source
from labeling.dataset.layout import video_of
from labeling.dataset.lists import read_lines, split_line, stays_inside
from labeling.dataset.manifest import Manifest, read_manifest
from labeling.dataset.reader import LabelledFrame, importance_levels, read_label, read_split, require_frame_size
from labeling.maths.split import SPLITS, SplitName

_MAKE_AGAIN = "Create the dataset again with make_labels.py --overwrite."
_RESTORE = "Restore the file from a backup, or create the dataset again with make_labels.py --overwrite."


@dataclass(frozen=True)
class Problem:
    """One violation of the contract."""

    file: str
    """Where, relative to the dataset."""
    message: str
    """What is wrong, with the value and the rule."""
    fix: str
    """What to do."""


@dataclass(frozen=True)
class Pair:
    """One line of a list file."""

    split: SplitName
    image: str
    label: str


def check_dataset(dataset: Path) -> Iterator[Problem]:
    """Yield every problem of a dataset folder as it is found.

    Raises:
        DatasetError: the manifest cannot be read, so nothing else can be checked.
    """
    manifest = read_manifest(dataset)
    pairs: list[Pair] = []
    for split in SPLITS:
        yield from _check_list(dataset, split, pairs)
    yield from _check_level_names(dataset, manifest)
    yield from _check_counts(pairs, manifest)
    yield from _check_doubles(dataset, pairs)
    yield from _check_strays(dataset, pairs)
    levels: dict[str, NDArray[np.uint8]] = {}
    yield from _check_pictures(dataset, pairs, manifest, levels)
    yield from _check_importance(dataset, pairs, manifest, levels)
    yield from _check_sources(manifest)


def _check_list(dataset: Path, split: SplitName, pairs: list[Pair]) -> Iterator[Problem]:
    """Check the lines of a list file; valid ones are added to `pairs`."""
    name = f"{split}.txt"
    try:
        lines = read_lines(dataset / name)
    except DatasetError as error:
        yield Problem(name, f"cannot be read: {error}", _RESTORE)
        return
    for number, line in enumerate(lines, 1):
        names = split_line(line)
        if names is None:
            yield Problem(name, f"line {number} is {line!r}, not two paths separated by one space", "Fix the line.")
            continue
        bad = [word for word in names if not stays_inside(dataset, word)]
        if bad:
            yield Problem(name, f"line {number} points outside the dataset: {bad[0]!r}", "Do not use it; fix the line.")
        elif names[0].replace("origin_images/", "labels/", 1) != names[1] or names[0] == names[1]:
            yield Problem(
                name, f"line {number} pairs {names[0]} with {names[1]}", "Use the label with the frame's name."
            )
        else:
            pairs.append(Pair(split, *names))


def _check_level_names(dataset: Path, manifest: Manifest) -> Iterator[Problem]:
    try:
        count = len((dataset / "labels.txt").read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        yield Problem("labels.txt", f"cannot be read: {error}", _RESTORE)
        return
    if count != manifest.num_levels:
        yield Problem("labels.txt", f"names {count} levels, but the manifest has {manifest.num_levels}", _RESTORE)


def _check_counts(pairs: list[Pair], manifest: Manifest) -> Iterator[Problem]:
    for split in SPLITS:
        found, wanted = sum(pair.split == split for pair in pairs), manifest.splits[split].num_frames
        if found != wanted:
            yield Problem(f"{split}.txt", f"lists {found} usable frames, but the manifest has {wanted}", _RESTORE)


def _check_doubles(dataset: Path, pairs: list[Pair]) -> Iterator[Problem]:
    """Find frames that are listed twice, and equal pixels in two splits."""
    listed: dict[str, Pair] = {}
    content: dict[str, Pair] = {}
    for pair in pairs:
        before = listed.setdefault(pair.image, pair)
        if before is not pair:
            yield Problem(f"{pair.split}.txt", f"{pair.image} is already in {before.split}.txt", "Remove one line.")
            continue
        path = dataset / pair.image
        if not path.is_file():
            continue
        twin = content.setdefault(sha256_of(path), pair)
        if twin.split != pair.split:
            yield Problem(
                pair.image,
                f"the same image as {twin.image} of {twin.split}",
                "Remove one, or label again with a larger --gap-seconds.",
            )


def _check_strays(dataset: Path, pairs: list[Pair]) -> Iterator[Problem]:
    known = {name for pair in pairs for name in (pair.image, pair.label)}
    for folder in ("origin_images", "labels"):
        for path in sorted((dataset / folder).rglob("*")):
            name = path.relative_to(dataset).as_posix()
            if not path.is_dir() and name not in known:
                yield Problem(name, "is not in any list", "Remove it, or restore the list.")


def _check_pictures(
    dataset: Path, pairs: list[Pair], manifest: Manifest, levels: dict[str, NDArray[np.uint8]]
) -> Iterator[Problem]:
    """Check frames and labels; the block levels of readable labels are added to `levels`, by name."""
    histograms = {split: np.zeros(manifest.num_levels, np.int64) for split in SPLITS}
    broken = set()
    for pair in pairs:
        try:
            _read_frame(dataset / pair.image, manifest)
        except Exception as error:  # Pillow's readers can raise any exception
            yield Problem(pair.image, first_line(error), _RESTORE)
        try:
            label = read_label(dataset / pair.label, manifest)
        except DatasetError as error:
            broken.add(pair.split)
            yield Problem(pair.label, first_line(error), error.hint)
            continue
        histograms[pair.split] += np.bincount(label.ravel(), minlength=manifest.num_levels)
        grid = manifest.make_grid(video_of(Path(pair.label)))
        levels[pair.label] = np.rint(grid.pool(label)).astype(np.uint8)
        if not np.array_equal(grid.upsample(levels[pair.label]), label):
            yield Problem(pair.label, "has more than one level in a macroblock", _RESTORE)
    for split in SPLITS:
        wanted = list(manifest.splits[split].level_histogram)
        if split not in broken and histograms[split].tolist() != wanted:
            yield Problem(
                f"{split}.txt", f"its labels have levels {histograms[split].tolist()}, but the manifest has {wanted}",
                _RESTORE,
            )  # fmt: skip


def _read_frame(path: Path, manifest: Manifest) -> None:
    with Image.open(path, formats=("PNG",)) as image:
        if image.mode != "RGB":
            raise ValueError(f"mode {image.mode!r}, not RGB")
        require_frame_size(np.asarray(image), manifest, path)


def _check_importance(
    dataset: Path, pairs: list[Pair], manifest: Manifest, levels: dict[str, NDArray[np.uint8]]
) -> Iterator[Problem]:
    """Check that the raw importance has the same frames and yields the labels."""
    listed = {(pair.split, pair.image) for pair in pairs}
    for split in SPLITS:
        try:
            for frame in read_split(dataset, manifest, split):
                name, label = (path.relative_to(dataset).as_posix() for path in (frame.image, frame.label))
                if (split, name) not in listed:
                    yield Problem(f"importance/{frame.video_id}.npz", f"has {name}, {split}.txt has not", _RESTORE)
                elif label in levels and not _gives(frame, levels[label], manifest):
                    yield Problem(label, "does not match its importance", _RESTORE)
        except DatasetError as error:
            yield Problem("importance", str(error), error.hint)
            return


def _gives(frame: LabelledFrame, levels: NDArray[np.uint8], manifest: Manifest) -> bool:
    try:
        return np.array_equal(importance_levels(frame, manifest), levels)
    except DatasetError:
        return False


def _check_sources(manifest: Manifest) -> Iterator[Problem]:
    """Check the source videos: a missing video is not a problem, a changed one is."""
    for source in manifest.sources:
        path = Path(source.path)
        if path.exists() and sha256_of_source(path) != source.sha256:
            yield Problem("manifest.json", f"{path} has changed since it was labeled", _MAKE_AGAIN)
