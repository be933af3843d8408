"""The dataset contract as a PaddleSeg dataset, and the augmentation that keeps the macroblock geometry."""

from __future__ import annotations

import random
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from paddleseg.cvlibs import manager
from paddleseg.datasets import Dataset
from paddleseg.transforms import Compose

from deploy.core.errors import DatasetError, OptionError
from deploy.core.files import read_image
from labeling.dataset.manifest import SPLITS, Manifest, read_manifest
from labeling.dataset.reader import read_label, require_frame_size

KEEPS_GEOMETRY = frozenset({"Normalize", "RandomDistort", "RandomBlur", "RandomNoise", "AlignedHorizontalFlip"})
"""Transforms under which a pixel stays in its macroblock, or moves with it."""
_HINT = "Make the dataset again: python labeling/make_labels.py VIDEO --out DIR"


def read_pairs(dataset: Path, split: str) -> list[tuple[Path, Path]]:
    """Frames and labels of a split, in the order of its list file.

    Raises:
        DatasetError: the list is missing, or a line is not two existing files inside the folder with one space between.
    """
    list_path = dataset / f"{split}.txt"
    try:
        lines = list_path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"cannot read {list_path}: {error}", hint=_HINT) from None
    return [_read_line(dataset, line, f"{list_path}:{number}") for number, line in enumerate(lines, 1)]


def _read_line(dataset: Path, line: str, where: str) -> tuple[Path, Path]:
    parts = line.split(" ")
    if len(parts) != 2 or not all(parts) or line.split() != parts:
        raise DatasetError(f"{where}: {line!r} is not a frame, one space and a label", hint=_HINT)
    for part in parts:
        relative = PurePosixPath(part)
        if relative.is_absolute() or ".." in relative.parts or "\\" in part:
            raise DatasetError(f"{where}: {part!r} leads out of the dataset folder", hint=_HINT)
        if not (dataset / part).is_file():
            raise DatasetError(f"{where}: {part} does not exist", hint=_HINT)
    return dataset / parts[0], dataset / parts[1]


def read_frame(path: Path, manifest: Manifest) -> NDArray[np.uint8]:
    """Read a frame as (H, W, 3) uint8 RGB of the manifest's size.

    Raises:
        InputError: not a readable image.
        DatasetError: another size.
    """
    frame = read_image(path)
    require_frame_size(frame, manifest, path)
    return frame


@manager.DATASETS.add_component
class MacroblockLevels(Dataset):  # type: ignore[misc]
    """Frames and importance levels of one split.

    Args:
        mode: "train", "val" or "test".
        dataset_root: a dataset folder with its manifest.
        transforms: PaddleSeg transforms that keep the macroblock geometry.
        num_classes: if given, must be the manifest's number of levels.
    """

    def __init__(self, mode: str, dataset_root: str, transforms: list[Any], num_classes: int | None = None) -> None:
        self.manifest = read_manifest(Path(dataset_root))
        if num_classes not in (None, self.manifest.num_levels):
            raise OptionError(
                f"{num_classes=}, but the dataset has {self.manifest.num_levels} levels",
                hint="Leave num_classes out: the manifest decides.",
            )
        for transform in transforms:
            _require_geometry(transform, self.manifest)
        if not read_pairs(Path(dataset_root), mode) and mode == "train":
            raise DatasetError(f"{dataset_root} has no training frames", hint="Label more videos.")
        lists = {f"{split}_path": str(Path(dataset_root) / f"{split}.txt") for split in SPLITS}
        super().__init__(mode, dataset_root, transforms, num_classes=self.manifest.num_levels, **lists)
        self.transforms = Compose(transforms, to_rgb=False)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return (3, H, W) float32 normalised RGB and (H, W) int64 levels."""
        frame_path, label_path = (Path(path) for path in self.file_list[index])
        frame = read_frame(frame_path, self.manifest).astype(np.float32)
        label = read_label(label_path, self.manifest)
        data = self.transforms({"img": frame, "label": label, "gt_fields": ["label"]})
        return np.ascontiguousarray(data["img"], np.float32), np.ascontiguousarray(data["label"], np.int64)


@manager.TRANSFORMS.add_component
class AlignedHorizontalFlip:
    """Mirror frame and label, only if macroblocks land on macroblocks: the width must be a whole number of them.

    Args:
        prob: how often.
    """

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = prob
        self.aligned = False
        """Whether the frame's width is a whole number of macroblocks; the dataset sets it."""

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        """Flip, or not, by Python's random numbers, like PaddleSeg's transforms."""
        chosen = random.random() < self.prob
        if chosen and self.aligned:
            data["img"] = data["img"][:, ::-1]
            for key in data.get("gt_fields", []):
                data[key] = data[key][:, ::-1]
        return data


def _require_geometry(transform: object, manifest: Manifest) -> None:
    name = type(transform).__name__
    if name not in KEEPS_GEOMETRY:
        raise OptionError(
            f"transform {name} would move pixels between macroblocks",
            hint=f"Use only: {', '.join(sorted(KEEPS_GEOMETRY))}.",
        )
    if isinstance(transform, AlignedHorizontalFlip):
        grid = manifest.make_grid()
        transform.aligned = grid.width_px * grid.scale % grid.block_sr_px == 0
