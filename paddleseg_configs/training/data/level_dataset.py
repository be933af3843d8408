"""The dataset contract as a PaddleSeg dataset."""

from __future__ import annotations

import random
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from paddleseg.cvlibs import manager
from paddleseg.datasets import Dataset
from paddleseg.transforms import Compose

from deploy.core.errors import DatasetError, OptionError
from deploy.core.files import read_image
from deploy.core.grid import Grid
from deploy.core.ranges import require_range
from labeling.dataset.layout import IGNORE_LEVEL, video_of
from labeling.dataset.lists import read_pairs
from labeling.dataset.manifest import Manifest, read_manifest
from labeling.dataset.reader import read_label, read_previous, read_split, require_frame_size
from labeling.maths.split import SPLITS, SplitName
from paddleseg_configs.training.data.augmentation import fit_to_grid, with_padding

_HINT = "Create the dataset again: python labeling/make_labels.py VIDEO --out DIR"


def read_frame(path: Path, manifest: Manifest) -> NDArray[np.uint8]:
    """Read a frame of a dataset as (H, W, 3) uint8 RGB at its video's size.

    Raises:
        InputError: not a readable image.
        DatasetError: wrong size.
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
        previous_prob: probability that a frame's fourth channel is the score map of the previous frame's detections;
            otherwise it is zero. None omits the channel.
    """

    def __init__(
        self,
        mode: SplitName,
        dataset_root: str,
        transforms: list[Any],
        num_classes: int | None = None,
        previous_prob: float | None = None,
    ) -> None:
        self.manifest = read_manifest(Path(dataset_root))
        require_range("previous_prob", previous_prob, 0, 1)
        self.previous_prob = previous_prob
        if previous_prob and self.manifest.previous is None:
            raise OptionError(
                f"{dataset_root} has no detections of previous frames",
                hint="Add them: python labeling/add_previous.py DATASET --detector FILE.onnx",
            )
        if num_classes not in (None, self.manifest.num_levels):
            raise OptionError(
                f"{num_classes=}, but the dataset has {self.manifest.num_levels} levels",
                hint="Omit num_classes; the manifest sets it.",
            )
        for transform in transforms:
            fit_to_grid(transform, self.manifest.make_grid())
        if not read_pairs(Path(dataset_root), mode) and mode == "train":
            raise DatasetError(f"{dataset_root} has no training frames", hint="Label more videos.")
        lists = {f"{split}_path": str(Path(dataset_root) / f"{split}.txt") for split in SPLITS}
        super().__init__(mode, dataset_root, transforms, num_classes=self.manifest.num_levels, **lists)
        self.transforms = Compose(with_padding(transforms, self.manifest), to_rgb=False)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return (3, H, W) float32 normalized RGB and (H, W) int64 levels, padded to the dataset's size.

        With `previous_prob`, there is a fourth channel of scores from -1 (none) to 1.
        """
        frame_path, label_path = (Path(path) for path in self.file_list[index])
        frame = read_frame(frame_path, self.manifest).astype(np.float32)
        label = read_label(label_path, self.manifest)
        data = {"img": frame, "label": label, "gt_fields": ["label"]}
        if self.previous_prob is None:
            data = self.transforms(data)
            return np.ascontiguousarray(data["img"], np.float32), np.ascontiguousarray(data["label"], np.int64)
        data["previous"] = self._previous(frame_path, label.shape)
        data["gt_fields"] = ["label", "previous"]
        data = self.transforms(data)
        levels = np.ascontiguousarray(data["label"], np.int64)
        scores = np.where(levels == IGNORE_LEVEL, 0, data["previous"]) / np.float32(127.5) - 1
        return np.concatenate([data["img"], scores[None]]).astype(np.float32), levels

    def _previous(self, frame: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """(H, W) uint8 scores, or zeros at random, with Python's generator, like PaddleSeg's transforms."""
        if not self.previous_prob or random.random() >= self.previous_prob:
            return np.zeros(shape, np.uint8)
        return read_previous(Path(self.dataset_root), frame, self.manifest)

    def grid(self, index: int) -> Grid:
        """The macroblocks of a frame without its padding."""
        return self.manifest.make_grid(video_of(Path(self.file_list[index][0])))

    def importance(self, index: int) -> NDArray[np.float32]:
        """(rows, cols) raw importance of a frame, from which its levels were made.

        Raises:
            DatasetError: the dataset's importance files cannot be used, or lack this frame.
        """
        frame = Path(self.file_list[index][0])
        if frame not in self._importance_by_frame:
            raise DatasetError(f"the importance files of {self.dataset_root} lack {frame}", hint=_HINT)
        return self._importance_by_frame[frame]

    @cached_property
    def _importance_by_frame(self) -> dict[Path, NDArray[np.float32]]:
        frames = read_split(Path(self.dataset_root), self.manifest, self.mode)
        return {frame.image: frame.importance for frame in frames}
