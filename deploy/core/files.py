"""Files that are either whole or absent, and checksums."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from deploy.core.errors import InputError
from deploy.core.work_folder import acquire

MOST_BYTES_OF_A_NAME = 200
IMAGE_FORMATS = ("BMP", "JPEG", "PNG", "TIFF", "WEBP")
"""What images are read as. Pillow goes by a file's content and knows forty more, old and seldom looked at."""
_OF_SEVERAL_PICTURES = ("PNG", "TIFF", "WEBP")
IMAGE_SUFFIXES = frozenset({".bmp", ".jfif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
"""Suffixes that identify images."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`; rename it to `path` on success, delete it on failure.

    Its name tells whose it is: what a killed writer left is overwritten by the next, and a living one is waited for.
    """
    temporary = path.with_name(f".tmp-{_short(path.name)}")
    with acquire(temporary, fcntl.LOCK_EX):
        try:
            yield temporary
            temporary.chmod(0o644)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _short(name: str) -> str:
    """The name itself, or its hash and suffix where the prefix would make it longer than file systems allow."""
    if len(os.fsencode(name)) <= MOST_BYTES_OF_A_NAME:
        return name
    return hashlib.sha256(os.fsencode(name)).hexdigest() + Path(name).suffix


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_npz(path: Path, **arrays: NDArray[Any]) -> None:
    """Write arrays atomically as a compressed .npz whose bytes depend only on the arrays."""
    with atomic_path(path) as temporary, temporary.open("wb") as stream:  # numpy appends .npz to other names
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Read all arrays of an .npz file.

    Raises:
        InputError: missing, damaged, or with Python objects inside.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
            if not all(isinstance(array, np.ndarray) for array in arrays.values()):
                raise ValueError("it contains something other than arrays")
            return arrays
    except Exception as error:  # numpy and zipfile raise all kinds of exceptions
        raise InputError(f"cannot read {path}: {str(error) or type(error).__name__}", hint="Create it again.") from None


def write_image(path: Path, image: Image.Image) -> None:
    """Write a Pillow image atomically; the format follows the suffix."""
    with atomic_path(path) as temporary:
        image.save(temporary)


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image file as (H, W, 3) uint8 RGB, upright: a camera's orientation mark is applied.

    Raises:
        InputError: see `read_first_image`.
    """
    return read_first_image(path)[0]


def read_first_image(path: Path) -> tuple[NDArray[np.uint8], int]:
    """The same, of a file that may hold several pictures (animated PNG and WebP, stacks of TIFF), and their number.

    Raises:
        InputError: the file is missing, is not a readable image, or is gray with more than 8 bits.
    """
    try:
        with Image.open(path, formats=IMAGE_FORMATS) as image:
            if image.mode.startswith(("I", "F")):
                # Pillow would clip such values at 255 instead of scaling them.
                raise ValueError(f"its pixels have the type {image.mode!r}, not 8 bits per channel")
            count = int(getattr(image, "n_frames", 1)) if image.format in _OF_SEVERAL_PICTURES else 1
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB")), count
    except FileNotFoundError:
        raise InputError(f"image not found: {path}", hint="Check the path.") from None
    except Exception as error:  # Pillow's readers raise all kinds of exceptions
        reason = str(error) or type(error).__name__
        raise InputError(f"cannot read image {path}: {reason}", hint="Recreate or remove the file.") from None


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
