"""List files of a dataset: the frames of a split and their labels. All names must be inside the dataset."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from deploy.core.errors import DatasetError
from labeling.maths.split import SplitName

_HINT = "Create the dataset again: python labeling/make_labels.py VIDEO --out DIR"


def read_pairs(dataset: Path, split: SplitName) -> list[tuple[Path, Path]]:
    """Read the frames and labels of a split, in the order of its list file.

    Raises:
        DatasetError: the list is missing, or a line is not two existing files inside the folder with one space between.
    """
    path = dataset / f"{split}.txt"
    return [_existing(dataset, line, f"{path}:{number}") for number, line in enumerate(read_lines(path), 1)]


def read_lines(path: Path) -> list[str]:
    """Read the lines of a list file.

    Raises:
        DatasetError: the file is missing or not text.
    """
    try:
        return path.read_bytes().decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"cannot read {path}: {error}", hint=_HINT) from None


def split_line(line: str) -> tuple[str, str] | None:
    """Return the two names of a line; None unless it is two names separated by one space."""
    words = line.split(" ")
    return (words[0], words[1]) if len(words) == 2 and all(words) and line.split() == words else None


def stays_inside(dataset: Path, name: str) -> bool:
    """Whether a name is relative and, after following links, inside the dataset."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        return False
    return Path(os.path.realpath(dataset / name)).is_relative_to(os.path.realpath(dataset))


def _existing(dataset: Path, line: str, where: str) -> tuple[Path, Path]:
    names = split_line(line)
    if names is None:
        raise DatasetError(f"{where}: {line!r} is not an image path, one space and a label path", hint=_HINT)
    for name in names:
        if not stays_inside(dataset, name):
            raise DatasetError(f"{where}: {name!r} points outside the dataset folder", hint=_HINT)
        if not os.path.isfile(dataset / name):  # noqa: PTH113 - Path.is_file raises where a name is too long
            raise DatasetError(f"{where}: {name} does not exist", hint=_HINT)
    return dataset / names[0], dataset / names[1]
