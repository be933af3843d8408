"""Images as a source: one, or a folder of them in natural order."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deploy.core.errors import InputError
from deploy.core.files import IMAGE_SUFFIXES, read_first_image, sha256_of
from deploy.core.resize import same_shape
from deploy.inputs.frame import Frame, FrameSelection
from deploy.inputs.report import SourceReport
from deploy.inputs.video import VideoInfo

IMAGE_RATE = Fraction(25)
"""Images have no times; a folder counts as a video of this many frames per second."""
_HEIF_SUFFIXES = frozenset({".avif", ".heic", ".heif"})
_HEIF_HINT = "Convert HEIC and AVIF to JPEG or PNG first, for instance with ImageMagick: mogrify -format jpg *.heic"
_MOST_NAMES = 5


def is_image_source(path: Path) -> bool:
    """Whether this is an image or a folder rather than a video.

    Raises:
        InputError: the image format is not supported.
    """
    if path.suffix.lower() in _HEIF_SUFFIXES and path.is_file():
        raise InputError(f"cannot read image {path}: HEIC and AVIF are not supported", hint=_HEIF_HINT)
    return path.is_dir() or (path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())


def list_images(path: Path, report: SourceReport) -> list[Path]:
    """The image itself, or the images of a folder in natural order: frame_2 before frame_10.

    Raises:
        InputError: there is none.
    """
    if not path.is_dir():
        return [path]
    files = sorted((file for file in path.iterdir() if file.is_file() and file.name[0] != "."), key=_natural)
    images = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
    others = [file for file in files if file not in set(images)]
    is_heif = any(file.suffix.lower() in _HEIF_SUFFIXES for file in others)
    if not images:
        raise InputError(f"no images in {path}", hint=_HEIF_HINT if is_heif else _folder_hint(path))
    if others:
        hint = f". {_HEIF_HINT}" if is_heif else ""
        report.note(f"{len(others)} of its files are not supported images: {_some(others)}{hint}")
    return images


def _natural(path: Path) -> tuple[list[str | int], str]:
    """Numbers in names count as numbers."""
    parts = re.split(r"(\d+)", path.stem, flags=re.ASCII)
    return [int(part) if position % 2 else part for position, part in enumerate(parts)], path.name


def _some(paths: Sequence[Path]) -> str:
    return ", ".join(path.name for path in paths[:_MOST_NAMES]) + ", …" * (len(paths) > _MOST_NAMES)


def _folder_hint(folder: Path) -> str:
    below = sorted(entry for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != ".")
    if below:
        return f"It contains subfolders: use those that contain images ({_some(below)})."
    return f"Use a folder of images ({', '.join(sorted(IMAGE_SUFFIXES))}) or a video file."


def read_images(images: Sequence[Path], selection: FrameSelection, report: SourceReport) -> Iterator[Frame]:
    """Read the selected images; those that cannot be read, or have another shape than the first, are counted.

    Raises:
        InputError: one has vanished, or nothing may be lost.
    """
    shape: tuple[int, int] | None = None
    for index, path in enumerate(images):
        takes = selection.takes(index, index / IMAGE_RATE)
        image = _readable(path, report) if takes or shape is None else None
        if image is None:
            continue
        size = image.shape[0], image.shape[1]
        shape = shape or size
        if not takes:
            continue
        if same_shape(size, shape):
            yield Frame(index, index / IMAGE_RATE, image, image_name=path.name)
        else:
            report.lose(
                "other_size", f"{path.name}: {size[1]} x {size[0]}, but the first image is {shape[1]} x {shape[0]}"
            )


def _readable(path: Path, report: SourceReport) -> NDArray[np.uint8] | None:
    try:
        image, count = read_first_image(path)
    except InputError as error:
        if not path.exists():
            raise
        report.lose("unreadable", f"{path.name}: {str(error).removeprefix(f'cannot read image {path}: ')}")
        return None
    if count > 1:
        report.note_once("several", f"{path.name} contains {count} images; only the first is used")
    return image


def probe_images(path: Path, images: Sequence[Path], selection: FrameSelection, report: SourceReport) -> VideoInfo:
    """Read the selected images for their size and for which of them can be used.

    Raises:
        InputError: none of them can, or one cannot and nothing may be lost.
    """
    sizes = {frame.index: frame.image.shape[:2] for frame in read_images(images, selection, report)}
    taken = {index for index in range(len(images)) if selection.takes(index, index / IMAGE_RATE)}
    if taken and not sizes:
        raise InputError("; ".join([f"no image of {path} can be used", *map(str, report.losses)]), hint="Check them.")
    height_px, width_px = (min(size[axis] for size in sizes.values()) if sizes else 0 for axis in (0, 1))
    times = tuple(index / IMAGE_RATE for index in range(len(images)))
    names = tuple(image.name for image in images)
    return VideoInfo(path, width_px, height_px, IMAGE_RATE, times, names, frozenset(taken - sizes.keys()))


def sha256_of_images(images: Sequence[Path]) -> str:
    """One hash of the names and contents of images, in this order."""
    lines = "".join(f"{sha256_of(image)}  {image.name!a}\n" for image in images)
    return hashlib.sha256(lines.encode()).hexdigest()
