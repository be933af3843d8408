"""Find weight files on this machine by hash."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from deploy.core.errors import InputError
from deploy.core.files import sha256_of

SUFFIXES = {".onnx", ".pt", ".pth", ".pt2", ".pkl", ".safetensors", ".pb", ".bin", ".h5", ".ckpt", ".torchscript"}
"""Files that may be weights; others are not hashed."""
CACHE = Path(__file__).parents[2] / "datasets" / "cache"
"""Folder for downloaded files."""
EMBEDDED = Path(__file__).parents[1] / "upscalers" / "weights"
"""Upscalers included with the project, earlier versions as well."""


def find_weights(sha256: str, folders: Sequence[Path]) -> Path | None:
    """Find the file with that hash in the folders, among included files, or in the project cache; None if missing.

    Raises:
        InputError: a folder does not exist.
    """
    if not sha256:
        return None
    for folder in folders:
        if not folder.is_dir():
            raise InputError(
                f"--weights-folder {folder} is not a folder", hint="Specify the folder that contains the weight files."
            )
    for folder in (*folders, EMBEDDED, CACHE):
        for place, _, names in os.walk(folder):
            for path in (Path(place, name) for name in sorted(names)):
                if path.suffix.lower() in SUFFIXES and path.is_file() and sha256_of(path) == sha256:
                    return _whole(path)
    return None


def _whole(path: Path) -> Path:
    """The file to load: for a TensorFlow.js model, the graph next to its weights."""
    graph = path.with_suffix(".json")
    return graph if path.suffix == ".bin" and graph.is_file() else path
